"""Reads the size and the EXIF orientation of an image from its header."""

from pathlib import Path
from typing import NamedTuple

from PIL import ExifTags, Image, TiffImagePlugin

from qepose_tf.images.decoding import ImageFile, read_content
from qepose_tf.images.opening import opened
from qepose_tf.images.orientation import orientation_of


class Header(NamedTuple):
    """The facts about an image that its file's header holds.

    Attributes:
        height: The height of the stored pixels.
        width: The width of the stored pixels.
        orientation: The EXIF orientation, 1 to 8. It is 1 for a PNG that stores it
            after the pixels.
    """

    height: int
    width: int
    orientation: int


def read_header(file: ImageFile) -> Header:
    """Reads the header of an image; of a local file only the header is read.

    Raises:
        FileNotFoundError: The file does not exist.
        OSError: The file cannot be read.
        ValueError: The file is empty or no image, or the image is too large.
    """
    content = file if isinstance(file, Path) else read_content(file)
    with opened(content, str(file)) as image:
        width, height = _stored_size(image)
        return Header(height, width, orientation_of(image, of_header=True))


def _stored_size(image: Image.Image) -> tuple[int, int]:
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        # Newer versions of Pillow give the size after the orientation is applied.
        tags = image.tag_v2
        return tags[ExifTags.Base.ImageWidth], tags[ExifTags.Base.ImageLength]
    return image.size
