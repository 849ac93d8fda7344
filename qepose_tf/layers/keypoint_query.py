"""Keypoint Query Encoding: where each keypoint is looked for, and what is found."""

import keras
import numpy as np
from keras import ops

from qepose_tf.layers.cell_norm import CellNorm, batch_norm
from qepose_tf.layers.per_keypoint import PerKeypointDense
from qepose_tf.ops.cells import cell_centres
from qepose_tf.ops.sampling import sample_per_keypoint, take_cells


def _offset_layer(name: str) -> PerKeypointDense:
    """A displacement, float32 under every policy, that starts near zero."""
    small = keras.initializers.RandomNormal(stddev=0.01)
    return PerKeypointDense(2, kernel_initializer=small, dtype="float32", name=name)


@keras.saving.register_keras_serializable("qepose_tf")
class KeypointQuery(keras.layers.Layer):
    """Each keypoint's representation `R_k` and the coarse hop to its query.

    Args:
        num_keypoints: K.
        channels: of each keypoint's representation.
        momentum: of batch normalisation.
        synchronized: whether batch statistics are shared by all replicas.
        **kwargs: of `keras.layers.Layer`.

    Call with the general feature `[B, H, W, C]`; returns
    `keypoint_features` `[B, H, W, K, channels]` and
    `query_offsets` `[B, H, W, K, 2]` float32, from cell to query, in cells.
    """

    def __init__(
        self,
        num_keypoints: int,
        channels: int = 20,
        momentum: float = 0.9,
        synchronized: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_keypoints = num_keypoints
        self.channels = channels
        self.momentum = momentum
        self.synchronized = synchronized
        self.representation = keras.layers.Conv2D(
            num_keypoints * channels,
            1,
            use_bias=False,
            kernel_initializer="he_normal",
            dtype=self.dtype_policy,
            name="representation",
        )
        self.norm = batch_norm("norm", momentum, synchronized, self.dtype_policy)
        self.offset = _offset_layer("offset")

    def build(self, input_shape):
        """Builds the sub-layers."""
        flat = (*input_shape[:-1], self.num_keypoints * self.channels)
        self.representation.build(input_shape)
        self.norm.build(flat)
        self.offset.build((*input_shape[:-1], self.num_keypoints, self.channels))

    def call(self, inputs, training=None):
        """The general feature to `(keypoint_features, query_offsets)`."""
        features = ops.relu(self.norm(self.representation(inputs), training=training))
        batch, height, width, _ = ops.shape(features)
        features = ops.reshape(
            features, [batch, height, width, self.num_keypoints, self.channels]
        )
        return features, self.offset(features)

    def compute_output_shape(self, input_shape):
        """Shapes of `(keypoint_features, query_offsets)`."""
        shape = (*input_shape[:-1], self.num_keypoints)
        return (*shape, self.channels), (*shape, 2)

    def compute_output_spec(self, inputs, training=None):
        """Displacements stay float32 where features do not."""
        features, offsets = self.compute_output_shape(inputs.shape)
        return (
            keras.KerasTensor(features, self.compute_dtype),
            keras.KerasTensor(offsets, "float32"),
        )

    def get_config(self):
        """All arguments."""
        return {
            **super().get_config(),
            "num_keypoints": self.num_keypoints,
            "channels": self.channels,
            "momentum": self.momentum,
            "synchronized": self.synchronized,
        }


@keras.saving.register_keras_serializable("qepose_tf")
class KeypointQueryEncoding(keras.layers.Layer):
    """From asked-for cells over queries and semantic points to keypoints (Eq. 4).

    Args:
        semantic_points: N; 0 takes the feature at the query itself.
        momentum: of batch normalisation.
        synchronized: whether batch statistics are shared by all replicas.
        **kwargs: of `keras.layers.Layer`.

    Call with `keypoint_features` `[B, H, W, K, C]`, `query_offsets`
    `[B, H, W, K, 2]` and `cells` `[B, P, 2]` int32 (x, y); where `cells` is None, all
    cells in row-major order. `counted` `[B, P]`, if given, is 1 for the cells that
    count in the batch statistics; `images` `[B, P]` int32, if given, says which image
    each cell lies in (see `Omega`). Returns poses `[B, P, K, 2]` float32 in cells.
    """

    def __init__(
        self,
        semantic_points: int = 9,
        momentum: float = 0.9,
        synchronized: bool = False,
        **kwargs,
    ):
        # Autocast would round the displacements to the features' type.
        super().__init__(autocast=False, **kwargs)
        self.semantic_points = semantic_points
        self.momentum = momentum
        self.synchronized = synchronized
        self.norm = CellNorm(
            momentum, synchronized, dtype=self.dtype_policy, name="norm"
        )
        self.offset = _offset_layer("offset")
        if semantic_points:
            # The points start on a circle of one cell around the query: on one spot
            # their features and their gradients would all be the same.
            self.semantic_offset = PerKeypointDense(
                2 * semantic_points,
                kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
                bias_initializer=_Circle(),
                dtype="float32",
                name="semantic_offset",
            )

    def build(self, keypoint_features_shape, query_offsets_shape):
        """Builds the sub-layers."""
        keypoints, channels = keypoint_features_shape[-2:]
        at_cells = (None, None, keypoints, channels)
        self.aggregate = PerKeypointDense(
            channels, use_bias=False, dtype=self.dtype_policy, name="aggregate"
        )
        self.aggregate.build(at_cells)
        self.norm.build((None, None, keypoints * channels))
        self.offset.build(at_cells)
        if self.semantic_points:
            self.semantic_offset.build(at_cells)

    def call(
        self,
        keypoint_features,
        query_offsets,
        cells=None,
        training=None,
        counted=None,
        images=None,
    ):
        """Poses `[B, P, K, 2]` in cells."""
        batch, height, width, keypoints, channels = ops.shape(keypoint_features)
        if cells is None:
            cells = ops.tile(cell_centres(height, width)[None], [batch, 1, 1])
        here = take_cells(keypoint_features, cells, images)  # [B, P, K, C]
        hop = take_cells(query_offsets, cells, images)
        queries = ops.expand_dims(ops.cast(cells, "float32"), 2) + hop  # [B, P, K, 2]
        points = ops.expand_dims(queries, 3)
        if self.semantic_points:
            points = points + self._around_query(here)  # [B, P, K, N, 2]
        sampled = sample_per_keypoint(keypoint_features, points, bool(training), images)
        features = self.aggregate(sampled)
        rows = ops.shape(features)[:2]
        flat = ops.reshape(features, [*rows, keypoints * channels])
        flat = ops.relu(self.norm(flat, training=training, counted=counted))
        features = ops.reshape(flat, [*rows, keypoints, channels])
        return queries + self.offset(features)

    def _around_query(self, features):
        """From query to semantic points: `[..., K, C]` to `[..., K, N, 2]`."""
        around = self.semantic_offset(features)
        shape = ops.shape(around)[:-1] + (self.semantic_points, 2)
        return ops.reshape(around, shape)

    def semantic_point_offsets(self, keypoint_features, query_offsets):
        """From every cell to its semantic points, `[B, H, W, K, N, 2]` in cells."""
        batch, height, width, keypoints, _ = ops.shape(query_offsets)
        around = self._around_query(keypoint_features)
        # Rows of at most five axes: TFLite slices and adds no more.
        rows = [batch, height * width, keypoints]
        around = ops.reshape(around, [*rows, self.semantic_points, 2])
        around = around + ops.reshape(query_offsets, [*rows, 1, 2])
        return ops.reshape(
            around, [batch, height, width, keypoints, self.semantic_points, 2]
        )

    def compute_output_spec(
        self,
        keypoint_features,
        query_offsets,
        cells=None,
        training=None,
        counted=None,
        images=None,
    ):
        """Poses are float32 whatever the features are."""
        batch, height, width, keypoints, _ = keypoint_features.shape
        every = None if None in (height, width) else height * width
        count = every if cells is None else cells.shape[1]
        return keras.KerasTensor((batch, count, keypoints, 2), "float32")

    def get_config(self):
        """All arguments."""
        return {
            **super().get_config(),
            "semantic_points": self.semantic_points,
            "momentum": self.momentum,
            "synchronized": self.synchronized,
        }


@keras.saving.register_keras_serializable("qepose_tf")
class _Circle(keras.initializers.Initializer):
    """N points (x, y) on a circle of one cell, for each keypoint."""

    def __call__(self, shape, dtype=None):
        keypoints, twice_points = shape
        angle = 2.0 * np.pi * np.arange(twice_points // 2) / (twice_points // 2)
        circle = np.stack([np.cos(angle), np.sin(angle)], axis=-1).reshape(-1)
        return ops.cast(np.tile(circle, [keypoints, 1]), dtype or "float32")
