import numpy as np
import pytest

from qepose_tf.ops.decode import (
    local_maxima,
    pose_nms,
    rank,
    same_person,
    top_cells,
)
from tests.backends import BACKEND, assert_same, everywhere, to_numpy


def maxima(score_map, window=5):
    return everywhere(lambda m: local_maxima(m, window), score_map)


def test_a_neighbour_of_a_higher_score_is_no_maximum():
    row = np.float32([0.1, 0.9, 0.2, 0.8, 0.3, 0.0, 0.7]).reshape(1, 1, 7, 1)
    # 0.8 stands two cells from 0.9, 0.7 three from 0.8 and five from 0.9.
    np.testing.assert_array_equal(
        maxima(row)[0, 0, :, 0], np.float32([0, 0.9, 0, 0, 0, 0, 0.7])
    )
    np.testing.assert_array_equal(
        maxima(row, window=3)[0, 0, :, 0], np.float32([0, 0.9, 0, 0.8, 0, 0, 0.7])
    )


def test_local_maxima_equal_their_twin():
    score_map = np.random.default_rng(0).random((3, 9, 11, 1)).astype("float32")
    found = maxima(score_map)
    for image, y, x in np.ndindex(3, 9, 11):
        around = score_map[image, max(0, y - 2) : y + 3, max(0, x - 2) : x + 3]
        score = score_map[image, y, x, 0]
        assert found[image, y, x, 0] == (score if score == around.max() else 0)


def test_the_border_is_no_maximum_by_itself():
    """Beyond the border stands nothing, not a 0 that would beat a negative score."""
    score_map = np.full((1, 4, 4, 1), -1.0, "float32")
    np.testing.assert_array_equal(maxima(score_map), score_map)


def test_top_cells_are_x_y_by_descending_score():
    score_map = np.zeros((2, 3, 4, 1), "float32")
    score_map[0, 1, 3] = 0.5
    score_map[0, 2, 0] = 0.9
    score_map[1, 0, 2] = 0.7
    scores, cells = everywhere(lambda m: top_cells(m, 3), score_map)
    np.testing.assert_array_equal(scores, np.float32([[0.9, 0.5, 0], [0.7, 0, 0]]))
    assert cells.dtype == np.int32
    np.testing.assert_array_equal(cells[0, :2], [[0, 2], [3, 1]])
    np.testing.assert_array_equal(cells[1, 0], [2, 0])


def test_top_cells_equal_a_full_sort():
    score_map = np.random.default_rng(1).random((2, 6, 5, 1)).astype("float32")
    scores, cells = everywhere(lambda m: top_cells(m, 30), score_map)
    for image in range(2):
        np.testing.assert_array_equal(
            scores[image], np.sort(score_map[image].ravel())[::-1]
        )
        x, y = cells[image].T
        np.testing.assert_array_equal(score_map[image, y, x, 0], scores[image])


@pytest.mark.parametrize("height", [None, 2])
def test_more_rows_than_cells_are_empty(height):
    score_map = np.float32([[0.2, -0.5, 0.9], [0.4, 0.0, 0.1]]).reshape(1, 2, 3, 1)
    found = everywhere(lambda m: top_cells(m, 8), score_map)
    if BACKEND == "tensorflow":
        import tensorflow as tf

        shape = [None, height, None, 1]
        unknown = tf.function(
            lambda m: top_cells(m, 8), input_signature=[tf.TensorSpec(shape)]
        )
        assert_same(to_numpy(unknown(score_map)), found)
    scores, cells = found
    expected = np.float32([[0.9, 0.4, 0.2, 0.1, 0, -0.5, 0, 0]])
    np.testing.assert_array_equal(scores, expected)
    x, y = cells[0, :6].T
    np.testing.assert_array_equal(score_map[0, y, x, 0], expected[0, :6])
    np.testing.assert_array_equal(cells[0, 6:], [[2, 1], [2, 1]])


def square(x, y=0.0, side=100.0):
    """A pose of five keypoints: corners and middle of a square."""
    unit = np.float32([[0, 0], [1, 0], [0, 1], [1, 1], [0.5, 0.5]])
    return unit * side + np.float32([x, y])


# The diagonal of a square of 100 is 141.4, of which 0.05 is 7.07.
def test_two_poses_within_reach_are_one_person():
    poses = np.stack([square(0), square(7), square(8)])[None]
    same = everywhere(lambda p: same_person(p, 0.05), poses)[0]
    expected = [[1, 1, 0], [1, 1, 1], [0, 1, 1]]
    np.testing.assert_array_equal(same, np.array(expected, bool))


def test_more_than_half_of_the_keypoints_must_agree():
    two, three = square(0), square(0)
    two[:3] += 500.0  # two of five still agree
    three[:2] += 500.0  # three of five
    poses = np.stack([square(0), two, three])[None]
    same = everywhere(lambda p: same_person(p, 0.05), poses)[0]
    np.testing.assert_array_equal(same[0], [True, False, True])


def test_half_of_the_keypoints_is_not_enough():
    pose = np.float32([[0, 0], [100, 0], [0, 100], [100, 100]])
    other = pose + np.float32([[0, 0], [0, 0], [50, 0], [50, 0]])
    same = everywhere(lambda p: same_person(p, 0.05), np.stack([pose, other])[None])
    np.testing.assert_array_equal(same[0], np.eye(2, dtype=bool))


def test_the_reach_is_that_of_the_pose_in_the_row():
    """A large pose reaches one on a single spot, which does not reach the large."""
    large = square(0)
    spot = np.broadcast_to(large[4], large.shape)
    same = everywhere(lambda p: same_person(p, 0.6), np.stack([large, spot])[None])[0]
    np.testing.assert_array_equal(same, [[True, True], [False, True]])


def nms_twin(poses, scores, distance):
    keep = np.zeros(len(poses), bool)
    for i, pose in enumerate(poses):
        if scores[i] <= 0:
            continue
        keep[i] = True
        for j in np.flatnonzero(keep[:i]):
            better = poses[j]
            reach = distance * np.linalg.norm(better.max(0) - better.min(0))
            near = np.linalg.norm(better - pose, axis=-1) <= reach
            if near.sum() > len(pose) / 2:
                keep[i] = False
    return keep


def nms(poses, scores, distance=0.05):
    return everywhere(lambda p, s: pose_nms(p, s, distance), poses, np.float32(scores))


def test_a_suppressed_pose_suppresses_nobody():
    """A suppresses B, B would have suppressed C: C stays."""
    poses = np.stack([square(0), square(6), square(12)])[None]
    np.testing.assert_array_equal(nms(poses, [[0.9, 0.8, 0.7]]), [[True, False, True]])


def test_a_chain_of_thirty():
    poses = np.stack([square(6 * n) for n in range(30)])[None]
    keep = nms(poses, [np.linspace(1, 0.1, 30)])
    np.testing.assert_array_equal(keep[0], np.arange(30) % 2 == 0)


def test_an_empty_row_is_neither_kept_nor_suppresses():
    poses = np.stack([square(0), square(0), square(0)])[None]
    np.testing.assert_array_equal(nms(poses, [[0.9, 0.0, 0.0]]), [[True, False, False]])
    np.testing.assert_array_equal(nms(poses, [[0.0, 0.0, 0.0]]), [[False] * 3])


@pytest.mark.parametrize("keypoints", [1, 5, 17])
def test_pose_nms_equals_the_greedy_twin(keypoints):
    rng = np.random.default_rng(keypoints)
    people = rng.uniform(0, 200, (4, 6, keypoints, 2))
    which = rng.integers(0, 6, (4, 30))
    poses = np.take_along_axis(people, which[..., None, None], axis=1)
    poses = (poses + rng.normal(0, 6, poses.shape)).astype("float32")
    scores = np.sort(rng.random((4, 30)).astype("float32"))[:, ::-1].copy()
    scores[1, 20:] = 0
    keep = nms(poses, scores)
    for image in range(4):
        expected = nms_twin(poses[image], scores[image], 0.05)
        np.testing.assert_array_equal(keep[image], expected)
    if keypoints > 1:
        assert 4 * 30 > keep.sum() > 4 * 6, "the case must hold both kinds"


def test_one_keypoint_has_no_size_to_reach_with():
    poses = np.float32([[[[3, 3]], [[3, 3]], [[3.01, 3]]]])
    np.testing.assert_array_equal(nms(poses, [[0.9, 0.8, 0.7]]), [[True, False, True]])


def test_no_image_is_no_pose():
    poses, scores = np.zeros((0, 4, 5, 2), "float32"), np.zeros((0, 4), "float32")
    keep = everywhere(pose_nms, poses, scores)
    assert keep.shape == (0, 4) and keep.dtype == bool
    _, ranked = everywhere(rank, scores, keep, poses)
    assert ranked.shape == poses.shape


def test_rank_brings_what_is_kept_to_the_front():
    scores = np.float32([[0.9, 0.8, 0.7, 0.6]])
    keep = np.array([[False, True, False, True]])
    poses = np.arange(16, dtype="float32").reshape(1, 4, 2, 2)
    cells = np.int32([[[0, 9], [1, 8], [2, 7], [3, 6]]])
    scores, poses, cells = everywhere(rank, scores, keep, poses, cells)
    np.testing.assert_array_equal(scores, np.float32([[0.8, 0.6, 0, 0]]))
    np.testing.assert_array_equal(poses[0, :2].ravel(), [4, 5, 6, 7, 12, 13, 14, 15])
    assert cells.dtype == np.int32
    np.testing.assert_array_equal(cells[0, :2], [[1, 8], [3, 6]])


def test_rank_moves_rows_exactly():
    rng = np.random.default_rng(0)
    scores = rng.random((3, 30)).astype("float32")
    keep = rng.random((3, 30)) > 0.4
    poses = rng.uniform(0, 2000, (3, 30, 17, 2)).astype("float32")
    ranked_scores, ranked = everywhere(rank, scores, keep, poses)
    for image in range(3):
        order = np.argsort(-np.where(keep[image], scores[image], 0), kind="stable")
        kept = keep[image].sum()
        np.testing.assert_array_equal(ranked[image, :kept], poses[image, order[:kept]])
        np.testing.assert_array_equal(ranked_scores[image, kept:], 0.0)
