"""Takes the sound of a video into the video that is drawn of it."""

import logging
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from qepose_tf.images.video_decoding import clock_start
from qepose_tf.images.video_opening import open_video
from qepose_tf.images.video_sources import shown_name

if TYPE_CHECKING:
    from pathlib import Path

    from av.container import OutputContainer

logger = logging.getLogger(__name__)

# What MP4 holds and players play; other sound is encoded anew.
_COPIED = frozenset(("aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"))
_USUAL_LAYOUTS = {"1 channels": "mono", "2 channels": "stereo", "6 channels": "5.1"}
_HIGHEST_RATE = 48_000  # Hz, of the sound that is encoded anew


class VideoSound:
    """The first sound of a video, packet by packet beside the pictures.

    Args:
        source: The video.
        output: The MP4 file, to which nothing has been written yet.
        start: The time of the video, in seconds, that becomes 0.
    """

    def __init__(
        self, source: "str | Path", output: "OutputContainer", start: Fraction
    ) -> None:
        self._name = shown_name(source)
        self._output = output
        self._container = open_video(source)
        self._start = start + (clock_start(self._container) or 0)
        stream = next(iter(self._container.streams.audio), None)
        self._waiting: Iterator[Any] = iter(())
        self._next: Any = None
        self._encoder: Any = None
        if stream is None:
            return
        base = stream.time_base or Fraction(1, 1000)
        if self._start > 0:
            self._container.seek(int(self._start / base), stream=stream)
        if (
            stream.codec_context.codec.canonical_name
            in _COPIED & output.supported_codecs
        ):
            self._target: Any = output.add_stream_from_template(stream)
            self._waiting = self._copied(stream)
        else:
            rate = min(stream.codec_context.sample_rate, _HIGHEST_RATE)
            # AVI and WAV count channels, but do not say which is which.
            own = stream.codec_context.layout
            layout = _USUAL_LAYOUTS.get(own.name, own.name)
            self._target = output.add_stream("aac", rate=rate, layout=layout)
            self._encoder = self._target
            self._waiting = self._decoded(stream)
        self._next = next(self._waiting, None)

    def until(self, end: Fraction | None) -> None:
        """Writes the sound before a time.

        Args:
            end: In seconds of the drawn video; None for all that there is.
        """
        while self._next is not None and (end is None or self._next[0] < end):
            _, item = self._next
            self._output.mux(self._encoder.encode(item) if self._encoder else item)
            self._next = next(self._waiting, None)

    def close(self, end: Fraction | None) -> None:
        """Writes the sound before a time, as `until`, and closes the video."""
        self.until(end)
        if self._encoder:
            self._output.mux(self._encoder.encode(None))
        self._container.close()

    def _copied(self, stream: Any) -> Iterator[tuple[Fraction, Any]]:
        """The packets from the start on, with the times of the drawn video."""
        shift = round(self._start / stream.time_base)
        for packet in self._readable(stream):
            # A file that was cut off ends with a part of a packet, and what an edit
            # list leaves out is not to be heard.
            if packet.is_corrupt or packet.is_discard:
                continue
            if packet.pts is None or not packet.size:
                continue
            if packet.pts + (packet.duration or 0) <= shift:
                continue
            packet.pts -= shift
            packet.dts = packet.pts if packet.dts is None else packet.dts - shift
            packet.stream = self._target
            yield packet.pts * stream.time_base, packet

    def _decoded(self, stream: Any) -> Iterator[tuple[Fraction, Any]]:
        """The decoded sound from the start on."""
        for packet in self._readable(stream):
            for frame in packet.decode():
                if frame.pts is None:
                    continue
                time = frame.pts * frame.time_base - self._start
                if time + Fraction(frame.samples, frame.sample_rate) <= 0:
                    continue
                frame.pts = round(time / frame.time_base)
                yield time, frame

    def _readable(self, stream: Any) -> Iterator[Any]:
        """The packets up to the first that cannot be read."""
        from av.error import FFmpegError

        try:
            yield from self._container.demux(stream)
        except FFmpegError as error:
            logger.warning("%s: its sound ends early: %s", self._name, error.strerror)
