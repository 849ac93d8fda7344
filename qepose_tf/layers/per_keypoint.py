"""A 1x1 convolution for each keypoint."""

import keras
from keras import ops


class _PerKeypoint(keras.initializers.Initializer):
    """Draws `[K, C, D]` as `[C, K * D]`, so that the fan-in is that of one keypoint."""

    def __init__(self, initializer):
        self.initializer = initializer

    def __call__(self, shape, dtype=None):
        keypoints, channels, units = shape
        drawn = self.initializer((channels, keypoints * units), dtype=dtype)
        drawn = ops.reshape(drawn, [channels, keypoints, units])
        return ops.transpose(drawn, [1, 0, 2])


@keras.saving.register_keras_serializable("qepose_tf")
class PerKeypointDense(keras.layers.Layer):
    """A 1x1 convolution for each keypoint, all in one product.

    Grouped convolutions do not train on TensorFlow's CPU kernels and export badly.

    Args:
        units: output channels of each keypoint.
        use_bias: whether a bias is added.
        kernel_initializer: of the kernel `[K, C, units]`.
        bias_initializer: of the bias `[K, units]`.
        **kwargs: of `keras.layers.Layer`.

    Call with `[..., K, C]`; returns `[..., K, units]`.
    """

    def __init__(
        self,
        units: int,
        use_bias: bool = True,
        kernel_initializer="he_normal",
        bias_initializer="zeros",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units = units
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)

    def build(self, input_shape):
        """Makes the kernel and the bias."""
        keypoints, channels = input_shape[-2:]
        self.kernel = self.add_weight(
            shape=(keypoints, channels, self.units),
            initializer=_PerKeypoint(self.kernel_initializer),
            name="kernel",
        )
        if self.use_bias:
            self.bias = self.add_weight(
                shape=(keypoints, self.units),
                initializer=self.bias_initializer,
                name="bias",
            )

    def call(self, inputs):
        """`[..., K, C]` to `[..., K, units]`."""
        *leading, keypoints, channels = ops.shape(inputs)
        rows = ops.reshape(inputs, [-1, keypoints, channels])
        # One product per keypoint. The einsum that says the same is ten times
        # slower to train on TensorFlow's CPU kernels.
        outputs = ops.matmul(ops.transpose(rows, [1, 0, 2]), self.kernel)
        outputs = ops.transpose(outputs, [1, 0, 2])
        outputs = ops.reshape(outputs, [*leading, keypoints, self.units])
        return outputs + self.bias if self.use_bias else outputs

    def compute_output_shape(self, input_shape):
        """`[..., K, units]`."""
        return (*input_shape[:-1], self.units)

    def get_config(self):
        """All arguments."""
        return {
            **super().get_config(),
            "units": self.units,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }
