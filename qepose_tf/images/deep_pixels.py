"""Scales pixels of more than 8 bits, and floats, to 8 bits."""

import cv2
import numpy as np
from PIL import Image, ImageFile

# The value of white in 8, 10, 12, 14 and 16 bits. Cameras store all of these in 16.
_WHITES = (255, 1023, 4095, 16383, 65535)
_SAMPLED = 2**20  # values that are enough to determine a quantile


def eight_bits(values: np.ndarray) -> np.ndarray:
    """Scales the pixels of one image to the range 0 to 255.

    The range of the input is derived from its values, because files rarely state it.
    Integers have the fewest bits (8, 10, 12, 14 or 16) that hold the largest value.
    Floats range from 0 to 1, or from 0 to 255, whichever holds nearly all of them;
    larger floats are treated like integers. NaN becomes 0.

    Args:
        values: An array of any shape and numeric type.

    Returns:
        An array of the same shape, uint8.
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
        # A few highlights or defective pixels may be brighter than white.
        usual = float(np.quantile(some, 0.99, method="lower"))
        white = next((w for w in (1.0, 255.0) if usual <= w), white)
    return np.clip(values * (255.0 / white) + 0.5, 0, 255).astype(np.uint8)


def is_deep(image: Image.Image) -> bool:
    """Tells whether Pillow would keep only the upper 8 bits of each channel."""
    if image.mode not in ("RGB", "RGBA", "LA", "RGBX", "RGBa"):
        return False
    if not isinstance(image, ImageFile.ImageFile):
        return False
    return any(";16" in str(tile.args) for tile in image.tile)


def decode_deep(content: bytes) -> np.ndarray | None:
    """Decodes 16-bit channels and floats, which Pillow does not read completely.

    Args:
        content: The content of the file.

    Returns:
        `[H, W, 3]` uint8 with white for transparent pixels, or None if OpenCV cannot
        read the file.
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
