"""Other places than the keypoint queries to read a cell's score at (Table 6)."""

import keras
from keras import ops

from qepose_tf.ops.cells import cell_centres


class _OfEncoding(keras.layers.Layer):
    """Points that the second hop's layer knows.

    Args:
        encoding: the layer from keypoint features, query offsets and cells to poses.
        **kwargs: of `keras.layers.Layer`.

    Call with `keypoint_features` `[B, H, W, K, C]` and `query_offsets`
    `[B, H, W, K, 2]`.
    """

    def __init__(self, encoding, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"}, autocast=False)
        self.encoding = encoding

    def build(self, keypoint_features_shape, query_offsets_shape):
        """Builds the shared encoding."""
        if not self.encoding.built:
            self.encoding.build(keypoint_features_shape, query_offsets_shape)

    def get_config(self):
        """All arguments."""
        encoding = keras.saving.serialize_keras_object(self.encoding)
        return {**super().get_config(), "encoding": encoding}

    @classmethod
    def from_config(cls, config):
        """Rebuilds the encoding first."""
        encoding = keras.saving.deserialize_keras_object(config["encoding"])
        return cls(**{**config, "encoding": encoding})


@keras.saving.register_keras_serializable("qepose_tf")
class KeypointOffsets(_OfEncoding):
    """The regressed keypoints of every cell (row KPS).

    The statistics that it is normalised by stay those of the cells in Omega.

    Returns `[B, H, W, K, 2]` from cell to keypoint, in cells.
    """

    def call(self, keypoint_features, query_offsets):
        """See the class."""
        batch, height, width, keypoints, _ = ops.shape(query_offsets)
        poses = self.encoding(keypoint_features, query_offsets, training=False)
        cells = ops.cast(cell_centres(height, width), "float32")
        return ops.reshape(
            poses - cells[None, :, None, :], [batch, height, width, keypoints, 2]
        )

    def compute_output_spec(self, keypoint_features, query_offsets):
        """As the query offsets."""
        return keras.KerasTensor(query_offsets.shape, "float32")


@keras.saving.register_keras_serializable("qepose_tf")
class SemanticPointOffsets(_OfEncoding):
    """The semantic points of every cell (row SP).

    Returns `[B, H, W, K, N, 2]` from cell to semantic point, in cells.
    """

    def call(self, keypoint_features, query_offsets):
        """See the class."""
        return self.encoding.semantic_point_offsets(keypoint_features, query_offsets)

    def compute_output_spec(self, keypoint_features, query_offsets):
        """N points for each keypoint."""
        count = self.encoding.semantic_points
        shape = (*query_offsets.shape[:-1], count, 2)
        return keras.KerasTensor(shape, "float32")


@keras.saving.register_keras_serializable("qepose_tf")
class AutomaticOffsets(keras.layers.Layer):
    """Points that only the score knows: nothing else supervises them (row Auto).

    Args:
        num_keypoints: K, how many points.
        **kwargs: of `keras.layers.Layer`.

    Call with the instance feature `[B, H, W, C]`; returns `[B, H, W, K, 2]` float32
    from cell to point, in cells.
    """

    def __init__(self, num_keypoints: int, **kwargs):
        super().__init__(**kwargs)
        self.num_keypoints = num_keypoints
        self.offset = keras.layers.Dense(
            2 * num_keypoints,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
            dtype="float32",
            name="offset",
        )

    def build(self, input_shape):
        """Builds the 1x1 convolution."""
        self.offset.build(input_shape)

    def call(self, inputs):
        """See the class."""
        offsets = self.offset(inputs)
        shape = [*ops.shape(offsets)[:-1], self.num_keypoints, 2]
        return ops.reshape(offsets, shape)

    def compute_output_spec(self, inputs):
        """Displacements are float32 whatever the features are."""
        shape = (*inputs.shape[:-1], self.num_keypoints, 2)
        return keras.KerasTensor(shape, "float32")

    def get_config(self):
        """All arguments."""
        return {**super().get_config(), "num_keypoints": self.num_keypoints}
