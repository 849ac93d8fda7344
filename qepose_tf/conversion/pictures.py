"""Pictures on their way into the new folder: measured, copied, linked or decoded."""

import dataclasses
import io
import os
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from qepose_tf.conversion.labels import Embedded, Frame, Picture
from qepose_tf.images.decoding import read_picture

_ORIENTATION = 0x0112  # EXIF's number of the tag
_QUARTER_TURNS = (5, 6, 7, 8)


@dataclasses.dataclass(frozen=True)
class Measured:
    """A picture file's size as it was annotated.

    Attributes:
        size: (width, height).
        turned: Whether it was annotated another way than its pixels are stored, so
            that it has to be written anew.
    """

    size: tuple[int, int]
    turned: bool


def measure(picture: Picture, upright: bool) -> Measured | str:
    """The size of a picture's file, from its header.

    Args:
        picture: That is no frame of a video.
        upright: Whether it was annotated as its orientation tag says, where the
            annotated size does not tell.

    Returns:
        The size; or why the picture cannot be used.
    """
    source = picture.source
    if isinstance(source, Path) and not source.is_file():
        return "pictures without a file; left out"
    embedded = isinstance(source, Embedded)
    try:
        content = io.BytesIO(source.content) if embedded else str(source)
        with Image.open(content) as image:
            stored, tag = image.size, image.getexif().get(_ORIENTATION, 1)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return "pictures that cannot be decoded; left out"
    shown = stored[::-1] if tag in _QUARTER_TURNS else stored
    if picture.size is not None and picture.size not in (stored, shown):
        return "pictures of another size than was annotated; left out"
    turned = tag in range(2, 9) and upright
    if picture.size is not None and stored != shown:
        turned = picture.size == shown
    return Measured(shown if turned else stored, turned)


def suffix_of(picture: Picture, measured: Measured | None) -> str:
    """What the name of the written file ends in; PNG for what is written anew."""
    if measured is None or measured.turned:
        return ".png"
    return Path(str(picture.source)).suffix


def write_picture(
    picture: Picture, measured: Measured | None, target: Path, link: bool
) -> tuple[int, int]:
    """Writes one picture.

    Args:
        picture: Which.
        measured: From `measure`; None for a frame of a video.
        target: The file to write.
        link: Make a symbolic link where the file stays as it is.

    Returns:
        (width, height).

    Raises:
        OSError: It cannot be read or written.
        ValueError: A frame or picture cannot be decoded.
    """
    source = picture.source
    if isinstance(source, Frame):
        return _write_frame(source, target)
    if measured is None:
        raise TypeError(f"{source}: expected a measured picture")
    content = source.content if isinstance(source, Embedded) else source
    if measured.turned:
        read_picture(content, exif=True).save(target)
    elif isinstance(source, Embedded):
        target.write_bytes(source.content)
    elif link:
        os.symlink(source.resolve(), target)
    else:
        shutil.copyfile(source, target)
    return measured.size


def _write_frame(frame: Frame, target: Path) -> tuple[int, int]:
    try:
        pixels = np.asarray(frame.read())
    except (ImportError, MemoryError):
        raise
    except Exception as error:  # each of sleap-io's readers has errors of its own
        reason = " ".join(str(error).split())
        raise ValueError(f"{frame}: cannot be read, {reason}") from error
    if pixels.ndim == 3 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    image = Image.fromarray(pixels)
    image.save(target, compress_level=1)  # a third of the time for a tenth more bytes
    return image.size
