"""The same function on whichever Keras backend the tests run."""

import keras
import numpy as np
import pytest
from keras import ops

BACKEND = keras.backend.backend()

needs_tensorflow = pytest.mark.skipif(
    BACKEND != "tensorflow", reason="needs the TensorFlow backend"
)


def to_numpy(results):
    """Any structure of tensors as a structure of arrays."""
    return keras.tree.map_structure(ops.convert_to_numpy, results)


def assert_same(results, expected, tolerance=1e-6):
    """Equal shapes and types; numbers within the tolerance."""
    results, expected = keras.tree.flatten(results), keras.tree.flatten(expected)
    for result, number in zip(results, expected, strict=True):
        assert result.dtype == number.dtype
        assert result.shape == number.shape
        np.testing.assert_allclose(
            result.astype("float64"),
            number.astype("float64"),
            rtol=tolerance,
            atol=tolerance,
        )


def compiled(function):
    """The function as a graph of the backend."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        return tf.function(function)
    import jax

    return jax.jit(function)


def everywhere(function, *arrays):
    """Results of a function of arrays, the same eagerly, as a graph and in tf.data."""
    tensors = [ops.convert_to_tensor(array) for array in arrays]
    results = to_numpy(function(*tensors))
    assert_same(to_numpy(compiled(function)(*tensors)), results)
    if BACKEND == "tensorflow":
        import tensorflow as tf

        data = tf.data.Dataset.from_tensors(tuple(arrays)).map(function)
        assert_same(to_numpy(next(iter(data))), results)
    return results


def value_and_gradients(function, variables):
    """A scalar function of Keras variables, and its gradient by each of them."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            value = function()
        gradients = tape.gradient(value, [variable.value for variable in variables])
        gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
        return to_numpy(value), to_numpy(gradients)
    import jax

    def with_values(values):
        mapping = list(zip(variables, values, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            return function()

    values = [variable.value for variable in variables]
    return to_numpy(jax.value_and_grad(with_values)(values))
