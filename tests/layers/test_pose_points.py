import numpy as np
import pytest
from keras import ops

from qepose_tf.layers.keypoint_query import KeypointQueryEncoding
from qepose_tf.layers.keypoint_regression import KeypointRegression
from qepose_tf.layers.pose_points import (
    AutomaticOffsets,
    KeypointOffsets,
    SemanticPointOffsets,
)
from qepose_tf.ops.sampling import take_cells
from tests.backends import to_numpy
from tests.layers.layer_checks import check_config


def maps(keypoints=3, channels=4):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2, 4, 5, keypoints, channels)).astype("float32")
    return features, rng.normal(size=(2, 4, 5, keypoints, 2)).astype("float32")


def encoding_with_weights(points=4):
    encoding = KeypointQueryEncoding(points)
    features, offsets = maps()
    encoding(features, offsets)
    rng = np.random.default_rng(1)
    encoding.set_weights(
        [rng.uniform(0.1, 1, w.shape).astype("float32") for w in encoding.get_weights()]
    )
    return encoding


def test_keypoints_are_those_of_the_encoding():
    """From every cell to the pose regressed from it, with the moving statistics."""
    features, offsets = maps()
    encoding = encoding_with_weights()
    found = to_numpy(KeypointOffsets(encoding)(features, offsets))
    cells = np.int32([[[4, 3], [0, 1]], [[2, 2], [4, 0]]])
    poses = to_numpy(encoding(features, offsets, cells, training=False))
    expected = poses - cells[:, :, None]
    np.testing.assert_allclose(to_numpy(take_cells(found, cells)), expected, atol=1e-5)


def test_keypoints_of_one_hop_are_the_hop():
    features, offsets = maps()
    found = to_numpy(KeypointOffsets(KeypointRegression())(features, offsets))
    np.testing.assert_allclose(found, offsets, atol=1e-6)


def test_semantic_points_stand_around_the_queries():
    """Untrained, they stand one cell from the query, as the encoding makes them."""
    features, offsets = maps()
    layer = SemanticPointOffsets(KeypointQueryEncoding(4))
    found = to_numpy(layer(np.zeros_like(features), offsets))
    circle = np.float32([[1, 0], [0, 1], [-1, 0], [0, -1]])
    np.testing.assert_allclose(found, offsets[..., None, :] + circle, atol=1e-6)


@pytest.mark.parametrize("kind", [KeypointOffsets, SemanticPointOffsets])
def test_are_layers(kind):
    features, offsets = maps()
    layer = kind(encoding_with_weights(), name="points")
    check_config(layer, (features, offsets), to_numpy(layer(features, offsets)))


def test_automatic_points_are_a_1x1_convolution():
    rng = np.random.default_rng(2)
    features = rng.normal(size=(2, 4, 5, 6)).astype("float32")
    layer = AutomaticOffsets(3)
    found = to_numpy(layer(ops.convert_to_tensor(features)))
    kernel, bias = to_numpy([w.value for w in layer.offset.weights])
    expected = (features @ kernel + bias).reshape(2, 4, 5, 3, 2)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    check_config(layer, (features,), found)
