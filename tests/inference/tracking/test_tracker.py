"""Ids stay with people who walk, cross, disappear and return."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qepose_tf.data.synthetic.video import drawn_video
from qepose_tf.evaluation.tracking import (
    TrackedFrame,
    oks_similarity,
    tracking_figures,
)
from qepose_tf.inference.tracking.similarity import pose_scales
from qepose_tf.inference.tracking.tracker import Tracker, TrackerSettings
from qepose_tf.skeleton import COCO, Skeleton

# A standing person of 100 px: shoulders, hips, knees and so on around (0, 0).
STANDING = np.zeros((17, 2))
STANDING[:, 0] = [0, 3, -3, 6, -6, 12, -12, 15, -15, 16, -16, 8, -8, 8, -8, 8, -8]
STANDING[:, 1] = [-42, -44, -44, -43, -43, -30, -30, -14, -14, 0, 0, 0, 0, 24, 24] + [
    *(46, 46),
]
DT = 0.04


def at(*places):
    """[N, 17, 2] people who stand with their middles at these (x, y)."""
    return STANDING + np.array(places, float).reshape(-1, 1, 2)


def track(tracker, frames, step=DT, score=0.9):
    """The ids of each frame."""
    return [
        tracker.update(poses, np.full(len(poses), score), number * step).tolist()
        for number, poses in enumerate(frames)
    ]


def test_two_people_who_cross_keep_their_ids():
    """They pass each other at 80 px/s, and are at the same place in the middle."""
    ways = [at((80 * t, 0), (200 - 80 * t, 3)) for t in np.arange(63) * DT]
    assert track(Tracker(COCO), ways) == [[1, 2]] * 63


def test_two_people_who_meet_and_turn_back_keep_their_ids():
    near = 100 - np.abs(np.linspace(-70, 70, 90))
    ways = [at((x, 0), (230 - x, 0)) for x in near]
    assert track(Tracker(COCO), ways) == [[1, 2]] * 90


def test_somebody_who_is_covered_while_walking_is_found_again():
    ways = [at((60 * t, 0)) for t in np.arange(100) * DT]
    hidden = [way if not 30 <= n < 60 else way[:0] for n, way in enumerate(ways)]
    found = track(Tracker(COCO), hidden)
    assert found == [[1]] * 30 + [[]] * 30 + [[1]] * 40


def test_somebody_who_is_away_for_too_long_is_somebody_else():
    hidden = [at((0, 0))] * 10 + [at()] * 30 + [at((0, 0))] * 2
    assert track(Tracker(COCO, lost_seconds=1.0), hidden)[-1] == [2]
    assert track(Tracker(COCO, lost_seconds=1.25), hidden)[-1] == [1]


def test_two_who_were_lost_together_are_told_apart_by_their_size():
    """Behind a post, a small person stands where the large one comes out.

    The small one was seen later, so that its place is the more certain one.
    """
    frames = []
    for n in range(40):
        large = STANDING + [100 - 1.5 * n, 0]
        small = STANDING * 0.85 + [52 + 2 * (34 - n), 0]
        seen = [n < 20 or n >= 34, n < 26 or n >= 38]
        frames.append(np.stack([large, small])[seen])
    tracker = Tracker(COCO)
    found = [
        tracker.update(poses, np.array([0.9, 0.8])[: len(poses)], number * DT).tolist()
        for number, poses in enumerate(frames)
    ]
    assert found[19] == [1, 2] and found[34] == [1] and found[38] == [1, 2]


def test_a_newcomer_gets_the_next_id_at_once():
    tracker = Tracker(COCO)
    frames = [at((0, 0), (90, 0))] * 4 + [at((300, 0), (0, 0), (90, 0))] * 4
    assert track(tracker, frames) == [[1, 2]] * 4 + [[3, 1, 2]] * 4
    assert tracker.confirmed.tolist() == [1, 2, 3]


def test_ids_are_confirmed_after_some_frames_and_stay_so():
    tracker = Tracker(COCO, confirm_frames=3, lost_seconds=0.1)
    for number, expected in enumerate(([], [], [1], [1])):
        tracker.update(at((0, 0)), np.array([0.9]), number * DT)
        assert tracker.confirmed.tolist() == expected
    tracker.update(at((0, 0)), np.array([0.9]), 10.0)
    assert tracker.confirmed.tolist() == [1]  # 1 has ended, 2 was seen once
    at_once = Tracker(COCO, confirm_frames=1)
    at_once.update(at((0, 0), (90, 0)), np.array([0.9, 0.2]), 0.0)
    assert at_once.confirmed.tolist() == [1]


def test_what_is_seen_in_one_frame_only_does_not_wait_long():
    """A ghost of one frame is forgotten after 0.3 s, a person after 2 s."""
    frames = [at((0, 0))] * 5 + [at((0, 0), (200, 0))] + [at((0, 0))] * 8
    frames += [at((0, 0), (200, 0))]
    assert track(Tracker(COCO), frames)[-1] == [1, 3]
    assert track(Tracker(COCO, new_lost_seconds=0.5), frames)[-1] == [1, 2]


def test_time_steps_may_differ():
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.choice([0.01, 0.04, 0.25], 60))
    tracker = Tracker(COCO)
    for time in times:
        ways = at((70 * time, 0), (500 - 70 * time, 4))
        assert tracker.update(ways, np.array([0.8, 0.8]), time).tolist() == [1, 2]


def test_two_frames_of_the_same_time_are_no_fault():
    tracker = Tracker(COCO)
    for _ in range(3):
        ids = tracker.update(at((0, 0), (90, 0)), np.array([0.9, 0.9]), 5.0)
        assert ids.tolist() == [1, 2]


def test_low_scores_continue_tracks_but_start_none():
    tracker = Tracker(COCO, high_score=0.5, low_score=0.2)
    two = at((0, 0), (90, 0))
    scores = [(0.9, 0.4), (0.3, 0.6), (0.1, 0.3), (0.9, 0.9), (np.nan, 0.9)]
    found = [
        tracker.update(two, np.array(score), number * DT).tolist()
        for number, score in enumerate(scores)
    ]
    assert found == [[1, -1], [1, 2], [-1, 2], [1, 2], [-1, 2]]


def test_high_scores_choose_before_low_ones():
    tracker = Tracker(COCO)
    tracker.update(at((0, 0)), np.array([0.9]), 0.0)
    ids = tracker.update(at((0, 0), (4, 0)), np.array([0.2, 0.9]), DT)
    assert ids.tolist() == [-1, 1]


def test_a_person_who_is_found_twice_starts_one_track():
    tracker = Tracker(COCO)
    for number in range(3):
        ids = tracker.update(at((0, 0), (1, 0)), np.array([0.8, 0.9]), number * DT)
        assert sorted(ids.tolist()) == [-1, 1]
    ids = tracker.update(at((0, 0), (40, 0)), np.array([0.8, 0.9]), 3 * DT)
    assert ids.tolist() == [1, 2]


def test_keypoints_that_are_not_known_change_nothing():
    """Of person 1 one keypoint is ever seen at a time, after the first frame."""
    tracker, rng = Tracker(COCO), np.random.default_rng(1)
    for number in range(40):
        poses = at((2 * number, 0), (300, 0))
        if number:
            poses[0, np.arange(17) != rng.integers(17)] = np.nan
        poses[1, 3, 1] = np.inf
        ids = tracker.update(poses, np.array([0.9, 0.9]), number * DT)
        assert ids.tolist() == [1, 2]
    poses[0] = np.nan
    assert tracker.update(poses, np.array([0.9, 0.9]), 2.0).tolist() == [-1, 2]


def test_somebody_of_whom_only_the_head_was_seen_gets_a_body():
    tracker, head = Tracker(COCO), at((0, 0))
    head[0, 5:] = np.nan
    frames = [head] * 5 + [at((n, 0)) for n in range(30)]
    assert track(tracker, frames) == [[1]] * 35


def test_no_people_are_no_fault():
    tracker = Tracker(COCO)
    for poses in (np.zeros((0, 17, 2)), []):
        assert tracker.update(poses, [], 0.0).shape == (0,)
    assert track(tracker, [at(), at((0, 0)), at(), at((0, 0))])[-1] == [1]


def test_one_keypoint_is_enough():
    mouse = Skeleton("mouse", ("nose",), (), (), (0.05,))
    tracker = Tracker(mouse, min_scale=40.0)
    for number in range(50):
        poses = np.array([[[3.0 * number, 0.0]], [[150 - 3.0 * number, 30.0]]])
        ids = tracker.update(poses, np.array([0.9, 0.9]), number * DT)
        assert ids.tolist() == [1, 2]


def test_after_a_reset_everything_starts_anew():
    tracker = Tracker(COCO)
    first = track(tracker, [at((0, 0), (90, 0))] * 3)
    tracker.reset()
    assert tracker.confirmed.tolist() == []
    assert track(tracker, [at((0, 0), (90, 0))] * 3) == first


def drawn_poses(seed, people=3):
    """Noisy poses of a drawn video, some missed, with scores and seconds."""
    rng = np.random.default_rng(seed)
    for frame in drawn_video(people, seed, seconds=2, fps=10, size=(200, 100)):
        seen = rng.random(len(frame.ids)) < 0.85
        poses = np.where(frame.keypoints[..., 2:] > 0, frame.keypoints[..., :2], np.nan)
        poses += rng.normal(0, 1, poses.shape)
        yield poses[seen], rng.uniform(0.3, 1.0, len(poses))[seen], frame.seconds


@pytest.fixture(scope="module")
def videos():
    return [list(drawn_poses(seed)) for seed in range(3)]


def ids_of(video, change=lambda poses: poses):
    tracker = Tracker(COCO)
    return [tracker.update(change(p), s, t).tolist() for p, s, t in video]


def test_size_and_place_of_the_picture_do_not_matter(videos):
    for video in videos:
        expected = ids_of(video)
        assert max(map(max, filter(None, expected))) >= 3
        assert ids_of(video, lambda poses: poses * 7.5 - 1000) == expected


def test_the_order_of_people_does_not_matter(videos):
    rng = np.random.default_rng(0)
    for video in videos:
        orders = [rng.permutation(len(poses)) for poses, _, _ in video]
        shuffled = [
            (poses[order], scores[order], time)
            for (poses, scores, time), order in zip(video, orders, strict=True)
        ]
        expected = [
            np.array(ids, int)[order].tolist()
            for ids, order in zip(ids_of(video), orders, strict=True)
        ]
        assert ids_of(shuffled) == expected


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_ids_are_unique_whatever_comes(seed):
    """People at random, with unknown keypoints and gaps: no id twice in a frame."""
    rng, tracker, time = np.random.default_rng(seed), Tracker(COCO), 0.0
    known: set[int] = set()
    for _ in range(15):
        count = rng.integers(0, 6)
        poses = rng.uniform(0, 100, (count, 1, 2)) + rng.normal(0, 20, (count, 17, 2))
        poses[rng.random(poses.shape) < rng.choice([0, 0.3, 1.0])] = np.nan
        time += rng.choice([0.0, 0.04, 3.0])
        scores = rng.uniform(0, 1, count)
        before = poses.copy()
        ids = tracker.update(poses, scores, time)
        np.testing.assert_array_equal(poses, before)
        given_ids = ids[ids > 0].tolist()
        assert ids.shape == (count,) and len(set(given_ids)) == len(given_ids)
        assert (ids[scores < 0.1] == -1).all() and (ids != 0).all()
        # A new id is higher than all that were ever given.
        new = set(given_ids) - known
        assert not new or min(new) > max(known, default=0)
        known |= new


def test_two_drawn_people_who_cross_keep_their_ids():
    tracker, frames = Tracker(COCO), []
    for frame in drawn_video(2, seed=0, seconds=3, fps=12.5, posts=0):
        labelled = frame.keypoints[..., 2:] > 0
        poses = np.where(labelled, frame.keypoints[..., :2], np.nan)
        ids = tracker.update(poses, np.full(len(poses), 0.9), frame.seconds)
        areas = pose_scales(poses) ** 2
        alike = oks_similarity(frame.keypoints, areas, poses, np.array(COCO.sigmas))
        frames.append(TrackedFrame(frame.ids, ids, alike))
    figures = tracking_figures(frames)
    assert figures.people > 60
    assert figures.idf1 == pytest.approx(1.0) and figures.hota == pytest.approx(1.0)


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(low_score=0.6), "expected low_score <= high_score, got 0.6 and 0.4"),
        (dict(min_similarity=0.0), "min_similarity: expected more than 0"),
        (dict(same_person=1.5), "same_person: expected .* got 1.5"),
        (dict(lost_seconds=-1.0), "lost_seconds: expected 0 or more, got -1.0"),
        (dict(new_lost_seconds=np.nan), "new_lost_seconds: expected 0 or more"),
        (dict(confirm_frames=0), "confirm_frames: expected at least 1, got 0"),
        (dict(min_scale=0.0), "min_scale: expected more than 0, got 0.0"),
    ],
)
def test_impossible_settings_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        TrackerSettings(**change)
    with pytest.raises(ValueError, match=message):
        Tracker(COCO, **change)


def test_bad_input_is_named():
    tracker = Tracker(COCO)
    with pytest.raises(ValueError, match=r"poses \[N, 17, 2\].*got \[1, 14, 2\]"):
        tracker.update(np.zeros((1, 14, 2)), np.ones(1), 0.0)
    with pytest.raises(ValueError, match=r"scores \[N\], got \[1, 17, 2\] and \[2\]"):
        tracker.update(np.zeros((1, 17, 2)), np.ones(2), 0.0)
    tracker.update(at((0, 0)), np.ones(1), 2.0)
    for seconds in (1.9, np.nan, np.inf):
        with pytest.raises(ValueError, match=r"seconds: expected 2.0 or more.*reset"):
            tracker.update(at((0, 0)), np.ones(1), seconds)
    with pytest.raises(TypeError, match="patience"):
        Tracker(COCO, patience=3)
