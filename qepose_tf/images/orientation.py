"""EXIF orientation: how stored pixels are turned so that a picture stands upright."""

import numpy as np
from PIL import ExifTags, Image

UPRIGHT = 1
QUARTER_TURNS = frozenset((5, 6, 7, 8))  # width and height change places


def orientation_of(image: Image.Image, *, of_header: bool = False) -> int:
    """The orientation that a picture's file gives, 1 to 8; 1 where there is none.

    Args:
        image: As Pillow opened it.
        of_header: Look only at what is read already. Pillow decodes a whole PNG to
            see whether something stands behind its pixels.
    """
    exif = Image.Image.getexif(image) if of_header else image.getexif()
    orientation = exif.get(ExifTags.Base.Orientation, UPRIGHT)
    return orientation if orientation in range(1, 9) else UPRIGHT


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Stored pixels as they are to be seen.

    Args:
        pixels: `[H, W, ...]` as stored.
        orientation: EXIF's, 1 to 8.

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
    """What `turned` was given, from what it returned."""
    # Each orientation undoes itself, but for the two rotations by a quarter.
    return turned(pixels, {6: 8, 8: 6}.get(orientation, orientation))
