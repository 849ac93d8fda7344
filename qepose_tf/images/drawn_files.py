"""Writes drawings as JPEG files, and recognises such files later."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

SUFFIX = "_poses.jpg"
_COMMENT = b"drawn by qepose predict"
_QUALITY = 95


def drawing_bytes(image: np.ndarray) -> bytes:
    """Encodes a drawing `[H, W, 3]` uint8 as a JPEG file for `is_drawing`."""
    content = io.BytesIO()
    Image.fromarray(image).save(
        content, "JPEG", quality=_QUALITY, subsampling=0, comment=_COMMENT
    )
    return content.getvalue()


def is_drawing(path: Path) -> bool:
    """Tells by its name and JPEG comment whether this package drew a file."""
    if not path.name.endswith(SUFFIX):
        return False
    try:
        with Image.open(path) as image:
            return image.info.get("comment") == _COMMENT
    except (OSError, SyntaxError, ValueError):
        return False
