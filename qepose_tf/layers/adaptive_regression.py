"""The displacements of DEKR's branches, at every cell or at chosen cells alone."""

import keras
from keras import ops

from qepose_tf.layers.adaptive_convolution import (
    AdaptiveConvolution,
    map_source,
    ringed,
    ringed_numbers,
)
from qepose_tf.layers.per_keypoint import PerKeypointDense


@keras.saving.register_keras_serializable("qepose_tf")
class AdaptiveRegression(keras.layers.Layer):
    """Regresses poses with one branch of adaptive convolutions for each keypoint.

    Poses of chosen cells need the last block at these cells only, and each block
    before where the next one samples. The numbers are those of the whole map.

    Args:
        num_keypoints: K.
        blocks: The number of `AdaptiveConvolution`s of a branch.
        momentum: The momentum of batch normalisation.
        synchronized: Whether replicas share batch statistics.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call the layer with features `[B, H, W, K * C]` and cells `[B, P, 2]` int32 (x, y);
    it returns poses `[B, P, K, 2]` float32 (x, y) in cells. `displacements` computes
    every cell.

    Example:
        >>> layer = AdaptiveRegression(num_keypoints=17)
        >>> features = np.zeros((1, 8, 6, 17 * 15), "float32")
        >>> layer(features, np.zeros((1, 30, 2), "int32")).shape
        TensorShape([1, 30, 17, 2])
    """

    def __init__(
        self,
        num_keypoints: int,
        blocks: int = 2,
        momentum: float = 0.9,
        synchronized: bool = False,
        **kwargs,
    ):
        # Autocast would round the displacements to the features' type.
        super().__init__(autocast=False, **kwargs)
        self.num_keypoints = num_keypoints
        self.blocks = blocks
        self.momentum = momentum
        self.synchronized = synchronized
        self.convolutions = [
            AdaptiveConvolution(
                momentum, synchronized, dtype=self.dtype_policy, name=f"block_{i}"
            )
            for i in range(blocks)
        ]
        self.offset = PerKeypointDense(
            2,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.001),
            dtype="float32",
            name="offset",
        )

    def build(self, features_shape, cells_shape=None):
        """Builds the sub-layers."""
        *_, channels = features_shape
        if channels % self.num_keypoints:
            raise ValueError(
                f"expected features of a multiple of {self.num_keypoints} channels, "
                f"got {channels}"
            )
        shape = (None, None, None, self.num_keypoints, channels // self.num_keypoints)
        for convolution in self.convolutions:
            convolution.build(shape)
        self.offset.build(shape)

    def call(self, features, cells):
        """Poses `[B, P, K, 2]` in cells, with the moving statistics."""
        ring = ringed(self._by_keypoint(features))
        height, width = ops.shape(ring)[1:3]
        source = map_source(ring)
        for convolution in self.convolutions:
            source = convolution.source(source, height, width)
        cells = ops.cast(cells, "int32")
        numbers = ringed_numbers(cells, width - 2)[:, :, None, None]  # [B, P, 1, 1]
        keypoints = ops.ones([self.num_keypoints, 1], "int32")
        values = ops.squeeze(source(numbers * keypoints), 3)  # [B, P, K, C]
        return ops.expand_dims(ops.cast(cells, "float32"), 2) + self._offsets(values)

    def displacements(self, features, training=None):
        """Computes the displacements of every cell.

        Args:
            features: `[B, H, W, K * C]`.
            training: Whether batch statistics are used and the moving ones updated.

        Returns:
            `[B, H, W, K, 2]` float32 (x, y) in cells, from a cell to its keypoints.
        """
        values = self._by_keypoint(features)
        for convolution in self.convolutions:
            values = convolution(values, training=training)
        return self._offsets(values)

    def _by_keypoint(self, features):
        features = ops.cast(features, self.compute_dtype)
        channels = features.shape[-1] // self.num_keypoints
        shape = [*ops.shape(features)[:3], self.num_keypoints, channels]
        return ops.reshape(features, shape)

    def _offsets(self, values):
        return self.offset(ops.cast(values, "float32"))

    def compute_output_spec(self, features, cells):
        """Poses are float32 whatever the features are."""
        shape = (features.shape[0], cells.shape[1], self.num_keypoints, 2)
        return keras.KerasTensor(shape, "float32")

    def get_config(self):
        """All arguments."""
        return {
            **super().get_config(),
            "num_keypoints": self.num_keypoints,
            "blocks": self.blocks,
            "momentum": self.momentum,
            "synchronized": self.synchronized,
        }
