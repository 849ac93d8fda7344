"""OKS of all pairs, and the scale that stands for a person's area."""

import numpy as np
import pytest

from qepose_tf.inference.tracking.assignment import best_pairs
from qepose_tf.inference.tracking.similarity import pairwise_oks, pose_scales
from qepose_tf.skeleton import COCO

SIGMAS = np.array(COCO.sigmas)


def random_poses(rng, count):
    poses = rng.uniform(0, 100, (count, 17, 2))
    poses[rng.random((count, 17)) < 0.2] = np.nan
    return poses


def slow_oks(first, second, scale, variances):
    """One pair, keypoint by keypoint."""
    found = []
    for a, b, sigma, variance in zip(first, second, SIGMAS, variances, strict=True):
        if np.isfinite([*a, *b]).all():
            spread = (scale * 2 * sigma) ** 2 + variance
            found.append(np.exp(-((a - b) ** 2).sum() / (2 * spread)))
    return np.mean(found) if found else 0.0


@pytest.mark.parametrize("people, poses", [(4, 3), (0, 3), (2, 0)])
def test_equals_a_loop_over_pairs_and_keypoints(people, poses):
    rng = np.random.default_rng(people)
    first, second = random_poses(rng, people), random_poses(rng, poses)
    scales = rng.uniform(10, 100, (people, poses))
    variances = rng.uniform(0, 100, (people, 17))
    found = pairwise_oks(first, second, scales, SIGMAS, variances)
    expected = [
        [
            slow_oks(first[t], second[n], scales[t, n], variances[t])
            for n in range(poses)
        ]
        for t in range(people)
    ]
    np.testing.assert_allclose(found, np.reshape(expected, (people, poses)))


def test_poses_that_share_nothing_are_not_alike():
    first, second = np.full((2, 1, 17, 2), 5.0)
    first[:, :8], second[:, 8:] = np.nan, np.nan
    assert pairwise_oks(first, second, np.ones((1, 1)), SIGMAS) == 0.0
    assert pairwise_oks(first, first, np.zeros((1, 1)), SIGMAS) == 0.0


def test_scales_by_hand():
    """Four corners of 6 x 8: variances 9 and 16, so s^2 = 2.7 * 25."""
    corners = np.array([[0.0, 0], [6, 0], [0, 8], [6, 8], [np.nan, 1]])
    assert pose_scales(corners) == pytest.approx(np.sqrt(67.5))
    assert pose_scales(corners * 3 + 50) == pytest.approx(3 * np.sqrt(67.5))
    turned = corners @ np.array([[0.6, 0.8], [-0.8, 0.6]])
    assert pose_scales(turned) == pytest.approx(np.sqrt(67.5))
    few = np.full((2, 5, 2), np.nan)
    few[0, 2] = 7.0
    np.testing.assert_array_equal(pose_scales(few, 8.0), [8.0, 8.0])


def test_pairs_below_the_least_similarity_push_nobody_aside():
    """Without the limit, 0.5 + 0.15 beats 0.6."""
    similarity = np.array([[0.6, 0.5], [0.15, 0.0]])
    assert best_pairs(similarity, 0.1)[1].tolist() == [1, 0]
    rows, columns = best_pairs(similarity, 0.2)
    assert rows.tolist() == [0] and columns.tolist() == [0]


def test_weights_choose_but_do_not_decide_what_is_alike():
    similarity, weights = np.array([[0.9], [0.8]]), np.array([[0.5], [1.0]])
    assert best_pairs(similarity, 0.7, weights)[0].tolist() == [1]
    assert best_pairs(similarity, 0.85, weights)[0].tolist() == [0]
    assert best_pairs(np.zeros((0, 3)), 0.5)[0].shape == (0,)
