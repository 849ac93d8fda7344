"""Batch normalisation, over whole maps and over chosen cells."""

import keras
from keras import ops

from qepose_tf.ops.normalisation import fused_batch_norm, fused_normalise
from qepose_tf.ops.replicas import replica_sum

EPSILON = 1e-5


def batch_norm(name: str, momentum: float, synchronized: bool, dtype=None):
    """Makes a batch normalisation with HRNet's epsilon, as all the model uses."""
    return MapNorm(
        momentum=momentum,
        epsilon=EPSILON,
        synchronized=synchronized,
        dtype=dtype,
        name=name,
    )


@keras.saving.register_keras_serializable("qepose_tf")
class MapNorm(keras.layers.BatchNormalization):
    """Computes Keras' BatchNormalization with fused kernels where they exist.

    The results are the same. Keras' own implementation runs where batch statistics
    are shared between replicas, and on backends other than TensorFlow.
    """

    def call(self, inputs, training=None, mask=None):
        """Normalises `[B, H, W, C]`; Keras normalises inputs that have a mask."""
        if mask is not None:
            return super().call(inputs, training=training, mask=mask)
        if not (training and self.trainable):
            outputs = fused_normalise(
                inputs,
                self.gamma,
                self.beta,
                self.moving_mean,
                self.moving_variance,
                self.epsilon,
            )
            return super().call(inputs) if outputs is None else outputs
        fused = None
        if not self.synchronized:
            fused = fused_batch_norm(inputs, self.gamma, self.beta, self.epsilon)
        if fused is None:
            return super().call(inputs, training=training)
        outputs, mean, variance = fused
        for moving, value in (
            (self.moving_mean, mean),
            (self.moving_variance, variance),
        ):
            moving.assign(moving * self.momentum + value * (1.0 - self.momentum))
        return outputs


@keras.saving.register_keras_serializable("qepose_tf")
class CellNorm(keras.layers.Layer):
    """Batch normalisation of vectors at chosen cells, of which some are padding.

    Keras' own masked path shares no statistics between replicas and lets a batch
    without a single counted cell pull the moving statistics to zero; here such a
    batch is normalised by the moving statistics and leaves them alone.

    Args:
        momentum: The momentum of the moving statistics.
        synchronized: Whether batch statistics are taken over all replicas.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call the layer with `[B, P, C]` and optionally `counted` `[B, P]`, 1 for cells that
    count in the statistics, 0 for the others.
    """

    def __init__(self, momentum: float = 0.9, synchronized: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.momentum = momentum
        self.synchronized = synchronized

    def build(self, input_shape):
        """Creates scale, shift and the moving statistics, `[C]` each."""
        shape = (input_shape[-1],)

        def weight(name, initializer, trainable):
            return self.add_weight(
                name=name,
                shape=shape,
                initializer=initializer,
                trainable=trainable,
                autocast=False,
            )

        self.gamma = weight("gamma", "ones", True)
        self.beta = weight("beta", "zeros", True)
        self.moving_mean = weight("moving_mean", "zeros", False)
        self.moving_variance = weight("moving_variance", "ones", False)

    def call(self, inputs, training=None, counted=None):
        """Normalises `[B, P, C]`."""
        values = ops.cast(inputs, "float32")
        if training and self.trainable:
            mean, variance = self._update(values, counted)
        else:
            mean, variance = self.moving_mean, self.moving_variance
        scale = self.gamma * ops.rsqrt(variance + EPSILON)
        outputs = values * scale + (self.beta - mean * scale)
        return ops.cast(outputs, self.compute_dtype)

    def _update(self, values, counted):
        """Returns the counted cells' moments and updates the moving statistics."""
        if counted is None:
            counted = ops.ones_like(values[..., 0])
        weight = ops.cast(counted, "float32")[..., None]
        count = self._total(ops.sum(weight))
        divisor = ops.maximum(count, 1.0)
        mean = self._total(ops.sum(weight * values, axis=(0, 1))) / divisor
        spread = weight * ops.square(values - mean)
        variance = self._total(ops.sum(spread, axis=(0, 1))) / divisor
        some = count > 0
        mean = ops.where(some, mean, self.moving_mean.value)
        variance = ops.where(some, variance, self.moving_variance.value)
        for moving, value in (
            (self.moving_mean, mean),
            (self.moving_variance, variance),
        ):
            moving.assign(moving * self.momentum + value * (1.0 - self.momentum))
        return mean, variance

    def _total(self, value):
        return replica_sum(value) if self.synchronized else value

    def compute_output_shape(self, input_shape, *_):
        """Returns the shape of the inputs."""
        return input_shape

    def get_config(self):
        """Returns all constructor arguments."""
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "synchronized": self.synchronized,
        }
