import numpy as np
import pytest
from keras import ops

from qepose_tf.ops.decode import (
    LEAST_EXTENT,
    POINT_EXTENT,
    extents,
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


def nms_twin(poses, scores, distance, cells=1.0):
    cells = np.broadcast_to(cells, scores.shape)
    diagonal = np.linalg.norm(poses.max(1) - poses.min(1), axis=-1)
    point = diagonal < 12 * cells
    reach = distance * np.where(point, 40 * cells, diagonal)
    keep = np.zeros(len(poses), bool)
    for i, pose in enumerate(poses):
        if scores[i] <= 0:
            continue
        keep[i] = True
        for j in np.flatnonzero(keep[:i]):
            near = np.linalg.norm(poses[j] - pose, axis=-1) <= reach[j]
            if near.sum() > (0 if point[i] and point[j] else len(pose) / 2):
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


@pytest.mark.parametrize(
    ("keypoints", "size"), [(1, 0), (2, 12), (5, 200), (17, 1), (17, 12), (17, 200)]
)
def test_pose_nms_equals_the_greedy_twin(keypoints, size):
    """People of any size, from a point to the whole map, each found several times."""
    rng = np.random.default_rng(keypoints)
    people = rng.uniform(0, 200, (4, 6, 1, 2))
    people = people + rng.uniform(0, size, (4, 6, keypoints, 2))
    which = rng.integers(0, 6, (4, 30))
    poses = np.take_along_axis(people, which[..., None, None], axis=1)
    error = 6 if size == 200 else 1
    poses = (poses + rng.normal(0, error, poses.shape)).astype("float32")
    scores = np.sort(rng.random((4, 30)).astype("float32"))[:, ::-1].copy()
    scores[1, 20:] = 0
    keep = nms(poses, scores)
    for image in range(4):
        expected = nms_twin(poses[image], scores[image], 0.05)
        np.testing.assert_array_equal(keep[image], expected)
    assert 4 * 30 > keep.sum() >= 4 * 5, "the case must hold both kinds"


def on_one_spot(keypoints, *places):
    """Poses whose keypoints coincide, `[1, P, K, 2]`."""
    return np.float32(places)[None, :, None].repeat(keypoints, 2)


@pytest.mark.parametrize("keypoints", [1, 2, 17])
def test_poses_on_one_spot_are_one_person_within_two_cells(keypoints):
    poses = on_one_spot(keypoints, [30, 30], [31, 31.5], [32.1, 30], [60, 60])
    scores = [[0.9, 0.8, 0.7, 0.6]]
    keep = nms(poses, scores)
    np.testing.assert_array_equal(keep, [[True, False, True, True]])
    nearer = nms(poses, scores, 0.01)  # 0.4 cells
    np.testing.assert_array_equal(nearer, [[True] * 4])
    further = nms(poses, scores, 0.1)  # four cells
    np.testing.assert_array_equal(further, [[True, False, False, True]])
    exact = nms(on_one_spot(keypoints, [3, 3], [3, 3], [3.01, 3]), [[3, 2, 1]], 0.0)
    np.testing.assert_array_equal(exact, [[True, False, True]])


@pytest.mark.parametrize("unit", [0.5, 4.0, 10.0])
def test_the_reach_of_a_point_is_counted_in_cells_of_its_own_view(unit):
    """The same points in another unit, and two views in one unit."""
    poses = on_one_spot(1, [30, 30], [31.5, 30], [60, 60], [63, 60]) * unit

    def kept(cell):
        return everywhere(lambda p, s: pose_nms(p, s, 0.05, cell), poses, scores)

    scores = np.float32([[0.9, 0.8, 0.7, 0.6]])
    np.testing.assert_array_equal(kept(unit), [[True, False, True, True]])
    coarse = np.float32([[1, 1, 2, 1]]) * np.float32(unit)
    np.testing.assert_array_equal(kept(coarse), [[True, False, True, False]])


def test_an_extent_is_that_of_the_box_unless_it_measures_nobody():
    diagonals = np.float32([0, 1, 11.99, 12, 12.01, 39, 40, 300])
    poses = np.stack([0 * diagonals, diagonals], axis=-1)[None, ..., None]
    poses = np.concatenate([poses, 0 * poses], axis=-1)  # along x
    found, point = everywhere(extents, poses)
    assert (LEAST_EXTENT, POINT_EXTENT) == (12, 40)
    np.testing.assert_array_equal(found[0, :3], POINT_EXTENT**2)
    np.testing.assert_array_equal(found[0, 3:], diagonals[3:] ** 2)
    np.testing.assert_array_equal(point[0], diagonals < 12)


@pytest.mark.parametrize("keypoints", [1, 2, 17])
def test_one_taught_keypoint_is_enough_where_the_others_stand_by_their_cell(keypoints):
    """Labels teach keypoint 0 alone: it agrees, the others move with the cell."""
    cells = np.float32([[30, 30], [34, 31], [27, 33], [36, 36]])
    taught = np.float32([[31, 31.5], [31.5, 32], [30, 31], [41, 37]])
    rest = np.random.default_rng(0).uniform(-1, 1, (17, 2)).astype("float32")
    poses = (cells[:, None] + rest[:keypoints])[None]
    poses[0, :, 0] = taught
    assert everywhere(extents, poses)[1].all()
    keep = nms(poses, [[0.9, 0.8, 0.7, 0.6]])
    np.testing.assert_array_equal(keep, [[True, False, False, True]])


def test_a_point_repeats_no_pose_of_ordinary_extent_by_one_keypoint():
    pose = square(0, side=50.0)
    point = np.broadcast_to(pose[4], pose.shape)
    poses = np.stack([point, pose, point + 1])[None]
    keep = nms(poses, [[0.9, 0.8, 0.7]])
    np.testing.assert_array_equal(keep, [[True, True, False]])
    keep = nms(poses[:, [1, 0, 2]], [[0.9, 0.8, 0.7]])
    np.testing.assert_array_equal(keep, [[True, True, False]])


def box_nms(poses, scores, distance=0.05):
    """Suppression by the box alone, without any notion of a point, as in DEKR."""
    size = ops.max(poses, axis=2) - ops.min(poses, axis=2)
    reach2 = distance**2 * ops.sum(ops.square(size), axis=-1)
    gap = poses[:, :, None] - poses[:, None]
    near = ops.sum(ops.square(gap), axis=-1) <= reach2[:, :, None, None]
    same = to_numpy(ops.sum(ops.cast(near, "float32"), axis=-1) > poses.shape[2] / 2)
    keep = to_numpy(scores) > 0
    for image, row in np.ndindex(keep.shape):
        keep[image, row] &= not (keep[image, :row] & same[image, :row, row]).any()
    return keep


@pytest.mark.parametrize("keypoints", [2, 17])
def test_poses_of_ordinary_extent_are_judged_by_their_box_to_the_bit(keypoints):
    """Repeats at just the reach: one more unit in the last place would tell."""
    rng = np.random.default_rng(5)
    poses = rng.uniform(0, 100, (50, 1, keypoints, 2)).astype("float32")
    poses[:, :, 0], poses[:, :, 1] = 0, rng.uniform(12, 100, (50, 1, 2))
    size = poses.max(2) - poses.min(2)
    reach = np.float32(0.05) * np.sqrt((size**2).sum(-1))
    others = np.repeat(poses, 12, axis=1)
    nearly = np.linspace(1 - 6e-7, 1 + 6e-7, 12, dtype="float32")
    others[..., 0] += (reach * nearly)[..., None]
    poses = np.concatenate([poses, others], axis=1)
    scores = np.float32(np.linspace(1, 0.5, 13))[None].repeat(50, 0)
    keep = nms(poses, scores)
    expected = box_nms(*map(ops.convert_to_tensor, (poses, scores)))
    np.testing.assert_array_equal(keep, expected)
    assert 50 < keep.sum() < 50 * 13, "the case must hold both kinds"


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
