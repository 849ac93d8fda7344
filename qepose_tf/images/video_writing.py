"""Writes frames as an MP4 file with the times and the sound of their video."""

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np

from qepose_tf.images.video_opening import pyav
from qepose_tf.images.video_sound import VideoSound
from qepose_tf.images.video_sources import COMMENT

# The encoder's speed against its size, and its quality: there is no visible loss.
_ENCODER = {"preset": "veryfast", "crf": "20"}
_FINEST = 1_000_000  # ticks a second
_TICK = Fraction(1, 90_000)  # where the video's own are finer than that
_HIGH = 720  # rows from which players take colours to be those of BT.709
_BT709, _BT601, _LIMITED = 1, 6, 1  # FFmpeg's numbers of colour spaces and ranges


class VideoWriter:
    """Encodes frames as H.264 and muxes the sound of their video between them.

    Frames with an odd side get one more row or column, as H.264 needs it; frames of
    another size than the first are resized.

    Args:
        path: The file, which is written over.
        start: The time of the video, in seconds, that becomes 0.
        sound: The video whose sound is taken; None for none.

    Raises:
        ImportError: PyAV is missing.
        OSError: The file cannot be written.
    """

    def __init__(
        self,
        path: Path,
        start: Fraction = Fraction(0),
        sound: str | Path | None = None,
    ) -> None:
        self._av = pyav(str(path))
        self._output = self._av.open(str(path), "w", format="mp4")
        self._output.metadata["comment"] = COMMENT
        self._start = start
        self._stream: Any = None
        self._source = sound
        self._sound: VideoSound | None = None
        self._last = -1  # ticks
        self._end = Fraction(0)

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self._output.close()

    def add(
        self,
        image: np.ndarray,
        time: Fraction,
        duration: Fraction = Fraction(0),
        tick: Fraction | None = None,
        aspect: Fraction = Fraction(0),
    ) -> None:
        """Writes a frame.

        Args:
            image: `[H, W, 3]` uint8, RGB.
            time: Of the video, in seconds; later than the frame before.
            duration: In seconds; 0 where it is unknown.
            tick: The unit of the video's times, in seconds, kept where it can be.
            aspect: Width by height of a pixel; 0 where it is unknown.
        """
        if self._stream is None:
            self._begin(image, tick, aspect)
        frame = self._frame(image)
        at = time - self._start
        frame.pts = max(round(at / self._tick), self._last + 1)
        frame.time_base = self._tick
        frame.duration = round(duration / self._tick)
        self._last = frame.pts
        self._end = at + duration
        if self._sound is not None:
            self._sound.until(at)
        self._output.mux(self._stream.encode(frame))

    def close(self, whole: bool = True) -> None:
        """Finishes the file.

        Args:
            whole: Whether the sound behind the last frame belongs to it.
        """
        if self._stream is not None:
            self._output.mux(self._stream.encode(None))
        if self._sound is not None:
            self._sound.close(None if whole else self._end)
        self._output.close()

    def _begin(
        self, image: np.ndarray, tick: Fraction | None, aspect: Fraction
    ) -> None:
        """Adds the streams, which need the size of the first frame."""
        from av.codec.context import Flags

        coarse = tick is not None and tick.denominator <= _FINEST
        self._tick = tick if tick is not None and coarse else _TICK
        stream = self._output.add_stream("libx264", options=_ENCODER)
        height, width = image.shape[:2]
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = self._tick
        stream.codec_context.flags |= Flags.frame_duration  # kept up to the last frame
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        stream.codec_context.color_range = _LIMITED
        self._bt709 = height >= _HIGH
        stream.codec_context.colorspace = _BT709 if self._bt709 else _BT601
        self._stream = stream
        if self._source is not None:
            self._sound = VideoSound(self._source, self._output, self._start)

    def _frame(self, image: np.ndarray) -> Any:
        width, height = self._stream.width, self._stream.height
        down, right = height - image.shape[0], width - image.shape[1]
        if not (0 <= down <= 1 and 0 <= right <= 1):
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        elif down or right:
            image = np.pad(image, ((0, down), (0, right), (0, 0)), "edge")
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(image))
        space = "ITU709" if self._bt709 else "ITU601"
        return frame.reformat(format="yuv420p", dst_colorspace=space)
