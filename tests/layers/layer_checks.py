"""What every layer must pass, whatever it computes."""

import json

import keras
import numpy as np
from keras import ops

from tests.backends import (
    assert_same,
    compiled,
    to_numpy,
    value_and_gradients,
)


def tensors(inputs):
    return [ops.convert_to_tensor(array) for array in inputs]


def check_layer(layer, inputs, tmp_path, *, unknown_axes=()):
    """Serialisation, eager = graph = functional, and a gradient for every weight.

    Args:
        layer: a layer that was not called yet.
        inputs: its positional arguments as arrays, batch first.
        tmp_path: folder for a saved model.
        unknown_axes: axes whose length a functional model need not know.
    """
    expected = to_numpy(layer(*tensors(inputs), training=False))
    check_config(layer, inputs, expected)
    graph = compiled(lambda *arguments: layer(*arguments, training=False))
    assert_same(to_numpy(graph(*tensors(inputs))), expected, 1e-5)
    check_functional(layer, inputs, expected, unknown_axes)
    check_saved(layer, inputs, tmp_path)
    check_gradients(layer, inputs)


def check_config(layer, inputs, expected):
    config = json.loads(json.dumps(layer.get_config()))
    clone = type(layer).from_config(json.loads(json.dumps(config)))
    assert clone.get_config() == config
    clone(*tensors(inputs), training=False)
    clone.set_weights(layer.get_weights())
    assert_same(to_numpy(clone(*tensors(inputs), training=False)), expected, 0)


def functional(layer, inputs, unknown_axes=()):
    symbols = []
    for array in inputs:
        shape = list(array.shape[1:])
        for axis in unknown_axes:
            if axis < array.ndim:
                shape[axis - 1] = None
        symbols.append(keras.Input(shape, dtype=str(array.dtype)))
    return keras.Model(symbols, layer(*symbols))


def check_functional(layer, inputs, expected, unknown_axes):
    for axes in {(), tuple(unknown_axes)}:
        model = functional(layer, inputs, axes)
        results = to_numpy(model(tensors(inputs), training=False))
        assert_same(results, expected, 1e-5)
        pairs = zip(
            keras.tree.flatten(model.output), keras.tree.flatten(results), strict=True
        )
        for promised, result in pairs:
            assert promised.dtype == result.dtype
            for side, length in zip(promised.shape, result.shape, strict=True):
                assert side in (None, length)
                assert axes or side == length or side is None


def check_saved(layer, inputs, tmp_path):
    model = functional(layer, inputs)
    model.save(tmp_path / "layer.keras")
    loaded = keras.saving.load_model(tmp_path / "layer.keras")
    results = to_numpy(loaded(tensors(inputs), training=False))
    assert_same(results, to_numpy(model(tensors(inputs), training=False)), 0)


def check_gradients(layer, inputs):
    rng = np.random.default_rng(0)

    def loss():
        outputs = layer(*tensors(inputs), training=True)
        floats = [
            output
            for output in keras.tree.flatten(outputs)
            if keras.backend.is_float_dtype(output.dtype)
        ]
        return sum(
            ops.sum(output * rng.normal(size=output.shape).astype("float32"))
            for output in floats
        )

    if not layer.trainable_variables:
        return
    _, gradients = value_and_gradients(loss, layer.trainable_variables)
    for weight, gradient in zip(layer.trainable_variables, gradients, strict=True):
        assert np.isfinite(gradient).all(), weight.path
        assert np.abs(gradient).max() > 0, weight.path
