"""Each equation of the paper against numbers worked by hand."""

import numpy as np
import pytest
from keras import ops

from qepose_tf.layers.cir_target import CIRTargetLayer
from qepose_tf.layers.keypoint_query import KeypointQueryEncoding
from qepose_tf.layers.pose_query import PoseQueryEncoding
from qepose_tf.losses import offset_loss_sum, score_loss_sum, smooth_l1
from qepose_tf.ops.oks import oks

MAP_HW = (12, 14)


def ramp(height, width):
    """A map whose value at (x, y) is x + 10 y, between its cells as well."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return np.float32(x + 10 * y)[None, :, :, None]


def pass_through(norm):
    """Makes a batch normalisation the identity: epsilon 1e-5 fills the variance up."""
    norm.moving_variance.assign(np.full(norm.moving_variance.shape, 1 - 1e-5))


def test_equation_1_object_keypoint_similarity():
    # s^2 = 100, k_i = 2 sigma_i.
    # First:  d^2 = 0.6^2 + 0.8^2 = 1, k = 0.1: exp(-1 / (2 * 100 * 0.01)) = e^-0.5
    # Second: d^2 = 4^2 = 16,          k = 0.2: exp(-16 / (2 * 100 * 0.04)) = e^-2
    # Third:  not labelled, so neither summed nor counted.
    # OKS = (0.606531 + 0.135335) / 2 = 0.370933
    predicted = np.float32([[10.6, 20.8], [34, 40], [0, 0]])
    labelled = np.float32([[10, 20, 2], [30, 40, 1], [55, 66, 0]])
    value = oks(predicted, labelled, np.float32(100), np.float32([0.05, 0.1, 0.05]))
    assert float(value) == pytest.approx(0.370933, abs=1e-6)


def one_person():
    """One keypoint at pixel (24, 24), which is cell (6, 6); 32 px^2 are 2 cells."""
    layer = CIRTargetLayer([0.5])  # k = 1
    keypoints, area = np.float32([[[[24, 24, 2]]]]), np.float32([[32]])
    return layer, layer.locate(keypoints, area, MAP_HW)


def test_equation_2_consistent_instance_representation():
    # Poses miss by d in the cells named here, and by far in all others of Omega.
    # OKS = exp(-d^2 / (2 * 2 * 1)):
    miss = {
        (6, 6): (0, 0),  # d^2 = 0: 1
        (7, 6): (2, 0),  # d^2 = 4: e^-1
        (6, 9): (2, -2),  # d^2 = 8: e^-2; 3 from the centre, so in Omega
        (6, 10): (0, 0),  # 4 from the centre, not less: outside, 0
        (9, 9): (0, 0),  # sqrt(18) > 4 from the centre: outside, 0
    }
    layer, omega = one_person()
    poses = np.full((1, 45, 1, 2), 106.0, "float32")
    for place, cell in enumerate(ops.convert_to_numpy(omega.cells)[0]):
        if tuple(cell) in miss:
            poses[0, place, 0] = np.add((6, 6), miss[tuple(cell)])
    target, _, _ = layer(poses, omega, np.zeros((1, *MAP_HW, 1), "float32"))
    expected = np.zeros(MAP_HW)
    expected[6, 6], expected[6, 7], expected[9, 6] = 1, np.exp(-1), np.exp(-2)
    target = ops.convert_to_numpy(target)[0, :, :, 0]
    np.testing.assert_allclose(target, expected, atol=1e-7)


def test_equation_3_weighted_error_of_the_score_map():
    # 1 * (0.5 - 1)^2 + 0.1 * (0.2 - 0)^2 + 0.1 * 0^2 + 1 * (0.4 - 0.9)^2
    # = 0.25 + 0.004 + 0 + 0.25 = 0.504
    maps = [[0.5, 0.2, 0.0, 0.4], [1.0, 0.0, 0.0, 0.9], [1.0, 0.1, 0.1, 1.0]]
    predicted, target, weight = np.float32(maps).reshape(3, 1, 2, 2, 1)
    loss = score_loss_sum(predicted, target, weight)
    assert float(loss) == pytest.approx(0.504, abs=1e-6)


def test_equation_3_weights():
    # The disc of radius 4 has 45 cells of weight 1; 12 * 14 - 45 = 123 weigh 0.1.
    layer, omega = one_person()
    _, weight, _ = layer(
        np.zeros((1, 45, 1, 2), "float32"), omega, np.zeros((1, *MAP_HW, 1), "float32")
    )
    assert float(ops.sum(weight)) == pytest.approx(45 + 12.3, abs=1e-4)
    weight = ops.convert_to_numpy(weight)[0, :, :, 0]
    assert weight[6, 9] == 1 and weight[6, 10] == np.float32(0.1)


def encoding(semantic_points):
    layer = KeypointQueryEncoding(semantic_points)
    layer.build((1, 6, 8, 1, 1), (1, 6, 8, 1, 2))
    for weight in layer.trainable_weights:
        weight.assign(np.zeros(weight.shape))
    layer.norm.gamma.assign([1.0])
    pass_through(layer.norm)
    layer.aggregate.kernel.assign([[[1.0]]])
    return layer


def test_equation_4_displacements_add_up():
    # From c = (2, 3): D_cq = (1.5, -0.5). At the query the feature is 2, and the last
    # layer makes 2 * (0.25, -0.5) + (1, 0.5) = (1.5, -0.5) = D_qk of it.
    # D_ck = D_cq + D_qk = (3, -1); the keypoint is c + D_ck = (5, 2).
    layer = encoding(semantic_points=0)
    layer.offset.kernel.assign([[[0.25, -0.5]]])
    layer.offset.bias.assign([[1.0, 0.5]])
    features = np.full((1, 6, 8, 1, 1), 2.0, "float32")
    offsets = np.zeros((1, 6, 8, 1, 2), "float32")
    offsets[0, 3, 2, 0] = [1.5, -0.5]
    poses = layer(features, offsets, np.int32([[[2, 3]]]))
    np.testing.assert_allclose(poses, [[[[5, 2]]]], atol=1e-5)


def test_features_of_the_semantic_points_are_summed():
    # R'_k(c), between Equations 3 and 4. From c = (2, 1): q = c + (1.5, 1.5) =
    # (3.5, 2.5); q' = q + (1, 0) = (4.5, 2.5) and q + (0, 2) = (3.5, 4.5).
    # The feature is x + 10 y: 4.5 + 25 = 29.5 and 3.5 + 45 = 48.5, in sum 78.
    # D_qk = 78 * (0.01, 0.02) = (0.78, 1.56); the keypoint is (4.28, 4.06).
    layer = encoding(semantic_points=2)
    layer.semantic_offset.bias.assign([[1.0, 0.0, 0.0, 2.0]])
    layer.offset.kernel.assign([[[0.01, 0.02]]])
    offsets = np.zeros((1, 6, 8, 1, 2), "float32")
    offsets[0, 1, 2, 0] = [1.5, 1.5]
    poses = layer(ramp(6, 8)[..., None], offsets, np.int32([[[2, 1]]]))
    np.testing.assert_allclose(poses, [[[[4.28, 4.06]]]], atol=1e-4)


def test_equation_5_displacements_point_from_the_cell_to_the_keypoint():
    # Keypoints at pixels (25, 24) and (23, 24): cells (6.25, 6) and (5.75, 6), centre
    # (6, 6). From the cell (5, 7) of Omega: (1.25, -1) and (0.75, -1). The paper prints
    # the opposite sign, which would contradict its Equations 4 and 7.
    layer = CIRTargetLayer([0.5, 0.5])
    keypoints = np.float32([[[[25, 24, 2], [23, 24, 2]]]])
    omega = layer.locate(keypoints, np.float32([[100]]), MAP_HW)
    cells = ops.convert_to_numpy(omega.cells)[0]
    place = np.flatnonzero((cells == [5, 7]).all(axis=-1))[0]
    destination = ops.convert_to_numpy(omega.keypoints)[0, place, :, :2]
    displacement = destination - cells[place]
    np.testing.assert_allclose(displacement, [[1.25, -1], [0.75, -1]])
    # Only the 45 cells of Omega have such a target.
    assert len(cells) == 45 and float(ops.sum(omega.owned)) == 45


@pytest.mark.parametrize(
    "error, loss",
    [
        (0.0, 0.0),
        (0.1, 0.045),  # 0.5 * 0.01 * 9
        (1 / 9, 1 / 18),  # where the parabola meets the line
        (1.0, 17 / 18),  # 1 - 1 / 18
        (-2.0, 35 / 18),  # 2 - 1 / 18
    ],
)
def test_equation_6_smooth_l1(error, loss):
    assert float(smooth_l1(np.float32(error))) == pytest.approx(loss, abs=1e-6)


def test_equation_6_over_poses():
    # Weight 0.5: the first keypoint errs by (0.1, 1), 0.045 + 17 / 18 = 0.989444;
    # the second is not labelled. Weight 2: (-2, 0) and (0, 0), 35 / 18 = 1.944444.
    # 0.5 * 0.989444 + 2 * 1.944444 = 4.383611
    poses = np.float32([[[5.1, 6], [9, 9]], [[1, 3], [4, 4]]])
    labelled = np.float32([[[5, 5, 1], [0, 0, 0]], [[3, 3, 1], [4, 4, 1]]])
    loss = offset_loss_sum(poses, labelled, np.float32([0.5, 2.0]))
    assert float(loss) == pytest.approx(4.383611, abs=1e-5)


def test_equation_7_instance_features_at_the_queries():
    # From c = (1, 1), queries at c + (0.5, 0) = (1.5, 1) and c + (1, 1.5) = (2, 2.5).
    # R_I = x + 10 y there: 11.5 and 27. The 1x1 convolution of the two concatenated,
    # with 0.1 and 0.2: 0.1 * 11.5 + 0.2 * 27 = 6.55.
    layer = PoseQueryEncoding(1)
    layer.build((1, 4, 5, 1), (1, 4, 5, 2, 2))
    pass_through(layer.norm)
    layer.kernel.assign([[0.1], [0.2]])
    offsets = np.zeros((1, 4, 5, 2, 2), "float32")
    offsets[0, 1, 1] = [[0.5, 0], [1, 1.5]]
    encoded = ops.convert_to_numpy(layer(ramp(4, 5), offsets))
    assert encoded[0, 1, 1, 0] == pytest.approx(6.55, abs=1e-4)
    # The cell (3, 2) without displacement reads 23 twice: 0.3 * 23 = 6.9.
    assert encoded[0, 2, 3, 0] == pytest.approx(6.9, abs=1e-4)
