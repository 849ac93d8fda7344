"""Opens videos, cameras and streams with PyAV and names their faults in one line."""

import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qepose_tf.images.video_sources import camera_number, is_stream, shown_name

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame as DecodedFrame
    from av.video.stream import VideoStream

TIMEOUT_S = 10.0  # a stream that answers nothing for so long is lost
# The display matrix's first two rows, as signs -> the EXIF orientation of the same
# turn. FFmpeg keeps the matrix as (a b u, c d v, x y w) in fixed point.
_ORIENTATIONS = {
    (1, 0, 0, 1): 1,
    (-1, 0, 0, 1): 2,
    (-1, 0, 0, -1): 3,
    (1, 0, 0, -1): 4,
    (0, 1, 1, 0): 5,
    (0, 1, -1, 0): 6,
    (0, -1, -1, 0): 7,
    (0, -1, 1, 0): 8,
}
_CAMERAS = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}")}


def pyav(needed_by: str) -> types.ModuleType:
    """Imports the optional package that decodes and writes videos.

    Args:
        needed_by: The name of the video.

    Raises:
        ImportError: The package is missing.
    """
    try:
        import av
    except ModuleNotFoundError:
        raise ImportError(
            f"{needed_by}: videos need PyAV: pip install 'qepose-tf[video]'"
        ) from None
    return av


def open_video(source: str | Path) -> "InputContainer":
    """Opens a video file, a camera or a stream that holds pictures.

    Args:
        source: A path, `camera:0`, or a URL.

    Raises:
        ImportError: PyAV is missing.
        OSError: The file or stream cannot be reached.
        ValueError: It is no video, or holds no pictures.
    """
    name = shown_name(source)
    av = pyav(name)
    try:
        container = av.open(
            metadata_errors="replace", mode="r", **_how_to_open(source, name)
        )
    except av.FFmpegError as error:
        raise fault(source, error) from None
    if _pictures(container) is None:
        held = "sound only" if container.streams.audio else "no pictures"
        container.close()
        raise ValueError(f"{name}: expected a video, but the file holds {held}")
    return container


def video_stream(container: "InputContainer") -> "VideoStream":
    """Returns the stream of pictures of an opened video."""
    stream = _pictures(container)
    assert stream is not None  # `open_video` has looked
    return stream


def _pictures(container: Any) -> "VideoStream | None":
    """The first stream of pictures that is not the cover of a song."""
    from av.stream import Disposition

    covers = Disposition.attached_pic
    streams = [s for s in container.streams.video if not s.disposition & covers]
    return streams[0] if streams else None


def _how_to_open(source: str | Path, name: str) -> dict[str, Any]:
    number = camera_number(source)
    if number is not None:
        if sys.platform not in _CAMERAS:
            raise ValueError(f"{name}: cameras are read on Linux and macOS only")
        format, device = _CAMERAS[sys.platform]
        return {"file": device.format(number), "format": format}
    if not is_stream(source):
        return {"file": str(source)}
    # Over UDP, RTSP loses the packets that a slow reader does not take in time.
    options = {"rtsp_transport": "tcp"} if str(source)[:4].lower() == "rtsp" else {}
    return {"file": str(source), "options": options, "timeout": TIMEOUT_S}


def fault(source: str | Path, error: Exception) -> OSError | ValueError:
    """Returns FFmpeg's error as one line that names the source.

    Args:
        source: As of `open_video`.
        error: An `av.FFmpegError`.
    """
    name = shown_name(source)
    reason = getattr(error, "strerror", None) or str(error)
    if is_stream(source):
        what = "stream" if camera_number(source) is None else "camera"
        return OSError(f"{name}: cannot read the {what}: {reason}")
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(f"{name}: no such video file")
    if isinstance(error, OSError):
        return OSError(f"{name}: cannot read the video: {reason}")
    with Path(source).open("rb") as file:
        head = file.read(12)
    if not head:
        return ValueError(f"{name}: expected a video, got an empty file")
    if head[4:8] == b"ftyp":
        return ValueError(
            f"{name}: the video has no index (moov), so that it cannot be read: its "
            "recording or its copy was cut off"
        )
    return ValueError(f"{name}: expected a video, but the file is of another kind")


def orientation_of_frame(frame: "DecodedFrame") -> int:
    """Returns the EXIF orientation that a frame's display matrix stands for.

    Args:
        frame: Of PyAV. Turns of other than 90 degrees count as upright.
    """
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return 1
    matrix = np.frombuffer(bytes(data), np.int32).reshape(3, 3)[:2, :2]
    signs = np.sign(np.where(np.abs(matrix) > 2**15, matrix, 0))
    return _ORIENTATIONS.get(tuple(signs.ravel().tolist()), 1)
