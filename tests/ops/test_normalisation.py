import numpy as np
import pytest

from qepose_tf.ops.normalisation import fused_batch_norm, fused_normalise
from tests.backends import BACKEND, needs_tensorflow


@needs_tensorflow
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 1, 1, 5)])
def test_equals_the_moments_of_the_map(shape):
    rng = np.random.default_rng(0)
    maps = rng.normal(3.0, 2.0, shape).astype("float32")
    gamma, beta = rng.normal(size=(2, 5)).astype("float32")
    outputs, mean, variance = fused_batch_norm(maps, gamma, beta, 1e-5)
    rows = maps.reshape(-1, 5).astype("float64")
    np.testing.assert_allclose(mean, rows.mean(0), rtol=1e-5)
    np.testing.assert_allclose(variance, rows.var(0), rtol=1e-5, atol=1e-6)
    expected = (maps - rows.mean(0)) / np.sqrt(rows.var(0) + 1e-5) * gamma + beta
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)


@needs_tensorflow
def test_given_statistics_are_taken():
    rng = np.random.default_rng(0)
    maps = rng.normal(3.0, 2.0, (2, 5, 6, 4)).astype("float32")
    gamma, beta, mean = rng.normal(size=(3, 4)).astype("float32")
    variance = rng.uniform(0.5, 2.0, 4).astype("float32")
    outputs = fused_normalise(maps, gamma, beta, mean, variance, 1e-5)
    expected = (maps - mean) / np.sqrt(variance + 1e-5) * gamma + beta
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(BACKEND == "tensorflow", reason="TensorFlow has the kernel")
def test_other_backends_have_no_such_kernel():
    ones = np.ones(5, "float32")
    maps = np.ones((2, 3, 4, 5), "float32")
    assert fused_batch_norm(maps, ones, ones, 1e-5) is None
    assert fused_normalise(maps, ones, ones, ones, ones, 1e-5) is None
