"""Files of drawn pictures: written, and told from pictures that somebody took."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

SUFFIX = "_poses.jpg"
_COMMENT = b"drawn by qepose predict"
_QUALITY = 95


def drawing_bytes(image: np.ndarray) -> bytes:
    """A drawing `[H, W, 3]` uint8 as a JPEG file, which `is_drawing` recognises."""
    content = io.BytesIO()
    Image.fromarray(image).save(
        content, "JPEG", quality=_QUALITY, subsampling=0, comment=_COMMENT
    )
    return content.getvalue()


def is_drawing(path: Path) -> bool:
    """Whether a file was drawn by this package, by its name and the comment in it."""
    if not path.name.endswith(SUFFIX):
        return False
    try:
        with Image.open(path) as image:
            return image.info.get("comment") == _COMMENT
    except (OSError, SyntaxError, ValueError):
        return False
