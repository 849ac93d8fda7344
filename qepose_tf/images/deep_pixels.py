"""Pixels of more than 8 bits, or floats, brought to 8 bits."""

import cv2
import numpy as np
from PIL import Image, ImageFile

# White in pictures of 8, 10, 12, 14 and 16 bits; cameras store all of them in 16.
_WHITES = (255, 1023, 4095, 16383, 65535)
_SAMPLED = 2**20  # of the values, which is enough to tell a range


def eight_bits(values: np.ndarray) -> np.ndarray:
    """Brings the pixels of one picture to 0..255.

    The range is told by the values, for files rarely say it. Integers are taken as of
    the fewest bits (8, 10, 12, 14 or 16) that hold the largest one. Floats are taken as
    0 to 1 or as 0 to 255, whichever holds nearly all of them, and larger ones as
    integers are. NaN is black.

    Args:
        values: Of any shape and type of numbers.

    Returns:
        The same shape, uint8.
    """
    if not values.size:
        return values.astype(np.uint8)
    known = values
    if values.dtype.kind == "f":
        values = np.nan_to_num(values.astype(np.float64), posinf=np.inf, neginf=0.0)
        known = values[np.isfinite(values)]
    largest = float(known.max(initial=0))
    white = next((white for white in _WHITES if largest <= white), largest)
    if values.dtype.kind == "f" and known.size:
        some = known.ravel()[:: max(1, known.size // _SAMPLED)]
        # A few highlights, or broken pixels, may be brighter than white.
        usual = float(np.quantile(some, 0.99, method="lower"))
        white = next((w for w in (1.0, 255.0) if usual <= w), white)
    return np.clip(values * (255.0 / white) + 0.5, 0, 255).astype(np.uint8)


def is_deep(image: Image.Image) -> bool:
    """Whether Pillow would cut the channels of a picture to their upper 8 bits."""
    if image.mode not in ("RGB", "RGBA", "LA", "RGBX", "RGBa"):
        return False
    if not isinstance(image, ImageFile.ImageFile):
        return False
    return any(";16" in str(tile.args) for tile in image.tile)


def decode_deep(content: bytes) -> np.ndarray | None:
    """Decodes what Pillow cannot read, or not in full: channels of 16 bits, or floats.

    Args:
        content: Of the file.

    Returns:
        `[H, W, 3]` uint8, transparent pixels white; None where OpenCV cannot read it,
        either.
    """
    try:
        values = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    if values is None:
        return None
    values = np.atleast_3d(values)
    colours = values[..., 2::-1] if values.shape[2] > 2 else values[..., :1]
    pixels = np.broadcast_to(eight_bits(colours), (*values.shape[:2], 3))
    if values.shape[2] == 4:
        full = 1.0 if values.dtype.kind == "f" else 256.0**values.dtype.itemsize - 1
        opaque = np.clip(values[..., 3:] / full, 0, 1)
        pixels = (pixels * opaque + 255 * (1 - opaque) + 0.5).astype(np.uint8)
    return np.ascontiguousarray(pixels)
