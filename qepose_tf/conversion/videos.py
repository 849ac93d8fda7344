"""Frames of videos, read by sleap-io, so that their numbers are those of the labels."""

import functools
import types
from pathlib import Path
from typing import Any

from qepose_tf.conversion.labels import Frame


def sleap_io(needed_by: object) -> types.ModuleType:
    """The optional package.

    Args:
        needed_by: The file that cannot be read without.

    Raises:
        ImportError: It is missing; the line says how to install it.
    """
    try:
        import sleap_io
    except ModuleNotFoundError:
        raise ImportError(
            f"{needed_by}: sleap-io is missing: pip install qepose-tf[convert]"
        ) from None
    return sleap_io


def video_frame(file: Path, index: int) -> Frame:
    """A frame of a video.

    Args:
        file: The video.
        index: From 0.
    """
    return Frame(str(file), index, lambda: _opened(file)[index])


@functools.lru_cache(maxsize=4)  # frames are written video by video
def _opened(file: Path) -> Any:
    return sleap_io(file).load_video(str(file))
