"""Frames of video files, cameras and streams, decoded beside whoever uses them."""

import errno
import logging
import time as clock
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qepose_tf.images.background import in_background
from qepose_tf.images.orientation import turned
from qepose_tf.images.video_decoding import Decoded, VideoDecoder
from qepose_tf.images.video_opening import (
    fault,
    open_video,
    pyav,
    video_stream,
)
from qepose_tf.images.video_sources import is_stream, shown_name

if TYPE_CHECKING:
    from av.container import InputContainer

logger = logging.getLogger(__name__)

_AHEAD = 4  # decoded frames that wait for the network
_PAUSES_S = (0.5, 1.0, 2.0, 4.0)  # before a lost stream is opened again


@dataclass(frozen=True)
class VideoSpan:
    """The frames of a video that are looked at.

    Attributes:
        every: Each so many frames one is taken, from the first on.
        start: Only frames from this time on, in seconds.
        stop: Only frames before this time, in seconds; None for all.

    Raises:
        ValueError: A number is out of range.
    """

    every: int = 1
    start: float = 0.0
    stop: float | None = None

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"every: expected 1 or more frames, got {self.every}")
        if not self.start >= 0:
            raise ValueError(f"start: expected 0 or more seconds, got {self.start}")
        if self.stop is not None and not self.stop > self.start:
            raise ValueError(
                f"stop: expected more seconds than start ({self.start:g}), "
                f"got {self.stop}"
            )


class VideoFrame:
    """One frame of a video, with its pixels as long as it is the newest.

    Attributes:
        video: The video that it is of.
        number: Counted from 0 over the whole video.
        time: In seconds, as exactly as the file has it.
        duration: In seconds; 0 where the file does not say it.
        tick: The unit of the file's times, in seconds.
        aspect: Width by height of a pixel, upright; 0 where the file does not say it.
    """

    def __init__(
        self, video: "Video", decoded: Decoded, pixels: np.ndarray | None
    ) -> None:
        self.video, self.number = video, decoded.number
        self.time, self.duration = decoded.time, decoded.duration
        self.tick, self.aspect = decoded.tick, decoded.aspect
        self._pixels = pixels
        self._broken = pixels is None

    def __str__(self) -> str:
        return f"{self.video}, frame {self.number}"

    def __repr__(self) -> str:
        return f"<VideoFrame {self} at {self.seconds:.3f} s>"

    @property
    def seconds(self) -> float:
        """When the frame is shown, in seconds."""
        return float(self.time)

    def pixels(self) -> np.ndarray:
        """Returns the frame upright, `[H, W, 3]` uint8, RGB.

        A frame whose pixels were released is decoded again.

        Raises:
            OSError: The video is no longer there, or it is a stream.
            ValueError: The frame is broken.
        """
        if self._broken:
            raise ValueError(f"{self}: the frame is broken and cannot be decoded")
        if self._pixels is None:
            return self.video.pixels_at(self)
        return self._pixels

    def release(self) -> None:
        """Gives the memory of the pixels back."""
        self._pixels = None


class Video:
    """A video file, a camera or a stream, whose frames are decoded in order.

    Rotation that the file asks for is applied. Times are those of the file, also
    where its frames are not evenly spaced.

    Args:
        source: A path, `camera:0`, or a URL such as `rtsp://...`.
        span: The frames to take.

    Attributes:
        name: The source as it is shown, without a password.
        live: Whether it is a camera or a stream without an end.
        span: The frames that are taken.
        broken: The number of frames that could not be decoded so far.
        broken_said: Whether somebody was told of the first of these.
        damaged: The number of frames that were decoded with parts missing.
        dropped: The number of frames of a live source that nobody had time for.
        lost: How often a live source was lost and opened again.

    Raises:
        ImportError: PyAV is missing.

    Example:
        >>> for frame in Video("clip.mp4").frames():  # doctest: +SKIP
        ...     print(frame.number, frame.seconds, frame.pixels().shape)
    """

    def __init__(self, source: str | Path, span: VideoSpan | None = None) -> None:
        self.source = source
        self.name = shown_name(source)
        self.span = span or VideoSpan()
        self.live = is_stream(source)  # until it is opened
        self.broken = self.damaged = self.dropped = self.lost = 0
        self.broken_said = False
        self._first: int | None = None  # the number of the first frame
        pyav(self.name)

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<Video {self}>"

    def frames(self) -> Iterator[VideoFrame]:
        """Yields the frames, decoded by another thread a few ahead.

        A live source drops the oldest of the waiting frames where the caller is
        slower than the camera.

        Raises:
            OSError: The source cannot be read.
            ValueError: It is no video, or it ends before the end that it names; that
                is raised after its last frame.
        """
        container = open_video(self.source)
        self.broken = self.damaged = self.dropped = self.lost = 0
        self._first = None
        # A file on a web server has a length, and no frame of it is dropped.
        self.live = is_stream(self.source) and container.duration is None
        drop = self._drop if self.live else None
        yield from in_background(self._decoded(container), _AHEAD, drop)

    def count(self) -> int | None:
        """Returns about how many frames are taken, None where nobody can know.

        Raises:
            OSError: The file cannot be read.
            ValueError: It is no video.
        """
        if is_stream(self.source) and not _is_web(self.source):
            return None
        with open_video(self.source) as container:
            if container.duration is None:
                return None
            rate = video_stream(container).average_rate or Fraction(25)
            end = container.duration / 1e6
        stop = end if self.span.stop is None else min(self.span.stop, end)
        seconds = max(0.0, stop - self.span.start)
        return max(1, round(seconds * rate / self.span.every))

    def pixels_at(self, frame: VideoFrame) -> np.ndarray:
        """Decodes a frame once more, `[H, W, 3]` uint8.

        Raises:
            OSError: It is no longer there.
        """
        if not is_stream(self.source):
            with open_video(self.source) as container:
                for found in VideoDecoder(container, False).frames(frame.time):
                    pixels = _upright(found) if found.time == frame.time else None
                    if pixels is not None:
                        return pixels
                    if found.time > frame.time:
                        break
        raise OSError(
            f"{frame}: its pixels are gone; take them before the next frame is asked "
            "for"
        )

    def _drop(self, frame: VideoFrame) -> None:
        self.dropped += 1

    def _decoded(self, container: "InputContainer") -> Iterator[VideoFrame]:
        if self.live:
            yield from self._of_stream(container)
        else:
            yield from self._of_file(container)

    def _of_file(self, container: "InputContainer") -> Iterator[VideoFrame]:
        with container:
            decoder = VideoDecoder(container, live=False)
            try:
                for decoded in decoder.frames(_exact(self.span.start)):
                    if self._is_behind(decoded.time):
                        return
                    yield from self._taken(decoded)
            except pyav(self.name).FFmpegError as error:
                raise fault(self.source, error) from None
            finally:
                self.damaged += decoder.damaged
            early = decoder.ended_early()
        if early is not None:
            raise ValueError(f"{self.name}: {early}; the file was cut off")

    def _of_stream(self, container: "InputContainer") -> Iterator[VideoFrame]:
        """The frames of a live source, which is opened again where it is lost."""
        begun, number, since = clock.monotonic(), 0, Fraction(0)
        opened: InputContainer | None = container
        while opened is not None:
            error: Exception | None = None
            with opened:
                decoder = VideoDecoder(opened, live=True)
                try:
                    for decoded in decoder.frames():
                        time = decoded.time + since
                        if self._is_behind(time):
                            return
                        if time >= _exact(self.span.start):
                            yield from self._taken(
                                decoded._replace(number=number, time=time)
                            )
                        number += 1
                except pyav(self.name).FFmpegError as stopped:
                    error = stopped
                self.damaged += decoder.damaged
            reason = error and fault(self.source, error)
            if not number:
                raise reason or ValueError(f"{self.name}: the stream has no frames")
            if self._has_ended(error):
                return
            opened = self._opened_again(number, reason)
            since = Fraction(clock.monotonic() - begun)

    def _has_ended(self, error: Exception | None) -> bool:
        """Whether a web server has sent all: it would only come once more.

        FFmpeg calls it an error where the server did not say that it would close.
        """
        at_end = error is None or getattr(error, "errno", None) == errno.EIO
        return at_end and _is_web(self.source)

    def _opened_again(
        self, number: int, reason: Exception | None
    ) -> "InputContainer | None":
        """Opens a lost stream again, or gives up after some attempts."""
        self.lost += 1
        why = reason or f"{self.name}: the stream ended"
        logger.warning("%s, after %d frames; it is opened again", why, number)
        for pause in _PAUSES_S:
            clock.sleep(pause)
            try:
                return open_video(self.source)
            except (OSError, ValueError) as error:
                why = error
        logger.warning("%s; it is given up after %d frames", why, number)
        return None

    def _is_behind(self, time: Fraction) -> bool:
        return self.span.stop is not None and time >= _exact(self.span.stop)

    def _taken(self, decoded: Decoded) -> Iterator[VideoFrame]:
        """The frame, if it is its turn."""
        if self._first is None:
            self._first = decoded.number
        self.broken += decoded.picture is None
        if (decoded.number - self._first) % self.span.every == 0:
            yield VideoFrame(self, decoded, _upright(decoded))


def results_of(sources: Iterable[object]) -> int | None:
    """Returns about how many pictures and frames there are, None where nobody knows.

    Args:
        sources: Pictures, and `Video`s, which are opened once more.
    """
    count = 0
    for source in sources:
        try:
            frames = source.count() if isinstance(source, Video) else 1
        except (OSError, ValueError):
            frames = 1  # it is told where it is looked at
        if frames is None:
            return None
        count += frames
    return count


def _is_web(source: str | Path) -> bool:
    """Whether a source may be a file of a web server, with an end."""
    return str(source).lower().startswith(("http://", "https://"))


def _exact(seconds: float) -> Fraction:
    """The time that somebody has typed: 1.6 is eight fifths, and no float is."""
    return Fraction(str(seconds))


def _upright(decoded: Decoded) -> np.ndarray | None:
    """The pixels of a frame; None where it is broken."""
    if decoded.picture is None:
        return None
    return turned(decoded.picture.to_ndarray(format="rgb24"), decoded.orientation)
