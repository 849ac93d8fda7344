"""Decodes an opened video to its frames in the order in which they are shown."""

import bisect
import heapq
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame as DecodedFrame

from qepose_tf.images.orientation import QUARTER_TURNS, UPRIGHT
from qepose_tf.images.video_opening import orientation_of_frame, video_stream

# Formats whose clock starts anywhere, so that only differences of times say something.
_OWN_CLOCKS = frozenset(("mpegts", "mpeg", "rtsp", "sdp", "hls", "flv"))
_COUNTED = "mp4"  # the format whose index says how many frames there are
_MISSING_S = 0.5  # a file that ends so much earlier than it says was cut off
_HIDING = frozenset(("vp8", "libvpx"))
_USUAL_RATE = 25
_BEGIN = Fraction(0)


class Decoded(NamedTuple):
    """A frame of a video, or the place of one that could not be decoded.

    Attributes:
        number: Counted from 0 over the whole video.
        time: In seconds, exactly as the file has it.
        duration: In seconds; 0 where the file does not say it.
        tick: The unit of the file's times, in seconds.
        aspect: Width by height of an upright pixel; 0 where the file does not say it.
        orientation: That of EXIF which brings the picture upright.
        picture: PyAV's frame; None where it is broken.
    """

    number: int
    time: Fraction
    duration: Fraction
    tick: Fraction
    aspect: Fraction
    orientation: int
    picture: "DecodedFrame | None"


def _format_names(container: "InputContainer") -> set[str]:
    return set(container.format.name.split(","))


def clock_start(container: "InputContainer") -> Fraction | None:
    """Returns the time, in seconds, that a video's clock shows at its first picture.

    It is 0 in formats whose clock starts at 0, also where the first picture comes
    later; None where the clock starts anywhere and its start is unknown.
    """
    if not _format_names(container) & _OWN_CLOCKS:
        return Fraction(0)
    stream = video_stream(container)
    if stream.start_time is None or stream.time_base is None:
        return None
    return stream.start_time * stream.time_base


class _Place(NamedTuple):
    """Where a packet's frame should come, and whether its decoding failed."""

    time: Fraction
    failed: bool


class VideoDecoder:
    """Decodes the frames of an opened video from a time on.

    Args:
        container: The opened video; it is decoded once.
        live: Whether it is a camera or a stream, whose clock starts anywhere.

    Attributes:
        damaged: The number of frames that were decoded although parts were missing.
    """

    def __init__(self, container: "InputContainer", live: bool) -> None:
        self._container = container
        self._stream = video_stream(container)
        # By slices, PyAV's default: where frames are decoded in several threads, a
        # broken one takes its neighbours with it.
        self._base = self._stream.time_base or Fraction(1, 1000)
        names = _format_names(container)
        self._counted = _COUNTED in names
        self._average = self._stream.average_rate
        self._rate = self._stream.guessed_rate or Fraction(_USUAL_RATE)
        self._from_avi = "avi" in names
        self._origin = None if live else clock_start(container)
        # Whether a packet without a frame is a broken frame. Some packets of VP8 are
        # never shown, two of an interlaced video are one frame, and a stream is joined
        # anywhere.
        self._sure = not live and self._stream.codec_context.name not in _HIDING
        self._orientations: dict[int, int] = {}  # by PyAV's rotation
        self._gone: set[Fraction] = set()  # the times of broken frames
        self._seen = 0  # packets of pictures
        # Where the last packet ends: of any stream, and of the pictures.
        self._reached = self._pictures_reached = Fraction(0)
        self.damaged = 0

    def frames(self, start: Fraction = _BEGIN) -> Iterator[Decoded]:
        """Decodes the frames that are shown at `start` or later.

        Args:
            start: In seconds. The file is searched for it, and not decoded up to it.

        Yields:
            Frames and broken frames by time.

        Raises:
            av.FFmpegError: The file or stream cannot be read any further.
        """
        places = self._go_to(start) if start > 0 else []
        number = 0
        for time, duration, picture in self._in_order():
            if start > 0 and time < start:
                continue  # between the last key frame and the start
            number = number or bisect.bisect_left(places, time)
            turn = UPRIGHT if picture is None else self._orientation(picture)
            aspect = self._stream.sample_aspect_ratio or Fraction(0)
            if aspect and turn in QUARTER_TURNS:
                aspect = 1 / aspect
            yield Decoded(number, time, duration, self._base, aspect, turn, picture)
            number += 1

    def _orientation(self, picture: "DecodedFrame") -> int:
        """The EXIF orientation of a frame, looked up once for each rotation.

        A frame whose side data were asked for refers to itself, so that its memory is
        free only when Python's collector comes by: 130 MiB of small frames.
        """
        rotation = picture.rotation
        if rotation not in self._orientations:
            self._orientations[rotation] = orientation_of_frame(picture)
        return self._orientations[rotation]

    def ended_early(self) -> str | None:
        """Says, after the last frame, in what way the file is shorter than it says."""
        if self._counted and self._seen < self._stream.frames:
            # An index may name more frames than an edited video shows.
            shown = (self._stream.duration or 0) * self._base
            if self._pictures_reached < shown - Fraction(3, 2) / self._rate:
                return f"ends after {self._seen} of {self._stream.frames} frames"
            return None
        expected = Fraction(self._container.duration or 0, 1_000_000)
        if self._from_avi and self._average:
            expected = max(expected, self._stream.frames / self._average)
        if self._reached and self._reached < expected - _MISSING_S:
            reached, said = float(self._reached), float(expected)
            return f"ends after {reached:.1f} of {said:.1f} seconds"
        return None

    def _in_order(
        self,
    ) -> Iterator[tuple[Fraction, Fraction, "DecodedFrame | None"]]:
        """Frames by time, with the places of broken ones between them."""
        places: list[_Place] = []
        step = 1 / self._rate
        last = -step
        for packet in self._packets():
            for picture in self._decoded(packet, places):
                time = last + step
                if picture.pts is not None:
                    time = self._time(picture.pts * (picture.time_base or self._base))
                if time in self._gone:
                    continue  # a spoiled stream shows a frame after its turn
                self._sure = self._sure and not picture.interlaced_frame
                yield from self._lost(places, time)
                duration = Fraction(picture.duration or 0) * self._base
                yield time, duration, picture
                last = time
        yield from self._lost(places, None)

    def _packets(self) -> "Iterator[Packet]":
        """The packets of the pictures, with an empty one that asks for the last frames.

        Those of the sound are looked at, for a file may end with them.
        """
        from av import Packet
        from av.error import FFmpegError

        try:
            for packet in self._container.demux():
                self._note(packet)
                if packet.stream_index == self._stream.index:
                    yield packet
        except FFmpegError:
            last = Packet()
            last.stream = self._stream
            yield last
            raise

    def _lost(
        self, places: list["_Place"], until: Fraction | None
    ) -> Iterator[tuple[Fraction, Fraction, None]]:
        """The packets before a time of which no frame came."""
        while places and (until is None or places[0].time <= until):
            place = heapq.heappop(places)
            if place.time != until and (place.failed or self._sure):
                self._gone.add(place.time)
                yield place.time, Fraction(0), None

    def _decoded(
        self, packet: "Packet", places: list["_Place"]
    ) -> "Iterator[DecodedFrame]":
        """The frames that a packet completes; its own time goes into `places`."""
        from av.error import FFmpegError

        failed = False
        pictures: list[DecodedFrame] = []
        try:
            pictures = packet.decode()
        except FFmpegError:
            failed = True
        time = packet.pts
        if time is None and failed:
            time = packet.dts
        if time is not None and packet.size and not packet.is_discard:
            heapq.heappush(places, _Place(self._time(time * self._base), failed))
        for picture in pictures:
            self.damaged += bool(picture.is_corrupt)
            yield picture

    def _note(self, packet: "Packet") -> None:
        """Keeps how far the file reaches."""
        if not packet.size:
            return
        of_pictures = packet.stream_index == self._stream.index
        self._seen += of_pictures
        place = packet.pts if packet.pts is not None else packet.dts
        if place is not None and packet.time_base:
            end = (place + (packet.duration or 0)) * packet.time_base
            end -= self._origin or 0
            self._reached = max(self._reached, end)
            if of_pictures:
                self._pictures_reached = max(self._pictures_reached, end)

    def _time(self, time: Fraction) -> Fraction:
        if self._origin is None:
            self._origin = time
        return time - self._origin

    def _go_to(self, start: Fraction) -> list[Fraction]:
        """Goes to the last key frame before a time.

        Returns:
            The times of the frames before it, and of some after it.
        """
        self._counted = False  # those before the start are not seen
        places = []
        for packet in self._container.demux(self._stream):
            place = packet.pts if packet.pts is not None else packet.dts
            if place is None or packet.is_discard:
                continue
            places.append(self._time(place * self._base))
            first = packet.dts if packet.dts is not None else place
            if self._time(first * self._base) > start:
                break
        offset = int((start + (self._origin or 0)) / self._base)
        self._container.seek(offset, stream=self._stream)
        return sorted(places)
