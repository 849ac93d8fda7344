"""People of videos with ids that stay: drawn walkers, and an astronaut who moves."""

from fractions import Fraction

import numpy as np
import pytest

from qepose_tf.data.synthetic.video import drawn_video
from qepose_tf.images.video import Video, VideoFrame
from qepose_tf.images.video_decoding import Decoded
from qepose_tf.images.video_writing import VideoWriter
from qepose_tf.inference.following import Follower
from qepose_tf.inference.people import ImagePoses
from qepose_tf.inference.predictor import Predictor
from qepose_tf.skeleton import COCO
from tests.images.drawn_videos import even_times

SKIP = "needs scikit-image's photograph of the astronaut"


def frame_of(video, number, seconds):
    time = Fraction(seconds).limit_denominator(1000)
    decoded = Decoded(
        number=number,
        time=time,
        duration=Fraction(0),
        tick=Fraction(1, 1000),
        aspect=Fraction(0),
        orientation=1,
        picture=None,
    )
    return VideoFrame(video, decoded, None)


def found_in(source, poses, scores):
    poses, scores = np.asarray(poses, np.float32), np.asarray(scores, np.float32)
    spread = np.repeat(scores[:, None], 17, axis=1)
    return ImagePoses(source, (240, 320), poses, scores, spread, COCO)


def walkers(video, score=0.9):
    """Drawn people with perfect poses, in another order in every frame."""
    rng = np.random.default_rng(0)
    for number, frame in enumerate(drawn_video(people=2, seed=1, seconds=2.0)):
        order = rng.permutation(len(frame.ids))
        points = frame.keypoints[order][..., :2]
        scores = np.full(len(order), score)
        source = frame_of(video, number, frame.seconds)
        yield frame.ids[order], found_in(source, points, scores)


def test_ids_belong_to_the_same_people_and_begin_anew_with_another_video():
    follower = Follower(COCO, 0.3)
    for video in (Video("a.mp4"), Video("b.mp4")):
        known = {}
        for truth, found in walkers(video):
            followed = follower.follow(found)
            assert len(followed) == len(truth)
            for person, number in zip(truth, followed.ids, strict=True):
                assert known.setdefault(person, number) == number
        assert sorted(known.values()) == [1, 2]


def test_low_scores_go_on_and_start_nothing():
    follower, video = Follower(COCO, 0.4), Video("a.mp4")
    assert follower.low_score == pytest.approx(0.1)
    pose = np.random.default_rng(0).uniform(50, 150, (1, 17, 2))
    counts = []
    for number, score in enumerate((0.2, 0.5, 0.2, 0.05)):
        source = frame_of(video, number, number / 25)
        counts.append(len(follower.follow(found_in(source, pose, [score]))))
    assert counts == [0, 1, 1, 0]


def test_a_person_found_twice_is_one():
    pose = np.random.default_rng(0).uniform(50, 150, (1, 17, 2))
    twice = np.concatenate([pose, pose + 0.5])
    source = frame_of(Video("a.mp4"), 0, 0.0)
    followed = Follower(COCO, 0.1).follow(found_in(source, twice, [0.9, 0.8]))
    assert followed.ids.tolist() == [1] and followed.scores.tolist() == [
        pytest.approx(0.9)
    ]


def test_a_clock_that_goes_back_ends_nothing():
    follower, video = Follower(COCO, 0.1, smooth=True), Video("a.mp4")
    pose = np.random.default_rng(0).uniform(50, 150, (1, 17, 2))
    for number, seconds in enumerate((1.0, 1.04, 0.2)):
        source = frame_of(video, number, seconds)
        assert follower.follow(found_in(source, pose, [0.9])).ids.tolist() == [1]


def test_pictures_have_no_ids():
    follower = Follower(COCO, 0.4)
    poses = np.random.default_rng(0).uniform(50, 150, (2, 17, 2))
    found = follower.follow(found_in("a.png", poses, [0.5, 0.3]))
    assert found.ids is None and len(found) == 1


def test_smoothed_people_shake_less():
    rng = np.random.default_rng(0)
    pose = rng.uniform(50, 150, (1, 17, 2))
    noise = rng.normal(0, 1.0, (60, 17, 2))
    spreads = []
    for smooth in (False, True):
        follower, video = Follower(COCO, 0.1, smooth), Video("a.mp4")
        poses = [
            follower.follow(
                found_in(frame_of(video, n, n / 25), pose + shift, [0.9])
            ).poses[0]
            for n, shift in enumerate(noise)
        ]
        spreads.append(np.std(poses[20:], axis=0).mean())
    assert spreads[1] < 0.6 * spreads[0]


def test_smoothing_needs_ids():
    with pytest.raises(ValueError, match="smooth: expected track, too"):
        Predictor("people", smooth=True)


@pytest.mark.slow
def test_an_astronaut_keeps_her_id(tmp_path):
    skimage = pytest.importorskip("skimage", reason=SKIP)
    photograph = skimage.data.astronaut()
    file = tmp_path / "moving.mp4"
    writer = VideoWriter(file, Fraction(0), None)
    for step, time in enumerate(even_times(12)):
        shown = np.roll(photograph, 4 * step, axis=1)[:, 40:]
        writer.add(shown, time, Fraction(1, 30), Fraction(1, 1000), Fraction(1))
    writer.close()
    predictor = Predictor("people", min_score=0.3, track=True, smooth=True)
    frames = list(predictor(file))
    assert len(frames) == 12
    assert all(1 in frame.ids for frame in frames)
