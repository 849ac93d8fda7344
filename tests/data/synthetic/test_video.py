"""Drawn videos: the same people in every frame, where their ids say."""

import itertools

import numpy as np
import pytest

from qepose_tf.data.synthetic.video import drawn_video
from qepose_tf.data.synthetic.walking import TURN_SECONDS, Walker
from qepose_tf.skeleton import COCO

SMALL = dict(seconds=2.0, fps=10.0, size=(240, 120))
HIPS = [COCO.keypoints.index(f"{side}_hip") for side in ("left", "right")]
EYES = [COCO.keypoints.index(f"{side}_eye") for side in ("left", "right")]


def hips(frame, person):
    """Where the middle of a person's hips is, None where it is not known."""
    rows = np.flatnonzero(frame.ids == person)
    if not len(rows) or not frame.keypoints[rows[0], HIPS, 2].all():
        return None
    return frame.keypoints[rows[0], HIPS, :2].mean(axis=0)


def test_equal_arguments_give_equal_frames():
    options = {**SMALL, "seconds": 0.5}
    first, again, other = (list(drawn_video(3, seed, **options)) for seed in (1, 1, 2))
    assert len(first) == 5 and [f.seconds for f in first][:3] == [0.0, 0.1, 0.2]
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(np.asarray(one.picture), np.asarray(two.picture))
        np.testing.assert_array_equal(one.keypoints, two.keypoints)
        np.testing.assert_array_equal(one.ids, two.ids)
        assert one.picture.size == (240, 120)
    assert not np.array_equal(first[0].keypoints, other[0].keypoints)


def test_frames_of_another_rate_show_the_same_moments():
    slow = list(drawn_video(2, 3, seconds=1.0, fps=5.0, size=(240, 120)))
    fast = list(drawn_video(2, 3, seconds=1.0, fps=10.0, size=(240, 120)))
    for one, two in zip(slow, fast[::2], strict=True):
        np.testing.assert_array_equal(one.keypoints, two.keypoints)


def test_people_walk_with_moving_limbs_and_do_not_jump():
    frames = list(drawn_video(3, 4, **SMALL))
    swings = []
    for one, two in itertools.pairwise(frames):
        for person in (1, 2, 3):
            before, after = hips(one, person), hips(two, person)
            if before is None or after is None:
                continue
            # The largest are 0.65 of 120 px tall and walk 0.9 heights a second.
            assert np.abs(after - before).max() < 0.9 * 0.65 * 120 * 0.1 + 1.0
            rows = [np.flatnonzero(f.ids == person)[0] for f in (one, two)]
            own = [f.keypoints[r] for f, r in zip((one, two), rows, strict=True)]
            known = (own[0][:, 2] > 0) & (own[1][:, 2] > 0)
            moved = (own[1] - own[0])[known, :2] - (after - before)
            swings.append(np.abs(moved).max())
    assert np.median(swings) > 1.0


def test_two_people_cross():
    order = []
    for frame in drawn_video(2, 0, seconds=3.0, fps=4.0, posts=0, turning=0.0):
        places = [hips(frame, person) for person in (1, 2)]
        if places[0] is not None and places[1] is not None:
            order.append(np.sign(places[0][0] - places[1][0]))
    assert {-1, 1} <= set(order)


def test_visible_eyes_are_dark_spots_of_their_faces():
    """A lit pixel: the label of an eye lies where the eye was painted."""
    darker = []
    for frame in drawn_video(2, 5, seconds=2.0, fps=5.0, size=(640, 320), posts=0):
        grey = np.asarray(frame.picture.convert("L"), float)
        for person in frame.keypoints:
            for x, y, visible in person[EYES]:
                if visible == 2:
                    column, row = round(x), round(y)
                    face = grey[row - 4 : row + 5, column - 4 : column + 5]
                    darker.append(grey[row, column] <= np.quantile(face, 0.2))
    assert len(darker) > 10 and np.mean(darker) > 0.9


def test_who_is_covered_or_outside_is_not_there():
    """Nobody shows fewer than four keypoints; posts and the border take people away."""
    counts = set()
    options = dict(seconds=4.0, fps=4.0, posts=2, leaving=0.0, turning=0.0)
    for seed in range(2):
        for frame in drawn_video(3, seed, size=(240, 120), **options):
            counts.add(len(frame.ids))
            assert len(set(frame.ids.tolist())) == len(frame.ids)
            assert ((frame.keypoints[..., 2] == 2).sum(axis=1) >= 4).all()
            assert (frame.areas > 0).all() and frame.areas.shape == frame.ids.shape
            outside = frame.keypoints[..., 2] == 0
            assert (frame.keypoints[outside] == 0).all()
    assert counts >= {2, 3}


def presence(**odds):
    """The frames in which each of two people can be seen."""
    options = dict(seconds=12.0, fps=2.0, size=(160, 120), posts=0, turning=0.0)
    frames = list(drawn_video(2, 0, **options, **odds))
    return {
        person: [number for number, f in enumerate(frames) if person in f.ids]
        for person in (1, 2)
    }, len(frames)


def test_people_leave_for_good():
    seen, _ = presence(leaving=1.0)
    for frames in seen.values():
        assert frames and frames[-1] < 16
        assert frames == list(range(frames[0], frames[-1] + 1))


def test_people_come_back_if_asked():
    seen, count = presence(leaving=0.0, come_back=1.0)
    for frames in seen.values():
        gaps = set(range(frames[0], frames[-1])) - set(frames)
        assert gaps and frames[-1] > count / 2


def test_a_walk_with_a_turn_by_hand():
    """1 height a second to 3, then half a cosine of 0.8 s, then back."""
    walker = Walker((1,), start=1.0, speed=1.0, turns=(2.0,), sidelong=15.0)
    assert TURN_SECONDS == 0.8
    for seconds, place, heading in (
        (0.0, 1.0, 75.0),
        (2.0, 3.0, 75.0),
        (2.4, 3.0 + 0.8 / np.pi, 0.0),
        (2.8, 3.0, -75.0),
        (3.8, 2.0, -75.0),
    ):
        assert walker.place(seconds) == pytest.approx(place)
        assert walker.heading(seconds) == pytest.approx(heading, abs=1e-9)


def test_walks_have_no_steps_in_place_or_speed():
    walker = Walker((1,), start=0.0, speed=-0.7, turns=(1.0, 2.5, 4.0))
    places = np.array([walker.place(t) for t in np.arange(0, 6, 0.001)])
    speed = np.diff(places) / 0.001
    assert np.abs(speed).max() == pytest.approx(0.7, abs=1e-6)
    assert np.abs(np.diff(speed)).max() < 0.004  # at most pi / 0.8 * 0.7 a second


def test_bones_keep_their_length():
    walker = Walker((3, 4), start=0.0, speed=0.6, turns=(0.5,))
    bodies = [walker.body(seconds).points for seconds in np.arange(0, 2, 0.1)]
    for start, end in (
        ("left_hip", "left_knee"),
        ("right_knee", "right_ankle"),
        ("left_shoulder", "left_elbow"),
        ("neck", "head"),
    ):
        lengths = [np.linalg.norm(body[start] - body[end]) for body in bodies]
        np.testing.assert_allclose(lengths, lengths[0])


def test_an_empty_video_has_frames():
    frames = list(drawn_video(0, 0, seconds=0.2, fps=10.0, size=(64, 64), posts=1))
    assert len(frames) == 2 and frames[0].keypoints.shape == (0, 17, 3)


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(people=-1), "people, seed, posts: expected 0 or more, got -1, 0, 1"),
        (dict(seconds=0.0), "expected seconds > 0 and fps > 0, got 0.0 and 25.0"),
        (dict(size=(64, 32)), r"size: expected at least 64 px, got \(64, 32\)"),
        (dict(leaving=2.0), "leaving: expected odds from 0 to 1, got 2.0"),
    ],
)
def test_impossible_numbers_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        drawn_video(**{"people": 1, "seed": 0, **change})
