import numpy as np
import pytest

from qepose_tf.layers.normalise import Normalise
from tests.backends import to_numpy
from tests.layers.layer_checks import check_layer

MEAN, STD = (100.0, 110.0, 120.0), (50.0, 60.0, 70.0)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_is_a_layer(dtype, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 3)).astype("float32")
    layer = Normalise(MEAN, STD, dtype=dtype, name="normalise")
    check_layer(layer, [images], tmp_path, unknown_axes=(1, 2))


@pytest.mark.parametrize("kind", ["uint8", "int32", "float32"])
def test_pixels_of_every_type_by_hand(kind):
    pixels = np.array([[[[100, 110, 120], [150, 170, 190], [0, 0, 0]]]], kind)
    found = to_numpy(Normalise(MEAN, STD)(pixels))
    assert found.dtype == np.float32
    expected = [[0, 0, 0], [1, 1, 1], [-2, -110 / 60, -120 / 70]]
    np.testing.assert_allclose(found[0, 0], expected, rtol=1e-6)
