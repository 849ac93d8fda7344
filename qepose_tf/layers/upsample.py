"""Upsampling by a whole factor, as one resize."""

import keras

from qepose_tf.ops.upsampling import upsample


@keras.saving.register_keras_serializable("qepose_tf")
class Upsample(keras.layers.Layer):
    """Enlarges maps by a whole factor.

    One resize operation in every export, where `keras.layers.UpSampling2D` becomes
    slow tiling operations in TFLite.

    Args:
        factor: how many times larger both sides become.
        interpolation: `nearest` or `bilinear` (half-pixel centres).
        **kwargs: of `keras.layers.Layer`.
    """

    def __init__(self, factor: int, interpolation: str = "nearest", **kwargs):
        super().__init__(**kwargs)
        self.factor = factor
        self.interpolation = interpolation
        # XLA has no gradient of TensorFlow's resize.
        self.supports_jit = keras.backend.backend() != "tensorflow"

    def call(self, inputs):
        """`[B, H, W, C]` to `[B, factor * H, factor * W, C]`."""
        return upsample(inputs, self.factor, self.interpolation)

    def compute_output_shape(self, input_shape):
        """Unknown sides stay unknown."""
        batch, *sides, channels = input_shape
        sides = [None if side is None else side * self.factor for side in sides]
        return (batch, *sides, channels)

    def compute_output_spec(self, inputs):
        """Shape and type without running the resize on unknown sides."""
        shape = self.compute_output_shape(inputs.shape)
        return keras.KerasTensor(shape, self.compute_dtype)

    def get_config(self):
        """All arguments."""
        return {
            **super().get_config(),
            "factor": self.factor,
            "interpolation": self.interpolation,
        }
