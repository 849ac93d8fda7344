import keras
import numpy as np
import pytest
from keras import ops

from qepose_tf.ops.upsampling import upsample
from tests.backends import everywhere, needs_tensorflow, to_numpy


def test_nearest_repeats_every_cell():
    maps = np.arange(12, dtype="float32").reshape(2, 2, 3, 1)
    enlarged = everywhere(lambda x: upsample(x, 2, "nearest"), maps)
    np.testing.assert_array_equal(enlarged, maps.repeat(2, axis=1).repeat(2, axis=2))


def test_bilinear_puts_new_cells_between_the_old():
    maps = np.float32([0, 4]).reshape(1, 1, 2, 1)
    enlarged = everywhere(lambda x: upsample(x, 2, "bilinear"), maps)
    # Cell centres at (x + 0.5) / 2 - 0.5 = -0.25, 0.25, 0.75, 1.25.
    for row in enlarged[0, :, :, 0]:
        np.testing.assert_allclose(row, [0, 1, 3, 4])


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("factor", [2, 4, 8])
def test_shapes_and_constants(interpolation, factor):
    maps = np.full((2, 3, 2, 5), 7.0, "float32")
    enlarged = to_numpy(upsample(maps, factor, interpolation))
    assert enlarged.shape == (2, 3 * factor, 2 * factor, 5)
    np.testing.assert_allclose(enlarged, 7.0)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_the_type_is_kept(interpolation):
    maps = ops.ones((1, 2, 2, 1), "bfloat16")
    enlarged = upsample(maps, 2, interpolation)
    assert keras.backend.standardize_dtype(enlarged.dtype) == "bfloat16"


@needs_tensorflow
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_sides_may_be_unknown(interpolation):
    import tensorflow as tf

    signature = [tf.TensorSpec([None, None, None, 2], tf.float32)]
    graph = tf.function(
        lambda x: upsample(x, 2, interpolation), input_signature=signature
    )
    for height, width in ((2, 3), (4, 1)):
        maps = np.random.default_rng(0).normal(size=(1, height, width, 2))
        maps = maps.astype("float32")
        expected = to_numpy(upsample(maps, 2, interpolation))
        np.testing.assert_array_equal(graph(maps).numpy(), expected)
