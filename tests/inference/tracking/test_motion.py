"""The Kalman filters of all keypoints against one filter at a time, and by hand."""

import numpy as np
import pytest

from qepose_tf.inference.tracking import motion as module
from qepose_tf.inference.tracking.motion import Motion

SIGMAS = np.array([0.05, 0.1, 0.2])
SCALES = np.array([50.0, 20.0])
NAN = np.nan


def start(seed=0):
    rng = np.random.default_rng(seed)
    return Motion.start(rng.uniform(0, 100, (2, 3, 2)), SCALES, SIGMAS)


def matrices(motion):
    """[T, K, 2, 2] covariance matrices."""
    place, both, speed = np.moveaxis(motion.covariances, -1, 0)
    return np.stack([np.stack([place, both], -1), np.stack([both, speed], -1)], -2)


@pytest.mark.parametrize("seconds", [0.0, 0.04, 0.7])
def test_uncertainty_grows_as_the_textbook_says(seconds):
    """P' = F P F^T + Q; Q is the integral of G(t) q G(t)^T with G(t) = (t, 1)."""
    motion = start()
    before = matrices(motion)
    motion.predict(seconds)
    step = np.array([[1.0, seconds], [0.0, 1.0]])
    times = (np.arange(20000) + 0.5) * seconds / 20000
    reach = np.stack([times, np.ones(20000)])
    wander = module.WANDER**2 * reach @ reach.T * seconds / 20000
    for track, scale in enumerate(SCALES):
        expected = step @ before[track] @ step.T + scale**2 * wander
        np.testing.assert_allclose(matrices(motion)[track], expected, 1e-6, 1e-9)


def test_correction_equals_the_textbook_filter():
    motion = start()
    motion.predict(0.1)
    prior, places, speeds = (
        matrices(motion),
        motion.positions.copy(),
        motion.velocities.copy(),
    )
    poses = np.random.default_rng(1).uniform(0, 100, (1, 3, 2))
    motion.correct(np.array([1]), poses, SCALES[1:], SIGMAS, 0.1)
    look = np.array([[1.0, 0.0]])
    for keypoint in range(3):
        covariance = prior[1, keypoint]
        noise = (SCALES[1] * SIGMAS[keypoint]) ** 2
        gain = covariance @ look.T / (look @ covariance @ look.T + noise)
        for axis in range(2):
            state = np.array([places[1, keypoint, axis], speeds[1, keypoint, axis]])
            state = state + gain[:, 0] * (poses[0, keypoint, axis] - state[0])
            found = motion.positions[1, keypoint, axis]
            assert found == pytest.approx(state[0])
            assert motion.velocities[1, keypoint, axis] == pytest.approx(state[1])
        expected = (np.eye(2) - gain @ look) @ covariance
        np.testing.assert_allclose(matrices(motion)[1, keypoint], expected)
    np.testing.assert_array_equal(motion.positions[0], places[0])
    np.testing.assert_array_equal(matrices(motion)[0], prior[0])


def test_an_even_walk_is_learned_and_goes_on_out_of_sight():
    motion = start()
    first = motion.positions.copy()
    for number in range(1, 26):
        motion.predict(0.04)
        way = first + np.array([60.0, -5.0]) * 0.04 * number
        motion.correct(np.arange(2), way, SCALES, SIGMAS, 0.04)
    np.testing.assert_allclose(motion.velocities, [[[60, -5]] * 3] * 2, rtol=0.02)
    before = motion.positions.copy()
    motion.predict(1.0)
    np.testing.assert_allclose(motion.positions - before, [[[60, -5]] * 3] * 2, 0.02)


def test_a_limb_out_of_sight_goes_on_with_the_body_by_hand():
    """The mean of 0, 0 and 90 px/s is 30; beyond it a limb moves 0.2 s and no more."""
    motion = start()
    motion.velocities[:, :, 0] = [0.0, 0.0, 90.0]
    before = motion.positions.copy()
    motion.predict(2.0)
    moved = (motion.positions - before)[0, :, 0]
    np.testing.assert_allclose(moved, [60 - 6, 60 - 6, 60 + 12], atol=0.01)
    np.testing.assert_allclose(motion.velocities[0, :, 0], 30.0, atol=0.01)


def test_two_short_steps_are_one_long_one():
    one, two = start(), start()
    one.velocities[:, 1] = two.velocities[:, 1] = [30.0, -80.0]
    one.predict(0.5)
    two.predict(0.2)
    two.predict(0.3)
    np.testing.assert_allclose(two.positions, one.positions)
    np.testing.assert_allclose(two.velocities, one.velocities)
    np.testing.assert_allclose(two.covariances, one.covariances, rtol=1e-9)


def test_unknown_keypoints_wait_and_new_ones_move_with_the_body():
    poses = np.array([[[0.0, 0], [10, 0], [NAN, NAN]]])
    motion = Motion.start(poses, SCALES[:1], SIGMAS)
    motion.velocities[0, :2] = [40.0, 0.0]
    motion.velocities[0, 2] = 7.0  # of no meaning before it is seen
    motion.predict(0.0)
    before = motion.covariances.copy()
    seen = np.array([[[NAN, NAN], [NAN, 3.0], [5.0, 5.0]]])
    motion.correct(np.array([0]), seen, SCALES[:1], SIGMAS, 0.04)
    np.testing.assert_array_equal(motion.positions[0], [[0, 0], [10, 0], [5, 5]])
    np.testing.assert_array_equal(motion.velocities[0, 2], [40.0, 0.0])
    np.testing.assert_array_equal(motion.covariances[0, :2], before[0, :2])
    assert motion.covariances[0, 2].tolist() == [100.0, 0.0, 100.0**2]


def test_certainty_by_hand():
    """A first pose has variance (s sigma)^2, a fifth of the whole tolerance 5/4."""
    np.testing.assert_allclose(start().certainty(SIGMAS), 0.8)
    lost = start()
    lost.predict(1.0)
    assert (lost.certainty(SIGMAS) < 0.1).all()


def test_nobody_is_no_fault():
    motion = Motion.start(np.zeros((0, 3, 2)), np.zeros(0), SIGMAS)
    motion.predict(0.1)
    none = np.zeros(0, int)
    motion.correct(none, np.zeros((0, 3, 2)), np.zeros(0), SIGMAS, 0.1)
    both = motion.joined(start())
    assert both.take(np.array([1])).scales.tolist() == [20.0]
