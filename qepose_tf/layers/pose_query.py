"""Pose Query Encoding: what a cell's score is read from, found at its pose."""

import keras
from keras import ops

from qepose_tf.layers.cell_norm import batch_norm
from qepose_tf.ops.cells import cell_centres
from qepose_tf.ops.sampling import sample_and_sum_keypoints


@keras.saving.register_keras_serializable("qepose_tf")
class PoseQueryEncoding(keras.layers.Layer):
    """Encodes every cell by the instance features at its K queries (Eq. 7).

    "Sample K vectors, concatenate, convolve 1x1" equals "convolve with each
    keypoint's part of the kernel, sample, add up", since sampling is linear. The
    second form moves `units` instead of the instance feature's channels.

    A keypoint may have several points; their vectors are added up before the
    convolution (row SP of Table 6).

    Args:
        units: channels of the encoded instance feature `R'_I`.
        momentum: of batch normalisation.
        synchronized: whether batch statistics are shared by all replicas.
        **kwargs: of `keras.layers.Layer`.

    Call with the instance feature `[B, H, W, C]` and `query_offsets`
    `[B, H, W, K, 2]` or `[B, H, W, K, N, 2]` float32, from cell to points, in cells;
    returns `[B, H, W, units]`, normalised and rectified.
    """

    def __init__(
        self,
        units: int,
        momentum: float = 0.9,
        synchronized: bool = False,
        **kwargs,
    ):
        # Autocast would round the displacements to the features' type.
        super().__init__(autocast=False, **kwargs)
        self.units = units
        self.momentum = momentum
        self.synchronized = synchronized
        self.norm = batch_norm("norm", momentum, synchronized, self.dtype_policy)

    def build(self, instance_features_shape, query_offsets_shape):
        """Makes the kernel `[K * C, units]` of the 1x1 convolution."""
        channels, keypoints = instance_features_shape[-1], query_offsets_shape[3]
        self.kernel = self.add_weight(
            shape=(keypoints * channels, self.units),
            initializer="he_normal",
            name="kernel",
        )
        self.norm.build((*instance_features_shape[:-1], self.units))

    def call(self, instance_features, query_offsets, training=None):
        """The encoded feature `[B, H, W, units]`."""
        batch, height, width, channels = ops.shape(instance_features)
        keypoints, *points = query_offsets.shape[3:-1]
        instance_features = ops.cast(instance_features, self.compute_dtype)
        kernel = ops.cast(self.kernel, self.compute_dtype)
        kernel = ops.reshape(kernel, [keypoints, channels, self.units])
        kernel = ops.reshape(ops.transpose(kernel, [1, 0, 2]), [channels, -1])
        projected = ops.matmul(instance_features, kernel)
        projected = ops.reshape(
            projected, [batch, height, width, keypoints, self.units]
        )
        cells = ops.cast(cell_centres(height, width), "float32")
        shape = [batch, height * width, keypoints, *points, 2]
        cells = ops.reshape(cells, [1, height * width, *[1] * len(shape[2:-1]), 2])
        queries = cells + ops.reshape(query_offsets, shape)
        encoded = sample_and_sum_keypoints(projected, queries, bool(training))
        encoded = ops.reshape(encoded, [batch, height, width, self.units])
        return ops.relu(self.norm(encoded, training=training))

    def compute_output_spec(self, instance_features, query_offsets, training=None):
        """As many cells, `units` channels."""
        shape = (*instance_features.shape[:-1], self.units)
        return keras.KerasTensor(shape, self.compute_dtype)

    def get_config(self):
        """All arguments."""
        return {
            **super().get_config(),
            "units": self.units,
            "momentum": self.momentum,
            "synchronized": self.synchronized,
        }
