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
    """A place that holds an image: a `Path`, a `Url`, or a part of a larger file.

    `str()` of it names the image in messages.
    """

    def read_bytes(self) -> bytes:
        """Returns the encoded image."""


@runtime_checkable
class IdentifiedFile(ImageFile, Protocol):
    """An `ImageFile` that is neither a `Path` nor a `Url`."""

    def identity(self) -> tuple[str | int, ...]:
        """Returns values that change when the image changes, such as its checksum."""


class StoredPixels(NamedTuple):
    """A decoded image before its EXIF orientation is applied.

    Attributes:
        pixels: The pixels as stored, `[H, W, 3]` uint8, RGB.
        orientation: The EXIF orientation, 1 to 8; `turned` applies it.
    """

    pixels: np.ndarray
    orientation: int


def read_image(source: str | ImageFile | bytes, exif: bool) -> np.ndarray:
    """Decodes an image of any mode to RGB.

    Transparent pixels become white. Values of more than 8 bits and floats are scaled
    to 8 bits by `eight_bits`. If a file holds several images, the first one is read.

    Args:
        source: The path or URL of a file, another `ImageFile`, or the content of a
            file.
        exif: Whether the EXIF orientation is applied. Photos of a user need True;
            `data.coco.pictures` reads annotated images and decides for each.

    Returns:
        `[H, W, 3]` uint8.

    Raises:
        FileNotFoundError: The file does not exist.
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
    """Decodes an image like `read_image` and returns it as a Pillow image."""
    return Image.fromarray(read_image(source, exif))


def decode_stored(content: bytes, name: str) -> StoredPixels:
    """Decodes an image as its pixels are stored, and reads its EXIF orientation.

    Args:
        content: The content of the file.
        name: The name of the image in messages.

    Raises:
        ValueError: The content is empty, truncated or no image.
    """
    try:
        with opened(content, name) as image:
            return _stored(image, content)
    except UnknownFormatError:
        # OpenCV reads some TIFFs that Pillow does not, such as RGB in floats.
        pixels = decode_deep(content) if content[:4] in _TIFF else None
        if pixels is None:
            raise
        return StoredPixels(pixels, UPRIGHT)


def read_content(file: ImageFile) -> bytes:
    """Returns the content of an image file.

    Raises:
        FileNotFoundError: The file does not exist.
        OSError: The file cannot be read.
        ValueError: The stored content is damaged.
    """
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"{file}: no such image file") from None
    except OSError as error:
        raise OSError(f"{file}: cannot read the image, {error.strerror}") from None


def resize_image(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resizes a uint8 image bilinearly, with antialiasing if it becomes smaller.

    A point at `x` moves to `(x + 0.5) * scale - 0.5`.

    Args:
        image: `[H, W, 3]` or `[H, W]` uint8.
        height: The height of the result in pixels.
        width: The width of the result in pixels.

    Returns:
        `[height, width, 3]` or `[height, width]` uint8.
    """
    if image.shape[:2] == (height, width):
        return image
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    return np.array(resized)


def to_rgb(image: Image.Image) -> np.ndarray:
    """Converts a Pillow image of any mode to `[H, W, 3]` uint8, see `read_image`."""
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(eight_bits(np.asarray(image)))
    if "A" in image.getbands() or "a" in image.getbands() or _has_transparency(image):
        image = image.convert("RGBA")
        page = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(page, image)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _stored(image: Image.Image, content: bytes) -> StoredPixels:
    if image.format in ("JPEG", "MPO") and image.mode == "RGB":
        # OpenCV and Pillow use the same JPEG library and give equal pixels, but Pillow
        # copies to four bytes per pixel. If OpenCV fails, Pillow's error says why.
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
        # Newer versions of Pillow apply a TIFF's orientation while they decode it.
        return StoredPixels(turned_back(pixels, before), before)
    return StoredPixels(pixels, orientation)


def _is_whole(pixels: np.ndarray, image: Image.Image) -> bool:
    """Returns False if OpenCV may have filled in missing parts of a damaged file.

    OpenCV fills everything down to the last row with grey. An intact image whose last
    row has a single colour also gives False and is decoded again by Pillow.
    """
    if pixels.shape[1::-1] != image.size:
        return False
    last_row = pixels[-1]
    return bool((last_row != last_row[0]).any())


def _has_transparency(image: Image.Image) -> bool:
    return "transparency" in image.info and image.mode in ("P", "L", "RGB", "1")
