"""Pose Query Encoding: the score of a cell, read where its pose is looked for."""

import keras
from keras import ops

from qepose_tf.layers.cell_norm import batch_norm
from qepose_tf.ops.geometry import cell_centres
from qepose_tf.ops.sampling import sample_and_sum_keypoints


@keras.saving.register_keras_serializable("qepose_tf")
class PoseQueryEncoding(keras.layers.Layer):
    """Scores every cell by the instance features at its K queries (Eq. 7).

    "Sample K vectors, concatenate, convolve 1x1" equals "convolve with each
    keypoint's part of the kernel, sample, add up", since sampling is linear. The
    second form moves `units` instead of the instance feature's channels.

    Args:
        units: channels of the encoded instance feature `R'_I`.
        momentum: of batch normalisation.
        synchronized: whether batch statistics are shared by all replicas.
        **kwargs: of `keras.layers.Layer`.

    Call with the instance feature `[B, H, W, C]` and `query_offsets`
    `[B, H, W, K, 2]`; returns the score map `[B, H, W, 1]` float32, linear.
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
        self.score = keras.layers.Dense(
            1,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
            dtype="float32",
            name="score",
        )

    def build(self, instance_features_shape, query_offsets_shape):
        """Makes the kernel `[K * C, units]` of the 1x1 convolution."""
        channels, keypoints = instance_features_shape[-1], query_offsets_shape[-2]
        self.kernel = self.add_weight(
            shape=(keypoints * channels, self.units),
            initializer="he_normal",
            name="kernel",
        )
        self.norm.build((*instance_features_shape[:-1], self.units))
        self.score.build((*instance_features_shape[:-1], self.units))

    def call(self, instance_features, query_offsets, training=None):
        """The score map `[B, H, W, 1]`."""
        batch, height, width, channels = ops.shape(instance_features)
        keypoints = query_offsets.shape[-2]
        instance_features = ops.cast(instance_features, self.compute_dtype)
        kernel = ops.cast(self.kernel, self.compute_dtype)
        kernel = ops.reshape(kernel, [keypoints, channels, self.units])
        kernel = ops.reshape(ops.transpose(kernel, [1, 0, 2]), [channels, -1])
        projected = ops.matmul(instance_features, kernel)
        projected = ops.reshape(
            projected, [batch, height, width, keypoints, self.units]
        )
        cells = ops.cast(cell_centres(height, width), "float32")
        offsets = ops.reshape(query_offsets, [batch, height * width, keypoints, 2])
        queries = cells[None, :, None, :] + offsets
        encoded = sample_and_sum_keypoints(projected, queries)
        encoded = ops.reshape(encoded, [batch, height, width, self.units])
        encoded = ops.relu(self.norm(encoded, training=training))
        return self.score(encoded)

    def compute_output_spec(self, instance_features, query_offsets, training=None):
        """Scores are float32 whatever the features are."""
        return keras.KerasTensor((*instance_features.shape[:-1], 1), "float32")

    def get_config(self):
        """All arguments."""
        return {
            **super().get_config(),
            "units": self.units,
            "momentum": self.momentum,
            "synchronized": self.synchronized,
        }
