"""Image files to RGB arrays: the one decoder that every command uses."""

from typing import NamedTuple, Protocol, runtime_checkable

import cv2
import numpy as np
from PIL import Image

from qepose_tf.files.locations import location
from qepose_tf.images.deep_pixels import decode_deep, eight_bits, is_deep
from qepose_tf.images.opening import UnknownFormatError, opened
from qepose_tf.images.orientation import (
    UPRIGHT,
    orientation_of,
    turned,
    turned_back,
)

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_JPEG = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION


class ImageFile(Protocol):
    """Where an image is: a `Path`, a `Url`, or a place in a file of many images.

    Its text names the image in messages.
    """

    def read_bytes(self) -> bytes:
        """The encoded image."""


@runtime_checkable
class IdentifiedFile(ImageFile, Protocol):
    """An `ImageFile` that is neither a `Path` nor a `Url`."""

    def identity(self) -> tuple[str | int, ...]:
        """Numbers and words that change when the image does."""


class StoredPixels(NamedTuple):
    """A decoded picture before its camera's orientation is applied.

    Attributes:
        pixels: `[H, W, 3]` uint8, RGB.
        orientation: EXIF's, 1 to 8, see `orientation.turned`.
    """

    pixels: np.ndarray
    orientation: int


def read_image(source: str | ImageFile | bytes, exif: bool) -> np.ndarray:
    """Decodes an image of any mode to RGB.

    Transparent pixels show white, as on a page. Deeper values and floats are brought
    to 8 bits as `eight_bits` does. Of a file with several pictures the first is read.

    Args:
        source: Path or URL of a file, where else it is, or a file's content.
        exif: Whether the camera's orientation is applied: yes for a user's photos;
            annotated pictures are read by `data.coco.pictures`, which decides.

    Returns:
        `[H, W, 3]` uint8.

    Raises:
        FileNotFoundError: There is no such file.
        OSError: The file cannot be opened.
        ValueError: The file is empty, truncated or no image.
    """
    if isinstance(source, bytes):
        content, name = source, "image bytes"
    else:
        file = location(source) if isinstance(source, str) else source
        content, name = read_content(file), str(file)
    pixels, orientation = decode_stored(content, name)
    return turned(pixels, orientation) if exif else pixels


def read_picture(source: str | ImageFile | bytes, exif: bool) -> Image.Image:
    """As `read_image`, in Pillow's own form, for those who go on with Pillow."""
    return Image.fromarray(read_image(source, exif))


def decode_stored(content: bytes, name: str) -> StoredPixels:
    """Decodes an image in stored pixel order, and says how it is to be turned.

    Args:
        content: Of the file.
        name: What messages call it.

    Raises:
        ValueError: The content is empty, truncated or no image.
    """
    try:
        with opened(content, name) as image:
            return _stored(image, content)
    except UnknownFormatError:
        # OpenCV knows TIFFs that Pillow does not, as those of three floats.
        pixels = decode_deep(content) if content[:4] in _TIFF else None
        if pixels is None:
            raise
        return StoredPixels(pixels, UPRIGHT)


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


def to_rgb(image: Image.Image) -> np.ndarray:
    """A picture of any mode as `[H, W, 3]` uint8, see `read_image`."""
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(eight_bits(np.asarray(image)))
    if "A" in image.getbands() or "a" in image.getbands() or _has_transparency(image):
        image = image.convert("RGBA")
        page = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(page, image)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _stored(image: Image.Image, content: bytes) -> StoredPixels:
    if image.format in ("JPEG", "MPO") and image.mode == "RGB":
        # The same library, and equal pixels, without Pillow's copy to four bytes a
        # pixel. Pillow says what is wrong with a file that OpenCV refuses.
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), _JPEG)
        if pixels is not None and _is_whole(pixels, image):
            return StoredPixels(pixels, orientation_of(image))
    before, deep = orientation_of(image, of_header=True), is_deep(image)
    image.load()
    orientation, pixels = orientation_of(image), decode_deep(content) if deep else None
    if pixels is not None:
        return StoredPixels(pixels, before)
    pixels = to_rgb(image)
    if before != UPRIGHT and orientation == UPRIGHT:
        # Newer Pillows turn a TIFF while they decode it.
        return StoredPixels(turned_back(pixels, before), before)
    return StoredPixels(pixels, orientation)


def _is_whole(pixels: np.ndarray, image: Image.Image) -> bool:
    """False where OpenCV may have filled up what a damaged file does not hold.

    It does so with grey down to the last row. A sound picture whose last row is of one
    colour is decoded twice.
    """
    if pixels.shape[1::-1] != image.size:
        return False
    last_row = pixels[-1]
    return bool((last_row != last_row[0]).any())


def _has_transparency(image: Image.Image) -> bool:
    return "transparency" in image.info and image.mode in ("P", "L", "RGB", "1")
