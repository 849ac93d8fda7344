import keras
import numpy as np
import pytest

from qepose_tf.layers.per_keypoint import PerKeypointDense
from tests.backends import to_numpy
from tests.layers.layer_checks import check_layer


def random_inputs(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


@pytest.mark.parametrize("use_bias", [True, False])
def test_is_a_layer(use_bias, tmp_path):
    layer = PerKeypointDense(3, use_bias, bias_initializer="ones", name="dense")
    check_layer(layer, [random_inputs(2, 4, 5, 17, 6)], tmp_path, unknown_axes=(1, 2))


@pytest.mark.parametrize("keypoints", [1, 5, 133])
@pytest.mark.parametrize("leading", [(2, 3, 4), (2, 7), (2, 0)])
def test_each_keypoint_has_its_own_product(keypoints, leading):
    layer = PerKeypointDense(3, bias_initializer="random_normal")
    inputs = random_inputs(*leading, keypoints, 6)
    outputs = to_numpy(layer(inputs))
    kernel, bias = layer.get_weights()
    assert outputs.shape == (*leading, keypoints, 3)
    for k in range(keypoints):
        expected = inputs[..., k, :] @ kernel[k] + bias[k]
        np.testing.assert_allclose(outputs[..., k, :], expected, atol=1e-5)


def test_he_counts_the_inputs_of_one_keypoint():
    layer = PerKeypointDense(50, kernel_initializer=keras.initializers.HeNormal(seed=0))
    layer.build((None, 17, 20))
    # 17,000 draws: the deviation is known to 1/sqrt(2 * 17000) = 0.5 %.
    assert np.std(layer.kernel) == pytest.approx(np.sqrt(2 / 20), rel=0.02)
