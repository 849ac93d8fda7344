import numpy as np
import pytest

from qepose_tf.layers.upsample import Upsample
from tests.backends import BACKEND, to_numpy
from tests.layers.layer_checks import check_layer


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_is_a_layer(interpolation, tmp_path):
    maps = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype("float32")
    layer = Upsample(2, interpolation, name="up")
    check_layer(layer, [maps], tmp_path, unknown_axes=(1, 2))


def test_nearest_repeats_and_bilinear_blends():
    maps = np.float32([0, 4]).reshape(1, 1, 2, 1)
    assert to_numpy(Upsample(2)(maps))[0, 0, :, 0].tolist() == [0, 0, 4, 4]
    bilinear = to_numpy(Upsample(2, "bilinear")(maps))
    assert bilinear[0, 1, :, 0].tolist() == [0, 1, 3, 4]


def test_xla_is_left_alone_where_it_has_no_gradient_of_the_resize():
    assert Upsample(2).supports_jit == (BACKEND != "tensorflow")
