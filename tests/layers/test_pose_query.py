import keras
import numpy as np
import pytest
from keras import ops

from qepose_tf.layers.pose_query import PoseQueryEncoding
from qepose_tf.ops.cells import cell_centres
from tests.backends import to_numpy
from tests.layers.layer_checks import check_layer
from tests.points import sampled


def maps(keypoints, channels=4, batch=2, height=6, width=5):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(batch, height, width, channels))
    offsets = 2 * rng.normal(size=(batch, height, width, keypoints, 2))
    return features.astype("float32"), offsets.astype("float32")


@pytest.mark.parametrize("keypoints", [1, 5, 133])
def test_is_a_layer(keypoints, tmp_path):
    layer = PoseQueryEncoding(8, 0.8, name="scorer")
    check_layer(layer, maps(keypoints), tmp_path, unknown_axes=(1, 2))


@pytest.mark.parametrize("keypoints", [1, 5, 17])
def test_equals_sample_concatenate_convolve(keypoints):
    """The literal Equation 7, then the 1x1 convolutions."""
    features, offsets = maps(keypoints)
    layer = PoseQueryEncoding(8)
    layer(features, offsets)
    rng = np.random.default_rng(1)
    layer.set_weights(
        [rng.uniform(0.1, 1, w.shape).astype("float32") for w in layer.get_weights()]
    )
    cells = to_numpy(cell_centres(6, 5)).astype("float32")
    queries = cells[None, :, None] + offsets.reshape(2, 30, keypoints, 2)
    read = to_numpy(sampled(features, queries))  # [B, HW, K, C]
    encoded = read.reshape(2, 30, keypoints * 4) @ to_numpy(layer.kernel.value)
    gamma, beta, mean, variance = to_numpy([w.value for w in layer.norm.weights])
    encoded = (encoded - mean) / np.sqrt(variance + 1e-5) * gamma + beta
    np.testing.assert_allclose(
        to_numpy(layer(features, offsets)),
        np.maximum(encoded, 0).reshape(2, 6, 5, 8),
        rtol=1e-4,
        atol=1e-4,
    )


def test_several_points_of_a_keypoint_are_added_up():
    """Row SP of Table 6: as the sum of the layers' inputs at each of the points."""
    features, _ = maps(3)
    rng = np.random.default_rng(2)
    offsets = 2 * rng.normal(size=(2, 6, 5, 3, 4, 2)).astype("float32")
    layer = PoseQueryEncoding(8)
    layer(features, offsets)
    cells = to_numpy(cell_centres(6, 5)).astype("float32")
    points = cells[None, :, None, None] + offsets.reshape(2, 30, 3, 4, 2)
    read = to_numpy(sampled(features, points)).sum(axis=3)
    encoded = read.reshape(2, 30, 12) @ to_numpy(layer.kernel.value)
    expected = np.maximum(encoded / np.sqrt(1 + 1e-5), 0).reshape(2, 6, 5, 8)
    found = to_numpy(layer(features, offsets))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_a_cell_reads_the_features_at_its_queries():
    """One lit cell is seen by the cell whose displacement points at it, alone."""
    features = np.zeros((1, 6, 5, 1), "float32")
    features[0, 4, 3] = 1.0
    offsets = np.zeros((1, 6, 5, 2, 2), "float32")
    offsets[0, 1, 0, 1] = [3, 3]  # from (0, 1) to (3, 4), second keypoint
    layer = PoseQueryEncoding(1)
    layer(features, offsets)
    layer.kernel.assign([[10.0], [100.0]])
    scores = to_numpy(layer(features, offsets))[0, :, :, 0]
    unit = 1 / np.sqrt(1 + 1e-5)
    assert scores[1, 0] == pytest.approx(100 * unit, rel=1e-5)
    assert scores[4, 3] == pytest.approx(110 * unit, rel=1e-5)
    assert np.count_nonzero(scores) == 2


def test_displacements_stay_float32_under_mixed_precision():
    """bfloat16 would round 130.3 to 130 and read the wrong cell's share."""
    ramp = np.zeros((1, 1, 256, 1), "float32")
    ramp[0, 0, 130], ramp[0, 0, 131] = 0.0, 1.0
    offsets = np.zeros((1, 1, 256, 1, 2), "float32")
    offsets[0, 0, 0, 0] = [130.5, 0.0]
    layer = PoseQueryEncoding(1, dtype="mixed_bfloat16")
    inputs = ops.cast(ramp, "bfloat16"), ops.convert_to_tensor(offsets)
    layer(*inputs)
    layer.kernel.assign([[1.0]])
    encoded = layer(*inputs)
    assert keras.backend.standardize_dtype(encoded.dtype) == "bfloat16"
    # Half of the ramp; bfloat16 rounds 130.5 to 130, where nothing is.
    found = to_numpy(ops.cast(encoded, "float32"))[0, 0, 0, 0]
    assert found == pytest.approx(0.5, rel=0.01)
    assert {weight.dtype for weight in layer.weights} == {"float32"}
