import json

import numpy as np
import pytest

from qepose_tf.layers.cir_target import CIRTargetLayer
from qepose_tf.ops.facts import Omega
from tests.backends import everywhere, to_numpy

MAP_HW = (12, 16)  # of an input of 48 x 64 pixels
SIGMAS = (0.5, 0.25, 0.1)


def two_people():
    """Two people whose discs overlap, the second smaller, and a place for a third."""
    keypoints = np.zeros((1, 3, 3, 3), "float32")
    keypoints[0, 0] = [[16, 24, 2], [24, 24, 1], [32, 24, 2]]  # centre: cell (6, 6)
    keypoints[0, 1] = [[28, 24, 2], [36, 24, 2], [60, 47, 0]]  # centre: cell (8, 6)
    return keypoints, np.float32([[400, 100, 0]])


def located(layer, keypoints, area):
    return everywhere(lambda k, a: layer.locate(k, a, MAP_HW), keypoints, area)


def perfect(omega):
    return omega.keypoints[..., :2]


def targets(layer, omega, poses, ignore=None):
    if ignore is None:
        ignore = np.zeros((len(poses), *MAP_HW, 1), "float32")

    def call(poses, ignore, *fields):
        return layer(poses, Omega(*fields), ignore)

    return everywhere(call, poses, ignore, *omega)


def test_config():
    layer = CIRTargetLayer(SIGMAS, 3.0, 0.2, "gaussian", 1.5, name="cir")
    config = json.loads(json.dumps(layer.get_config()))
    clone = CIRTargetLayer.from_config(config)
    assert clone.get_config() == config
    assert clone.sigmas == SIGMAS and clone.radius == 3.0
    assert clone.background_weight == 0.2 and not clone.trainable
    assert clone.label == "gaussian" and clone.gaussian_sigma == 1.5
    with pytest.raises(ValueError, match="expected a label of .*got 'oks'"):
        CIRTargetLayer(SIGMAS, label="oks")


def test_targets_are_float32_under_any_policy():
    layer = CIRTargetLayer(SIGMAS, dtype="mixed_bfloat16")
    omega = located(layer, *two_people())
    assert {array.dtype.name for array in targets(layer, omega, perfect(omega))} == {
        "float32"
    }


def test_locate_says_whose_pose_a_cell_should_have():
    layer = CIRTargetLayer(SIGMAS)
    keypoints, area = two_people()
    omega = located(layer, keypoints, area)
    assert omega.cells.shape == (1, 3 * 45, 2)
    assert omega.keypoints.shape == (1, 3 * 45, 3, 3)
    owned = omega.owned.reshape(3, 45)
    # The smaller person owns all its 45 cells. Discs two cells apart share 5 of 7 in
    # each of the five middle rows and 3 of 5 in the two others: 31.
    assert owned.sum(-1).tolist() == [45 - 31, 45, 0]
    by_person = omega.keypoints.reshape(3, 45, 3, 3)
    for person in range(2):
        expected = keypoints[0, person].copy()
        expected[:, :2] /= 4
        expected[:, 2] = expected[:, 2] > 0
        np.testing.assert_array_equal(by_person[person, 7], expected)
    np.testing.assert_array_equal(omega.area.reshape(3, 45)[:, 0], [25, 6.25, 0])


def test_perfect_poses_have_the_target_one_in_omega_and_zero_elsewhere():
    layer = CIRTargetLayer(SIGMAS)
    omega = located(layer, *two_people())
    target, weight, quality = targets(layer, omega, perfect(omega))
    inside = np.zeros(MAP_HW)
    for y, x in np.ndindex(MAP_HW):
        inside[y, x] = min((x - 6) ** 2, (x - 8) ** 2) + (y - 6) ** 2 < 16
    np.testing.assert_array_equal(target[0, :, :, 0], inside)
    np.testing.assert_array_equal(
        weight[0, :, :, 0], np.where(inside, 1, np.float32(0.1))
    )
    np.testing.assert_array_equal(quality, omega.owned)


def test_the_target_is_the_quality_of_the_predicted_pose():
    layer = CIRTargetLayer(SIGMAS)
    keypoints, area = two_people()
    area[0, 1] = 0  # the first person alone
    omega = located(layer, keypoints, area)
    poses = perfect(omega).copy()
    cells = omega.cells[0]
    at = np.flatnonzero((cells == [5, 4]).all(-1))[0]
    # k = 2 sigma = 1, area 25 cells: 5 cells away e^(-25 / 50); the other two are 1.
    poses[0, at, 0] += [3, 4]
    target, _, quality = targets(layer, omega, poses)
    assert target[0, 4, 5, 0] == pytest.approx((np.exp(-0.5) + 2) / 3, rel=1e-6)
    assert quality[0, at] == target[0, 4, 5, 0]
    assert target.sum() == pytest.approx(44 + target[0, 4, 5, 0])


@pytest.mark.parametrize("sigma", [None, 1.0])
def test_the_gaussian_label_falls_with_the_distance_from_the_centre(sigma):
    """Table 3's Gaussian: whatever the poses are, and half the radius wide."""
    layer = CIRTargetLayer(SIGMAS, label="gaussian", gaussian_sigma=sigma)
    omega = located(layer, *two_people())
    target, weight, quality = targets(layer, omega, perfect(omega) + 1)
    expected = np.zeros(MAP_HW)
    spread = 2 * (sigma or 2.0) ** 2
    for y, x in np.ndindex(MAP_HW):
        first, second = (x - 6) ** 2 + (y - 6) ** 2, (x - 8) ** 2 + (y - 6) ** 2
        # The smaller person, at (8, 6), owns the cells that both discs cover.
        if second < 16:
            expected[y, x] = np.exp(-second / spread)
        elif first < 16:
            expected[y, x] = np.exp(-first / spread)
    np.testing.assert_allclose(target[0, :, :, 0], expected, rtol=1e-6)
    assert target[0, 6, 8, 0] == 1
    cir = CIRTargetLayer(SIGMAS)
    _, same_weight, same_quality = targets(cir, omega, perfect(omega) + 1)
    np.testing.assert_array_equal(weight, same_weight)
    np.testing.assert_array_equal(quality, same_quality)


def test_the_discrete_label_is_one_in_omega():
    layer = CIRTargetLayer(SIGMAS, label="discrete")
    omega = located(layer, *two_people())
    target, weight, _ = targets(layer, omega, perfect(omega) + 1)
    np.testing.assert_array_equal(target, weight == 1)


def test_what_is_ignored_has_no_weight():
    layer = CIRTargetLayer(SIGMAS, background_weight=0.25)
    omega = located(layer, *two_people())
    ignore = np.zeros((1, *MAP_HW, 1), "float32")
    ignore[0, :, :8] = 1
    _, weight, _ = targets(layer, omega, perfect(omega), ignore)
    assert weight[0, :, :8].max() == 0
    assert set(np.unique(weight[0, :, 8:])) == {0.25, 1.0}


def test_nobody():
    layer = CIRTargetLayer(SIGMAS)
    omega = located(
        layer, np.zeros((2, 0, 3, 3), "float32"), np.zeros((2, 0), "float32")
    )
    target, weight, quality = targets(layer, omega, np.zeros((2, 0, 3, 2), "float32"))
    assert target.shape == (2, *MAP_HW, 1) and quality.shape == (2, 0)
    np.testing.assert_array_equal(target, 0)
    np.testing.assert_array_equal(weight, np.float32(0.1))


def test_unlabelled_keypoints_may_hold_anything():
    layer = CIRTargetLayer(SIGMAS)
    keypoints, area = two_people()
    expected = targets(layer, *with_poses(layer, keypoints, area))
    keypoints[0, 1, 2] = [np.nan, np.inf, 0]
    keypoints[0, 2] = np.nan  # padding
    for result, number in zip(
        targets(layer, *with_poses(layer, keypoints, area)), expected, strict=True
    ):
        np.testing.assert_array_equal(result, number)


def with_poses(layer, keypoints, area):
    omega = to_numpy(layer.locate(keypoints, area, MAP_HW))
    return omega, np.full(omega.keypoints.shape[:3] + (2,), 6.0, "float32")
