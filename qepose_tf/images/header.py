"""The size and the orientation of a picture, of its file's header alone."""

from pathlib import Path
from typing import NamedTuple

from PIL import ExifTags, Image, TiffImagePlugin

from qepose_tf.images.decoding import ImageFile, read_content
from qepose_tf.images.opening import opened
from qepose_tf.images.orientation import orientation_of


class Header(NamedTuple):
    """What a file says of its picture before any pixel is decoded.

    Attributes:
        height: Of the stored pixels.
        width: Of the stored pixels.
        orientation: EXIF's, 1 to 8. It is 1 where it stands behind a PNG's pixels.
    """

    height: int
    width: int
    orientation: int


def read_header(file: ImageFile) -> Header:
    """Reads a picture's header, of a local file nothing else.

    Raises:
        FileNotFoundError: There is no such file.
        OSError: The file cannot be read.
        ValueError: The file is empty, no image, or too large a one.
    """
    content = file if isinstance(file, Path) else read_content(file)
    with opened(content, str(file)) as image:
        width, height = _stored_size(image)
        return Header(height, width, orientation_of(image, of_header=True))


def _stored_size(image: Image.Image) -> tuple[int, int]:
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        # Newer Pillows give the size of the turned picture.
        tags = image.tag_v2
        return tags[ExifTags.Base.ImageWidth], tags[ExifTags.Base.ImageLength]
    return image.size
