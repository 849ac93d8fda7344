"""Keypoints in one hop from the cell: the paper's baseline without KQE."""

import keras
from keras import ops

from qepose_tf.ops.cells import cell_centres
from qepose_tf.ops.sampling import take_cells


@keras.saving.register_keras_serializable("qepose_tf")
class KeypointRegression(keras.layers.Layer):
    """Takes the first hop for the whole way (rows 1 and 2 of Table 2).

    Stands where `KeypointQueryEncoding` stands and is called alike; it has no weights.

    Call with `keypoint_features` (not looked at), `query_offsets` `[B, H, W, K, 2]`
    and `cells` `[B, P, 2]` int32 (x, y); where `cells` is None, all cells in row-major
    order. Returns poses `[B, P, K, 2]` float32 in cells.
    """

    def __init__(self, **kwargs):
        # Autocast would round the displacements to the features' type.
        super().__init__(autocast=False, **kwargs)

    def build(self, keypoint_features_shape, query_offsets_shape):
        """Nothing to build."""

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
        batch, height, width = ops.shape(query_offsets)[:3]
        if cells is None:
            cells = ops.tile(cell_centres(height, width)[None], [batch, 1, 1])
        here = ops.expand_dims(ops.cast(cells, "float32"), 2)
        return here + take_cells(query_offsets, cells, images)

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
        batch, height, width, keypoints, _ = query_offsets.shape
        every = None if None in (height, width) else height * width
        count = every if cells is None else cells.shape[1]
        return keras.KerasTensor((batch, count, keypoints, 2), "float32")
