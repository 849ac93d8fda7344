"""Image files to RGB arrays: the one decoder that every command uses."""

import io
import struct
import zlib
from typing import Protocol

import numpy as np
from PIL import Image, ImageOps

from qepose_tf.files.locations import location

# What Pillow's decoders raise on a damaged file, depending on the format.
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
_SIXTEEN_BIT = 257  # 65535 / 255


class ImageFile(Protocol):
    """Where an image is: a `Path`, a `Url`, or a place in a file of many images.

    Its text names the image in messages. What is neither of the first two also has
    `identity()`, numbers and words that change when the image does.
    """

    def read_bytes(self) -> bytes:
        """The encoded image."""


def read_image(source: str | ImageFile | bytes, exif: bool) -> np.ndarray:
    """Decodes an image of any mode to RGB.

    Transparent pixels show white, as on a page. 16-bit values are scaled to 8 bits;
    floats are taken as 0 to 255. Of an animation the first frame is read.

    Args:
        source: Path or URL of a file, where else it is, or a file's content.
        exif: Whether the camera's orientation is applied: yes for a user's photos, no
            for COCO, whose annotations are in stored pixel order.

    Returns:
        `[H, W, 3]` uint8.

    Raises:
        FileNotFoundError: There is no such file.
        OSError: The file cannot be opened.
        ValueError: The file is empty, truncated or no image.
    """
    return np.array(read_picture(source, exif))


def read_picture(source: str | ImageFile | bytes, exif: bool) -> Image.Image:
    """As `read_image`, in Pillow's own form, for those who go on with Pillow."""
    if isinstance(source, bytes):
        return decode_picture(source, "image bytes", exif)
    file = location(source) if isinstance(source, str) else source
    return decode_picture(read_content(file), str(file), exif)


def decode_picture(content: bytes, name: str, exif: bool) -> Image.Image:
    """As `read_picture`, of a file's content.

    Args:
        content: Of the file.
        name: What messages call it.
        exif: See `read_image`.

    Raises:
        ValueError: The content is empty, truncated or no image.
    """
    if not content:
        raise ValueError(f"{name}: expected an image, got an empty file")
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            if exif:
                image = ImageOps.exif_transpose(image)
            return _to_rgb(image)
    except Image.UnidentifiedImageError:
        raise ValueError(f"{name}: expected an image, got an unknown format") from None
    except _BROKEN as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{name}: broken image, {reason}") from None


def read_content(file: ImageFile) -> bytes:
    """An image file's bytes.

    Raises:
        FileNotFoundError: There is no such file.
        OSError: The file cannot be read.
        ValueError: What is stored there is damaged.
    """
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"{file}: no such image file") from None
    except OSError as error:
        raise OSError(f"{file}: cannot read the image, {error.strerror}") from None


def resize_image(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resizes a uint8 image bilinearly, antialiased where it shrinks.

    A pixel at `x` moves to `(x + 0.5) * scale - 0.5`.

    Args:
        image: `[H, W, 3]` or `[H, W]` uint8.
        height: Of the result.
        width: Of the result.

    Returns:
        `[height, width, 3]` or `[height, width]` uint8.
    """
    if image.shape[:2] == (height, width):
        return image
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    return np.array(resized)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # I;16, I;16B and what older Pillows open as I
        eight_bit = np.asarray(image).astype(np.float64) / _SIXTEEN_BIT
        image = Image.fromarray(np.clip(eight_bit + 0.5, 0, 255).astype(np.uint8))
    elif image.mode == "F":
        values = np.nan_to_num(np.asarray(image))
        image = Image.fromarray(np.clip(values + 0.5, 0, 255).astype(np.uint8))
    if "A" in image.getbands() or "a" in image.getbands() or _has_transparency(image):
        image = image.convert("RGBA")
        page = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(page, image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _has_transparency(image: Image.Image) -> bool:
    return "transparency" in image.info and image.mode in ("P", "L", "RGB", "1")
