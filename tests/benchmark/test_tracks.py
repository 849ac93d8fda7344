"""What the benchmark of tracks feeds the trackers, and its tables."""

import json
import sys

import numpy as np
import pytest

from benchmarks import tracks
from qepose_tf.data.synthetic.video import drawn_video
from qepose_tf.inference.tracking.similarity import pairwise_oks, pose_scales


@pytest.fixture(scope="module")
def video():
    return tracks.perfect(drawn_video(2, 0, seconds=1.0, fps=10.0, posts=0))


def test_perfect_poses_are_perfectly_tracked(video):
    figures = tracks.figures([video], tracks.ours([video]))
    assert figures.idf1 == figures.hota == 1.0 and figures.people == 20


def test_the_noise_is_what_is_said(video):
    """Displacements of 0.5 * 2 sigma s give a mean OKS of 1 / (1 + 0.5^2) = 0.8."""
    one = tracks.Sample(
        *(0.0, np.arange(400), video[0].keypoints[np.zeros(400, int)]),
        *(video[0].poses[np.zeros(400, int)], np.ones(400)),
    )
    (found,) = tracks.noisy([one], seed=0)
    people = len(found.poses)
    assert people == pytest.approx(360, abs=20)  # one in ten is missed
    scale = pose_scales(one.poses[:1])[:, None]
    oks = pairwise_oks(one.poses[:1], found.poses, scale, tracks.SIGMAS)
    assert np.median(oks) == pytest.approx(0.8, abs=0.02)
    visible = (one.keypoints[0, :, 2] == 2).mean()
    assert found.scores[:300].mean() == pytest.approx(0.3 + 0.6 * visible, abs=0.02)


def test_boxes_take_the_place_of_oks_for_a_while(video):
    before = tracks.tracker_module.pairwise_oks
    with tracks.boxes_in_place_of_oks():
        assert tracks.tracker_module.pairwise_oks is not before
        assert tracks.figures([video], tracks.ours([video])).idf1 > 0.9
    assert tracks.tracker_module.pairwise_oks is before


def test_a_peer_that_cannot_run_is_named(video):
    """Here it lacks its package; where it is installed, it refuses the setting."""
    with pytest.raises(ValueError, match=r"bytetrack.py: (ModuleNotFound|Type)Error: "):
        tracks.bytetrack(sys.executable, [video], {"patience": 3})


def test_the_command_prints_and_writes_its_table(tmp_path, capsys, monkeypatch):
    file = tmp_path / "tracks.json"
    words = ["tracks", "--videos", "1", "--seconds", "0.4", "--json", str(file)]
    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.setattr(tracks, "PEOPLE", (2,))
    assert tracks.main() == 0
    report = json.loads(file.read_text())
    assert [row["tracker"] for row in report["rows"][:2]] == [
        "ours",
        "ours, IoU of boxes",
    ]
    names = ["IDF1 of perfect poses", "20 people, ms for a frame"]
    assert [target["name"] for target in report["targets"]] == names
    assert "| perfect, 25 frames/s | ours | 1.000 |" in capsys.readouterr().out
