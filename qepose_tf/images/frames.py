"""Reads files that hold several images: animations and TIFFs with several pages."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, TiffImagePlugin

from qepose_tf.images.decoding import to_rgb
from qepose_tf.images.opening import named_faults, open_image, opened
from qepose_tf.images.orientation import orientation_of, turned

# In other formats, such as MPO and HEIC, the further images are views or copies of the
# first one.
_FORMATS = frozenset(("GIF", "TIFF", "PNG", "WEBP", "AVIF"))
_SUBFILE = 254  # the tag of a TIFF for the kind of a page
_NO_PAGE = 1 | 4  # the kinds "smaller copy of another page" and "mask"


@dataclass(frozen=True, eq=False)
class Frame:
    """One image of a file that holds several.

    Attributes:
        path: The path of the file.
        number: The number of the frame, from 1.
        reader: The reader of the file, which is fastest if frames are read in order.
    """

    path: Path
    number: int
    reader: "FrameReader"

    def __str__(self) -> str:
        return f"{self.path}, frame {self.number}"

    def pixels(self) -> np.ndarray:
        """Returns the image upright, `[H, W, 3]` uint8.

        Raises:
            OSError: The file cannot be read.
            ValueError: The frame is broken.
        """
        return self.reader.read(self.number)


class FrameReader:
    """Decodes the frames of a file one after another.

    Args:
        path: The path of the file.
        numbers: The indices, from 0, of the frames that are images of their own.
    """

    def __init__(self, path: Path, numbers: Sequence[int]) -> None:
        self._path = path
        self._numbers = numbers
        self._lock = threading.Lock()
        self._image: Image.Image | None = None

    def again(self) -> "FrameReader":
        """Returns another reader of the same frames with its own open file."""
        return FrameReader(self._path, self._numbers)

    def read(self, number: int) -> np.ndarray:
        """Returns frame `number`, counted from 1, as `[H, W, 3]` uint8.

        Raises:
            OSError: The file cannot be read.
            ValueError: The frame is broken.
        """
        name = f"{self._path}, frame {number}"
        with self._lock, named_faults(name):
            if self._image is None:
                self._image = open_image(self._path.read_bytes(), name)
            self._image.seek(self._numbers[number - 1])
            self._image.load()
            return turned(to_rgb(self._image), orientation_of(self._image))


def frames_of(path: Path) -> list[Frame]:
    """Returns the frames of a file that holds several images.

    The list is empty for a file with one image, and for a file that is missing or
    broken; reading such a file then raises the error.
    """
    try:
        with opened(path, str(path)) as image:
            if image.format not in _FORMATS or getattr(image, "n_frames", 1) < 2:
                return []
            count = getattr(image, "n_frames", 1)
            numbers = [n for n in range(count) if _is_picture(image, n)]
    except (OSError, ValueError):
        return []
    reader = FrameReader(path, numbers)
    frames = [Frame(path, number, reader) for number in range(1, len(numbers) + 1)]
    return frames if len(frames) > 1 else []


def _is_picture(image: Image.Image, number: int) -> bool:
    """Returns False for the small copies and masks that a TIFF keeps of its pages."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return True
    image.seek(number)
    return not image.tag_v2.get(_SUBFILE, 0) & _NO_PAGE
