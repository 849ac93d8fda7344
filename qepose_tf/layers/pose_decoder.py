"""The poses of the best cells, in pixels."""

import keras
from keras import ops

from qepose_tf.layers.keypoint_query import KeypointQueryEncoding
from qepose_tf.ops import decode


@keras.saving.register_keras_serializable("qepose_tf")
class PoseDecoder(keras.layers.Layer):
    """Local maxima of the score map, their poses, and pose suppression.

    Args:
        encoding: the model's `KeypointQueryEncoding`, asked at the best cells only.
        max_detections: rows per image.
        score_threshold: rows with a lower or equal score are emptied.
        nms_distance: of `ops.decode.pose_nms`.
        **kwargs: of `keras.layers.Layer`.

    Call with the score map, `keypoint_features` and `query_offsets`; returns a dict
    of `poses` `[B, P, K, 2]` float32 in input pixels, `scores` `[B, P]` in [0, 1],
    descending, 0 in empty rows, `keypoint_scores` `[B, P, K]` and `cells`
    `[B, P, 2]` int32 (x, y), where each pose was regressed from.
    """

    def __init__(
        self,
        encoding: KeypointQueryEncoding,
        max_detections: int = 30,
        score_threshold: float = 0.01,
        nms_distance: float = 0.05,
        **kwargs,
    ):
        super().__init__(**{**kwargs, "dtype": "float32"}, autocast=False)
        self.encoding = encoding
        self.max_detections = max_detections
        self.score_threshold = score_threshold
        self.nms_distance = nms_distance

    def build(self, score_map_shape, keypoint_features_shape, query_offsets_shape):
        """Builds the shared encoding."""
        if not self.encoding.built:
            self.encoding.build(keypoint_features_shape, query_offsets_shape)

    def call(self, score_map, keypoint_features, query_offsets):
        """Detections of each image."""
        peaks = decode.local_maxima(ops.clip(score_map, 0.0, 1.0))
        scores, cells = decode.top_cells(peaks, self.max_detections)
        # These cells are not Omega's: they must not move the batch statistics.
        poses = self.encoding(keypoint_features, query_offsets, cells, training=False)
        return decode.people(
            scores, poses, cells, self.score_threshold, self.nms_distance
        )

    def compute_output_spec(self, score_map, keypoint_features, query_offsets):
        """Static rows; the batch may be unknown."""
        batch, rows = score_map.shape[0], self.max_detections
        keypoints = query_offsets.shape[-2]
        return {
            "poses": keras.KerasTensor((batch, rows, keypoints, 2), "float32"),
            "scores": keras.KerasTensor((batch, rows), "float32"),
            "keypoint_scores": keras.KerasTensor((batch, rows, keypoints), "float32"),
            "cells": keras.KerasTensor((batch, rows, 2), "int32"),
        }

    def get_config(self):
        """All arguments."""
        return {
            **super().get_config(),
            "encoding": keras.saving.serialize_keras_object(self.encoding),
            "max_detections": self.max_detections,
            "score_threshold": self.score_threshold,
            "nms_distance": self.nms_distance,
        }

    @classmethod
    def from_config(cls, config):
        """Rebuilds the encoding first."""
        encoding = keras.saving.deserialize_keras_object(config["encoding"])
        return cls(**{**config, "encoding": encoding})
