"""Applies the EXIF orientation, which brings stored pixels upright."""

import numpy as np
from PIL import ExifTags, Image

UPRIGHT = 1
QUARTER_TURNS = frozenset((5, 6, 7, 8))  # orientations that exchange width and height


def orientation_of(image: Image.Image, *, of_header: bool = False) -> int:
    """Returns the EXIF orientation of an image, 1 to 8; 1 if the file has none.

    Args:
        image: An image that Pillow opened.
        of_header: Whether only the header is searched. Otherwise Pillow decodes a
            whole PNG to find an orientation after its pixels.
    """
    exif = Image.Image.getexif(image) if of_header else image.getexif()
    orientation = exif.get(ExifTags.Base.Orientation, UPRIGHT)
    return orientation if orientation in range(1, 9) else UPRIGHT


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Rotates and mirrors stored pixels so that the image is upright.

    Args:
        pixels: `[H, W, ...]` as stored.
        orientation: The EXIF orientation, 1 to 8.

    Returns:
        `[H, W, ...]`, or `[W, H, ...]` for `QUARTER_TURNS`.
    """
    if orientation in QUARTER_TURNS:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def turned_back(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """The inverse of `turned`: returns the pixels as stored."""
    # Every orientation is its own inverse, except for the rotations by 90 degrees.
    return turned(pixels, {6: 8, 8: 6}.get(orientation, orientation))
