"""Videos that tests draw themselves, and what PyAV counts in a video.

Each frame is a grey background with a red mark at its top left and a white column at
`number % width`, so that turns and numbers can be read off its pixels.
"""

from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np

TICK = Fraction(1, 1000)
RATE = 30
MARK = (220, 30, 30)
COLUMN = 8  # width of the white column in pixels, and its step a frame


def drawn_frame(number: int, width: int, height: int) -> np.ndarray:
    image = np.full((height, width, 3), 90, np.uint8)
    x = number * COLUMN % width
    image[:, x : x + COLUMN] = 250
    image[:16, :16] = MARK
    return image


def even_times(count: int, rate: int = RATE) -> list[Fraction]:
    return [Fraction(number, rate) for number in range(count)]


def write_video(
    path: Path,
    times: int | list[Fraction] = 30,
    *,
    size: tuple[int, int] = (96, 64),
    codec: str = "libx264",
    sound: str | None = None,
    sound_s: float | None = None,
    gop: int = 12,
    aspect: Fraction | None = None,
    **options: str,
) -> Path:
    """Writes a video of the frames shown at `times`, in seconds."""
    times = even_times(times) if isinstance(times, int) else times
    with av.open(str(path), "w", options=options) as out:
        stream = out.add_stream(codec, rate=RATE)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        # MPEG-4 in AVI counts frames, and nothing finer.
        tick = Fraction(1, RATE) if codec == "mpeg4" else TICK
        stream.time_base = stream.codec_context.time_base = tick
        stream.codec_context.gop_size = gop
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        voice = out.add_stream(sound, rate=48000, layout="mono") if sound else None
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(drawn_frame(number, *size))
            frame.pts, frame.time_base = round(time / tick), tick
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if voice is not None:
            for frame in sine(float(times[-1]) + 0.033 if sound_s is None else sound_s):
                out.mux(voice.encode(frame))
            out.mux(voice.encode(None))
    return path


def sine(seconds: float, rate: int = 48000) -> Any:
    """Frames of sound: 440 Hz."""
    for first in range(0, int(seconds * rate), 1024):
        wave = np.sin(2 * np.pi * 440 * np.arange(first, first + 1024) / rate)
        samples = (0.3 * 32767 * wave).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate, frame.pts = rate, first
        frame.time_base = Fraction(1, rate)
        yield frame


def turn(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Gives the pictures of an MP4 file a display matrix (a, b, c, d) of -1, 0, 1."""
    content = bytearray(path.read_bytes())
    # Version, times, ids and layers stand before the matrix of the track's header.
    place = content.index(b"tkhd") + 4 + 40
    a, b, c, d = (value << 16 for value in matrix)
    numbers = np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30], ">i4")
    content[place : place + 36] = numbers.tobytes()
    path.write_bytes(content)
    return path


class Counted(NamedTuple):
    """What is in a file: times of frames and size, and of the sound, if any."""

    times: list[float]
    size: tuple[int, int]
    codec: str
    sound: str | None
    sound_from: float
    sound_to: float
    frequency: float


def counted(path: Path) -> Counted:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        size, codec = (stream.width, stream.height), stream.codec_context.name
        voices = [s.codec_context.name for s in container.streams.audio]
        times = [float(frame.time) for frame in container.decode(stream)]
    if not voices:
        return Counted(times, size, codec, None, 0.0, 0.0, 0.0)
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    samples = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    rate = frames[0].sample_rate
    power = np.abs(np.fft.rfft(samples.astype(np.float64)))
    frequency = float(np.argmax(power) * rate / len(samples))
    end = float(frames[-1].time) + frames[-1].samples / rate
    first = float(frames[0].time)
    return Counted(times, size, codec, voices[0], first, end, frequency)
