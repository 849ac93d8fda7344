"""IDF1, HOTA and switches: by hand, and as motmetrics and TrackEval compute them."""

import motmetrics
import numpy as np
import pytest

from qepose_tf.evaluation.tracking import (
    ALPHAS,
    TrackedFrame,
    box_iou,
    oks_similarity,
    pose_boxes,
    tracking_figures,
)
from qepose_tf.ops.oks import oks
from qepose_tf.skeleton import COCO
from tests.backends import to_numpy


def frame(truth, found, pairs=(), similarity=1.0, video=0):
    """A frame in which the named pairs (person, track) are alike, and no others."""
    alike = np.zeros((len(truth), len(found)))
    for person, track in pairs:
        alike[truth.index(person), found.index(track)] = similarity
    return TrackedFrame(np.array(truth), np.array(found), alike, video)


def random_frames(seed, count=60, people=5):
    """People who are missed, found twice, seen badly, and change their tracks."""
    rng = np.random.default_rng(seed)
    track_of = np.arange(people)
    for _ in range(count):
        if rng.random() < 0.1:
            first, second = rng.choice(people, 2, replace=False)
            track_of[[first, second]] = track_of[[second, first]]
        if rng.random() < 0.1:
            track_of[rng.integers(people)] = track_of.max() + 1
        truth = np.flatnonzero(rng.random(people) < 0.85)
        seen = truth[rng.random(len(truth)) < 0.85]
        extra = 1000 + np.arange(rng.integers(0, 2))
        found = rng.permutation(np.concatenate([track_of[seen], extra]))
        alike = rng.uniform(0, 0.4, (len(truth), len(found)))
        for person in seen:
            row, column = truth == person, found == track_of[person]
            alike[np.ix_(row, column)] = rng.uniform(0.3, 1.0)
        yield TrackedFrame(truth, found, alike)


def test_two_people_whose_tracks_are_swapped_in_the_middle():
    """By hand: each track is right in half of the frames, whoever it is paired with.

    IDF1 = 2 * 10 / (20 + 20). AssA: each of 4 pairs (person, track) matches 5 times;
    person and track have 10 frames each, so A = 5 / (10 + 10 - 5) for every match.
    """
    before = frame([1, 2], [11, 12], [(1, 11), (2, 12)])
    after = frame([1, 2], [11, 12], [(1, 12), (2, 11)])
    figures = tracking_figures([before] * 5 + [after] * 5)
    assert figures.idf1 == figures.id_precision == figures.id_recall == 0.5
    assert figures.id_switches == 2 and figures.mota == pytest.approx(1 - 2 / 20)
    assert figures.det_a == 1.0 and figures.ass_a == pytest.approx(1 / 3)
    assert figures.hota == pytest.approx(np.sqrt(1 / 3))


def test_a_gap_after_which_the_track_is_another():
    """By hand: 6 frames with track 1, 2 missed, 2 with track 2; 10 frames of truth.

    IDTP = 6: IDF1 = 12 / 18. DetA = 8 / 10. AssA = (6 * 6/10 + 2 * 2/10) / 8 = 0.5.
    """
    frames = [frame([5], [1], [(5, 1)])] * 6 + [frame([5], [])] * 2
    figures = tracking_figures(frames + [frame([5], [2], [(5, 2)])] * 2)
    assert figures.idf1 == pytest.approx(12 / 18)
    assert figures.id_precision == pytest.approx(6 / 8)
    assert figures.id_recall == pytest.approx(6 / 10)
    assert figures.det_a == pytest.approx(0.8) and figures.ass_a == pytest.approx(0.5)
    assert figures.hota == pytest.approx(np.sqrt(0.4))
    assert (figures.id_switches, figures.misses, figures.people) == (1, 2, 10)


def test_a_match_counts_up_to_its_similarity():
    """0.62 holds for 12 of the 19 thresholds; beyond, both are unmatched."""
    figures = tracking_figures([frame([1], [4], [(1, 4)], 0.62)] * 3)
    assert (ALPHAS <= 0.62).sum() == 12
    assert figures.hota == figures.det_a == figures.ass_a == pytest.approx(12 / 19)
    assert figures.loc_a == pytest.approx((12 * 0.62 + 7) / 19)
    assert figures.idf1 == figures.mota == 1.0
    strict = tracking_figures([frame([1], [4], [(1, 4)], 0.62)] * 3, min_similarity=0.7)
    assert strict.idf1 == 0.0 and (strict.misses, strict.false_positives) == (3, 3)
    assert strict.mota == -1.0 and strict.hota == figures.hota


def test_poses_without_a_track_are_left_out():
    alike = np.array([[0.2, 1.0, 0.9]])
    figures = tracking_figures([TrackedFrame([3], [-1, 8, -1], alike)] * 2)
    assert figures.idf1 == figures.hota == 1.0 and figures.false_positives == 0


def test_a_switch_back_after_a_miss_counts_both_ways():
    frames = [frame([1], [track], [(1, track)]) for track in (7, 8)]
    found = tracking_figures([frames[0], frames[1], frame([1], []), frames[0]])
    assert (found.id_switches, found.misses) == (2, 1)


def test_a_match_of_the_frame_before_has_precedence():
    first = frame([1], [7], [(1, 7)])
    both = TrackedFrame([1], [7, 8], np.array([[0.6, 0.9]]))
    assert tracking_figures([first, both]).id_switches == 0


def test_ids_of_different_videos_are_different():
    first = [frame([1], [1], [(1, 1)])] * 4
    other = [frame([1], [1], [(1, 1)], video="b")] * 4
    assert tracking_figures(first + other).idf1 == 1.0
    swapped = [frame([1, 2], [1, 2], [(1, 2), (2, 1)], video="b")] * 4
    figures = tracking_figures(first + swapped)
    assert figures.idf1 == figures.hota == 1.0 and figures.id_switches == 0


def test_nothing_and_nobody():
    empty = frame([], [])
    for frames in ([], [empty] * 3):
        figures = tracking_figures(frames)
        assert (figures.idf1, figures.hota, figures.mota) == (0.0, 0.0, 1.0)
    ghosts = tracking_figures([frame([], [1])] * 3)
    assert ghosts.false_positives == 3 and ghosts.idf1 == 0.0


@pytest.mark.parametrize("seed", range(5))
def test_identities_and_switches_equal_those_of_motmetrics(seed):
    accumulator = motmetrics.MOTAccumulator(auto_id=True)
    frames = list(random_frames(seed))
    for one in frames:
        distances = np.where(one.similarity >= 0.5, 1 - one.similarity, np.nan)
        accumulator.update(one.truth, one.found, distances)
    names = ["idf1", "idp", "idr", "num_matches", "num_switches", "num_misses"]
    names += ["num_false_positives"]
    other = motmetrics.metrics.create().compute(accumulator, metrics=names).iloc[0]
    figures = tracking_figures(frames)
    assert figures.idf1 == pytest.approx(other["idf1"])
    assert figures.id_precision == pytest.approx(other["idp"])
    assert figures.id_recall == pytest.approx(other["idr"])
    assert figures.misses == other["num_misses"] > 0
    assert figures.false_positives == other["num_false_positives"] > 0
    assert figures.id_switches == other["num_switches"] > 0


# Of TrackEval's code as trackers 2.6.1 carries it, for `random_frames` of these seeds:
# HOTA, DetA, AssA, LocA, IDF1.
TRACK_EVAL = {
    0: (0.3113682, 0.4421662, 0.2209559, 0.7454000, 0.3833992),
    1: (0.3491835, 0.4318179, 0.2840108, 0.7506091, 0.4095427),
    2: (0.2739617, 0.4631274, 0.1629682, 0.7691099, 0.3104839),
}


@pytest.mark.parametrize("seed", TRACK_EVAL)
def test_hota_equals_that_of_track_eval(seed):
    figures = tracking_figures(random_frames(seed))
    found = (figures.hota, figures.det_a, figures.ass_a, figures.loc_a, figures.idf1)
    np.testing.assert_allclose(found, TRACK_EVAL[seed], atol=1e-6)


def test_oks_equals_that_of_the_evaluation():
    rng = np.random.default_rng(0)
    keypoints = rng.uniform(0, 60, (3, 17, 3))
    keypoints[..., 2] = rng.integers(0, 3, (3, 17))
    poses = keypoints[[0, 2], :, :2] + rng.normal(0, 4, (2, 17, 2))
    areas, sigmas = np.array([900.0, 1600.0, 0.0]), np.array(COCO.sigmas)
    found = oks_similarity(keypoints, areas, poses, sigmas)
    expected = to_numpy(oks(poses, keypoints[:, None], areas[:, None], sigmas))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    # What was not found counts as wrong, as in COCO; what is not labelled does not.
    labelled = np.flatnonzero(keypoints[0, :, 2] > 0)
    poses[0, labelled[0]] = np.nan
    less = oks_similarity(keypoints, areas, poses, sigmas)[0, 0]
    rest = np.delete(np.arange(17), labelled[0])
    others = oks_similarity(
        keypoints[:1, rest], areas[:1], poses[:1, rest], sigmas[rest]
    )
    assert less == pytest.approx(others[0, 0] * (len(labelled) - 1) / len(labelled))


def test_boxes_by_hand():
    poses = np.array([[[1.0, 2.0], [5.0, 4.0], [np.nan, 9.0]]])
    poses[0, 2] = np.nan
    np.testing.assert_array_equal(pose_boxes(poses), [[1, 2, 5, 4]])
    first = np.array([[0.0, 0, 4, 4], [1, 1, 1, 1]])
    second = np.array([[2.0, 0, 6, 4], [4, 4, 5, 5], [1, 1, 1, 1]])
    np.testing.assert_allclose(box_iou(first, second), [[8 / 24, 0, 0], [0, 0, 0]])


def test_frames_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"similarity: expected \[1, 2\]"):
        tracking_figures([TrackedFrame([1], [1, 2], np.zeros((2, 1)))])
    with pytest.raises(ValueError, match="truth: expected ids that are unique"):
        tracking_figures([TrackedFrame([1, 1], [1], np.zeros((2, 1)))])
    with pytest.raises(ValueError, match="found: expected ids that are unique"):
        tracking_figures([TrackedFrame([1], [2, 2], np.zeros((1, 2)))])
