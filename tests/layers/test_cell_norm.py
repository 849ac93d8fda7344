import keras
import numpy as np
import pytest
from keras import ops

from qepose_tf.layers.cell_norm import EPSILON, CellNorm, MapNorm
from tests.backends import (
    assert_same,
    needs_tensorflow,
    to_numpy,
    value_and_gradients,
)
from tests.layers.layer_checks import check_layer

MOMENTUM = 0.9


def random_values(*shape, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(3.0, 2.0, size=shape).astype("float32")


def with_random_weights(*norms, channels, seed=5):
    """Gives all norms the same scale, shift and moving statistics."""
    rng = np.random.default_rng(seed)
    weights = list(rng.uniform(0.5, 2.0, (4, channels)).astype("float32"))
    for norm in norms:
        norm.set_weights(weights)
    return norms


def norm_and_keras(norm, shape):
    theirs = keras.layers.BatchNormalization(momentum=MOMENTUM, epsilon=EPSILON)
    for layer in (norm, theirs):
        layer.build(shape)
    return with_random_weights(norm, theirs, channels=shape[-1])


def trained(norm, values, **arguments):
    """Outputs, the gradients by scale, shift and values, and the weights then.

    The layer itself is left as it was.
    """
    before = norm.get_weights()
    variable = keras.Variable(values)
    upstream = random_values(*values.shape, seed=7)

    def loss():
        inputs = ops.convert_to_tensor(variable)
        return ops.sum(norm(inputs, training=True, **arguments) * upstream)

    _, gradients = value_and_gradients(loss, [norm.gamma, norm.beta, variable])
    norm.set_weights(before)
    outputs = to_numpy(norm(values, training=True, **arguments))
    after = norm.get_weights()
    norm.set_weights(before)
    return outputs, gradients, after


SYNCHRONIZED = [False, pytest.param(True, marks=needs_tensorflow)]


@pytest.mark.parametrize("synchronized", SYNCHRONIZED)
def test_cell_norm_is_a_layer(synchronized, tmp_path):
    layer = CellNorm(0.8, synchronized, name="norm")
    check_layer(layer, [random_values(2, 6, 5)], tmp_path, unknown_axes=(1,))


@pytest.mark.parametrize("synchronized", SYNCHRONIZED)
def test_map_norm_is_a_layer(synchronized, tmp_path):
    layer = MapNorm(
        momentum=0.8, epsilon=EPSILON, synchronized=synchronized, name="norm"
    )
    maps = random_values(2, 3, 4, 5)
    check_layer(layer, [maps], tmp_path, unknown_axes=(1, 2))


@pytest.mark.parametrize(
    "norm, shape",
    [
        (CellNorm(MOMENTUM), (2, 50, 5)),
        (MapNorm(momentum=MOMENTUM, epsilon=EPSILON), (2, 6, 7, 5)),
    ],
    ids=["cells", "map"],
)
def test_equals_keras_batch_normalization(norm, shape):
    ours, theirs = norm_and_keras(norm, shape)
    values = random_values(*shape)
    assert_same(to_numpy(ours(values)), to_numpy(theirs(values)), 1e-5)
    outputs, gradients, after = trained(ours, values)
    expected_outputs, expected_gradients, expected_after = trained(theirs, values)
    assert_same(outputs, expected_outputs, 1e-5)
    assert_same(after, expected_after, 1e-5)
    assert_same(gradients, expected_gradients, 1e-4)
    assert np.abs(after[2] - ours.get_weights()[2]).min() > 0.01


def test_a_frozen_map_norm_uses_and_keeps_the_moving_statistics():
    norm, theirs = norm_and_keras(
        MapNorm(momentum=MOMENTUM, epsilon=EPSILON), (2, 6, 7, 5)
    )
    norm.trainable = theirs.trainable = False
    values, before = random_values(2, 6, 7, 5), norm.get_weights()
    outputs = to_numpy(norm(values, training=True))
    assert_same(outputs, to_numpy(theirs(values, training=False)), 1e-5)
    assert_same(norm.get_weights(), before, 0)


def counted_rows():
    counted = np.zeros((2, 50), "float32")
    counted[0, :20] = counted[1, 35:] = 1
    return counted


def test_only_counted_cells_make_the_statistics():
    ours, theirs = norm_and_keras(CellNorm(MOMENTUM), (2, 50, 5))
    values, counted = random_values(2, 50, 5), counted_rows()
    rows = values[counted > 0][None]
    outputs, _, after = trained(ours, values, counted=counted)
    expected_outputs, _, expected_after = trained(theirs, rows)
    assert_same(outputs[counted > 0], expected_outputs[0], 1e-5)
    assert_same(after, expected_after, 1e-5)


def test_cells_that_do_not_count_change_nothing():
    norm = with_random_weights(built_cell_norm(), channels=5)[0]
    values, counted = random_values(2, 50, 5), counted_rows()
    others = values.copy()
    others[counted == 0] = 1e4
    outputs, _, after = trained(norm, values, counted=counted)
    other_outputs, _, other_after = trained(norm, others, counted=counted)
    assert_same(outputs[counted > 0], other_outputs[counted > 0], 0)
    assert_same(after, other_after, 0)


def built_cell_norm():
    norm = CellNorm(MOMENTUM)
    norm.build((2, 50, 5))
    return norm


def test_a_batch_without_counted_cells_leaves_the_moving_statistics():
    norm = with_random_weights(built_cell_norm(), channels=5)[0]
    values = random_values(2, 50, 5)
    nothing = np.zeros((2, 50), "float32")
    outputs, gradients, after = trained(norm, values, counted=nothing)
    assert_same(after, norm.get_weights(), 1e-6)
    assert_same(outputs, to_numpy(norm(values, training=False)), 1e-5)
    assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_no_cells_at_all():
    norm = with_random_weights(built_cell_norm(), channels=5)[0]
    before = norm.get_weights()
    outputs = norm(np.zeros((2, 0, 5), "float32"), training=True)
    assert tuple(outputs.shape) == (2, 0, 5)
    assert_same(norm.get_weights(), before, 1e-6)


@pytest.mark.parametrize(
    "norm, shape",
    [
        (CellNorm(dtype="mixed_bfloat16"), (2, 50, 5)),
        (MapNorm(momentum=0.9, dtype="mixed_bfloat16"), (2, 6, 7, 5)),
    ],
    ids=["cells", "map"],
)
def test_statistics_are_float32_under_mixed_precision(norm, shape):
    outputs = norm(ops.convert_to_tensor(random_values(*shape)), training=True)
    assert keras.backend.standardize_dtype(outputs.dtype) == "bfloat16"
    assert {weight.dtype for weight in norm.weights} == {"float32"}
