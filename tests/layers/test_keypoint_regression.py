import numpy as np
import pytest

from qepose_tf.layers.keypoint_regression import KeypointRegression
from tests.backends import everywhere


@pytest.mark.parametrize("keypoints", [1, 17])
def test_a_keypoint_stands_where_the_first_hop_ends(keypoints):
    rng = np.random.default_rng(0)
    features = np.zeros((2, 4, 5, keypoints, 3), "float32")
    offsets = rng.normal(size=(2, 4, 5, keypoints, 2)).astype("float32")
    cells = np.int32([[[4, 3], [0, 1]], [[2, 2], [4, 0]]])
    layer = KeypointRegression()
    poses = everywhere(layer, features, offsets, cells)
    for image, row in np.ndindex(2, 2):
        x, y = cells[image, row]
        np.testing.assert_array_equal(
            poses[image, row], offsets[image, y, x] + np.float32([x, y])
        )
    everything = everywhere(layer, features, offsets)
    assert everything.shape == (2, 20, keypoints, 2)
    np.testing.assert_array_equal(everything[:, 3 * 5 + 4][0], poses[0, 0])
    assert layer.weights == []
    assert KeypointRegression.from_config(layer.get_config()).name == layer.name
