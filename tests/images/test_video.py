"""Frames, numbers, times and turns of videos, counted with PyAV beside."""

import gc
import itertools
import logging
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from qepose_tf.images.orientation import turned
from qepose_tf.images.video import Video, VideoSpan, results_of
from tests.images.drawn_videos import (
    COLUMN,
    MARK,
    counted,
    drawn_frame,
    even_times,
    turn,
    write_video,
)

KINDS = {
    "a.mp4": {},
    "a.mov": {},
    "a.mkv": {},
    "a.avi": {"codec": "mpeg4"},
    "a.webm": {"codec": "libvpx"},
}
# As a phone counts: 24 to 60 frames a second, and a pause.
STEPS_MS = [17, 41, 33, 16, 500, 20] * 6
UNEVEN = [Fraction(time, 1000) for time in itertools.accumulate(STEPS_MS, initial=0)]


def number_of(pixels: np.ndarray) -> int:
    """The number that a drawn frame shows, modulo those that its width can show."""
    lit = np.flatnonzero(pixels[40].mean(axis=-1) > 180)
    return round(lit.mean() - (COLUMN - 1) / 2) // COLUMN


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("videos")


@pytest.mark.parametrize("name", KINDS)
def test_every_frame_is_read_once_with_its_time(folder, name):
    path = write_video(folder / name, 30, **KINDS[name])
    frames = []
    for frame in Video(path).frames():
        assert frame.pixels().shape == (64, 96, 3)
        assert number_of(frame.pixels()) == frame.number % (96 // COLUMN)
        frames.append(frame)
    assert [frame.number for frame in frames] == list(range(30))
    assert [frame.seconds for frame in frames] == counted(path).times
    np.testing.assert_allclose(
        [frame.seconds for frame in frames],
        [float(t) for t in even_times(30)],
        atol=1e-3,
    )


@pytest.mark.parametrize("name", ["b.mp4", "b.mkv"])
def test_uneven_times_are_kept(folder, name):
    path = write_video(folder / name, UNEVEN)
    seconds = [frame.seconds for frame in Video(path).frames()]
    assert seconds == [float(time) for time in UNEVEN]


def test_colours_and_pixels_are_those_that_were_drawn(folder):
    path = write_video(folder / "colours.mp4", 3, crf="1")
    first = next(iter(Video(path).frames())).pixels()
    expected = drawn_frame(0, 96, 64)
    assert np.abs(first.astype(int) - expected).mean() < 4
    np.testing.assert_allclose(first[8, 12], MARK, atol=12)


# The matrix (a, b, c, d) takes (x, y) to (ax + cy, bx + dy); EXIF's numbers beside it.
@pytest.mark.parametrize(
    ("matrix", "orientation"),
    [
        ((1, 0, 0, 1), 1),
        ((-1, 0, 0, 1), 2),
        ((-1, 0, 0, -1), 3),
        ((1, 0, 0, -1), 4),
        ((0, 1, 1, 0), 5),
        ((0, 1, -1, 0), 6),
        ((0, -1, -1, 0), 7),
        ((0, -1, 1, 0), 8),
    ],
)
def test_turns_and_mirrors_are_applied(folder, matrix, orientation):
    path = turn(write_video(folder / "turned.mp4", 2), matrix)
    pixels = next(iter(Video(path).frames())).pixels()
    expected = turned(drawn_frame(0, 96, 64), orientation)
    assert pixels.shape == expected.shape
    assert np.abs(pixels.astype(int) - expected).mean() < 6
    # By hand, without `turned`: where the red mark goes.
    x, y = 8 - 47.5, 8 - 31.5
    a, b, c, d = matrix
    column = (pixels.shape[1] - 1) / 2 + a * x + c * y
    row = (pixels.shape[0] - 1) / 2 + b * x + d * y
    red, green, blue = pixels[round(row), round(column)].astype(int)
    assert red - green > 100 and red - blue > 100


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("span", [(1, 0.5, None), (3, 0.7, 1.4), (7, 0.0, 1.0)])
def test_a_part_of_a_video_has_the_numbers_and_times_of_the_whole(folder, name, span):
    path = write_video(folder / f"span_{name}", 60, **KINDS[name])
    every, start, stop = span
    whole = [(f.number, f.seconds) for f in Video(path).frames()]
    inside = [
        (number, time)
        for number, time in whole
        if start <= time and (stop is None or time < stop)
    ]
    part = []
    for frame in Video(path, VideoSpan(every, start, stop)).frames():
        assert number_of(frame.pixels()) == frame.number % (96 // COLUMN)
        part.append((frame.number, frame.seconds))
    assert part == inside[::every] and len(part) >= 5


def test_a_released_frame_is_decoded_again(folder):
    path = write_video(folder / "again.mp4", 40)
    frames, pixels = [], {}
    for frame in Video(path).frames():
        frames.append(frame)
        pixels[frame.number] = frame.pixels()
        frame.release()
    for number in (25, 3, 39):
        np.testing.assert_array_equal(frames[number].pixels(), pixels[number])
    path.unlink()
    with pytest.raises(OSError, match="again.mp4: no such video file"):
        frames[0].pixels()


def test_the_number_of_results_is_known_before(folder):
    path = write_video(folder / "count.mp4", 60)
    assert results_of([Video(path), "photo.jpg"]) == 61
    assert results_of([Video(path, VideoSpan(every=2, start=1.0))]) == 15


def spoiled(path: Path, first: float, last: float) -> Path:
    """Overwrites bytes between two shares of a file."""
    content = bytearray(path.read_bytes())
    rng = np.random.default_rng(0)
    for place in range(int(len(content) * first), int(len(content) * last), 23):
        content[place] = rng.integers(256)
    path.write_bytes(content)
    return path


def test_broken_frames_are_counted_and_keep_their_numbers(folder):
    times = even_times(120)
    path = write_video(folder / "spoiled.mp4", 120, movflags="faststart")
    spoiled(path, 0.5, 0.6)
    video = Video(path)
    frames = list(video.frames())
    assert [frame.number for frame in frames] == list(range(120))
    broken = [frame for frame in frames if frame._pixels is None]
    assert 0 < len(broken) == video.broken < 40
    with pytest.raises(
        ValueError, match=r"spoiled.mp4, frame \d+: the frame is broken"
    ):
        broken[0].pixels()
    np.testing.assert_allclose(
        [f.seconds for f in frames], [float(t) for t in times], atol=1e-3
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cut.mp4", r"cut.mp4: ends after \d+ of 90 frames; the file was cut off"),
        (
            "cut.mkv",
            r"cut.mkv: ends after [12].\d of 3.0 seconds; the file was cut off",
        ),
        (
            "cut.avi",
            r"cut.avi: ends after [12].\d of 3.0 seconds; the file was cut off",
        ),
    ],
)
def test_a_file_that_was_cut_off_gives_what_it_has_and_one_line(folder, name, expected):
    kind = KINDS[f"a.{name[-3:]}"]
    options = {"movflags": "faststart"} if name.endswith("mp4") else {}
    path = write_video(folder / name, 90, **kind, **options)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * 0.8)])
    numbers = []
    with pytest.raises(ValueError, match=expected):
        for frame in Video(path).frames():
            numbers.append(frame.number)
    assert numbers == list(range(len(numbers))) and 15 < len(numbers) < 85


def test_whole_files_with_longer_sound_or_pictures_are_not_cut_off(folder):
    for sound_s in (0.5, 3.0):
        path = write_video(folder / "long.mkv", 60, sound="libopus", sound_s=sound_s)
        assert len(list(Video(path).frames())) == 60


def test_a_video_that_was_shortened_by_its_edit_list_is_whole(folder):
    """As phones shorten a video: all frames are there, and a part of them is shown."""
    path = write_video(folder / "edited.mp4", 90)
    content = bytearray(path.read_bytes())
    entry = content.index(b"elst") + 12  # behind version and count
    content[entry : entry + 4] = (1000).to_bytes(4, "big")  # ms
    path.write_bytes(content)
    frames = list(Video(path).frames())
    assert [frame.seconds for frame in frames] == counted(path).times
    assert len(frames) == 30


def test_what_is_no_video_is_named_in_one_line(folder):
    text, empty = folder / "text.mp4", folder / "empty.mp4"
    text.write_text("no video\n" * 100)
    empty.touch()
    whole = write_video(folder / "unfinished.mp4", 10).read_bytes()
    unfinished = folder / "unfinished.mp4"
    unfinished.write_bytes(whole[: len(whole) // 2])
    sound = write_video(folder / "both.mp4", 10, sound="aac")
    only_sound = folder / "sound.mp4"
    copy_sound(sound, only_sound)
    for path, message in (
        (text, "expected a video, but the file is of another kind"),
        (empty, "expected a video, got an empty file"),
        (unfinished, r"the video has no index \(moov\)"),
        (only_sound, "expected a video, but the file holds sound only"),
        (folder / "missing.mp4", "no such video file"),
    ):
        with pytest.raises((OSError, ValueError), match=f"{path}: {message}") as fault:
            list(Video(path).frames())
        assert "\n" not in str(fault.value)
        assert results_of([Video(path)]) == 1


def copy_sound(source, target):
    import av

    with av.open(str(source)) as read, av.open(str(target), "w") as out:
        stream = read.streams.audio[0]
        copied = out.add_stream_from_template(stream)
        for packet in read.demux(stream):
            if packet.size:
                packet.stream = copied
                out.mux(packet)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"every": 0}, "every: expected 1 or more frames, got 0"),
        ({"start": -1.0}, "start: expected 0 or more seconds, got -1.0"),
        ({"start": 2.0, "stop": 2.0}, r"stop: expected more seconds than start \(2\)"),
    ],
)
def test_spans_that_are_none_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        VideoSpan(**settings)


def test_reading_stops_where_nobody_asks_any_more(folder):
    path = write_video(folder / "stopped.mp4", 200)
    before = threading.active_count()
    frames = Video(path).frames()
    assert next(frames).number == 0
    assert threading.active_count() == before + 1
    frames.close()
    assert threading.active_count() == before


def test_no_frame_waits_for_the_collector(folder):
    """What refers to itself keeps its pixels until Python looks for such circles."""
    path = write_video(folder / "circles.mp4", 120)
    gc.collect()
    gc.disable()
    try:
        for frame in Video(path).frames():
            frame.pixels()
        gc.set_debug(gc.DEBUG_SAVEALL)  # other tests leave circles of their own
        gc.collect()
        waited = [type(thing).__module__.split(".")[0] for thing in gc.garbage]
        assert waited.count("av") < 60
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def test_the_package_does_not_import_pyav(folder):
    code = (
        "import sys, qepose_tf, qepose_tf.cli; qepose_tf.Predictor;"
        "import qepose_tf.inference.prediction_files;"
        "assert not {'av', 'supervision', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_pyav_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ImportError, match=r"a.mp4: .*pip install 'qepose-tf\[video\]'"):
        Video("a.mp4")


def test_streams_that_cannot_be_reached_are_named_without_their_password(caplog):
    with caplog.at_level(logging.WARNING), pytest.raises(OSError) as fault:
        list(Video("rtsp://me:secret@127.0.0.1:9/door").frames())
    assert str(fault.value).startswith("rtsp://me:***@127.0.0.1:9/door: cannot read")
    assert "secret" not in str(fault.value) + caplog.text
