"""DEKR's decoder: the poses of the best centres, in pixels."""

import keras

from qepose_tf.layers.adaptive_regression import AdaptiveRegression
from qepose_tf.ops import decode, heat_decode


@keras.saving.register_keras_serializable("qepose_tf")
class HeatDecoder(keras.layers.Layer):
    """Finds centres, regresses their poses, scores them by heatmaps, suppresses.

    Args:
        encoding: The model's `AdaptiveRegression`, which is asked at the best cells.
        max_detections: The rows of an image.
        score_threshold: Rows whose centre has a lower or equal score become empty.
        nms_distance: Keypoints nearer than this fraction of a pose's diagonal coincide.
        nms_keypoints: Poses with more coinciding keypoints are the same person; None is
            half of the keypoints, rounded down.
        protocol: A key of `ops.heat_decode.PROTOCOLS`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call the layer with the centre heatmap `[B, H, W, 1]`, the keypoint heatmaps
    `[B, H, W, K]` and the features of `encoding`; it returns a dict of `poses`
    `[B, P, K, 2]` float32 in input pixels, `scores` `[B, P]`, descending, 0 in empty
    rows, `keypoint_scores` `[B, P, K]` and `cells` `[B, P, 2]` int32 (x, y).

    Example:
        >>> layer = HeatDecoder(AdaptiveRegression(num_keypoints=17))
        >>> maps = [np.zeros((1, 8, 8, n), "float32") for n in (1, 17, 255)]
        >>> layer(*maps)["poses"].shape
        TensorShape([1, 30, 17, 2])
    """

    def __init__(
        self,
        encoding: AdaptiveRegression,
        max_detections: int = 30,
        score_threshold: float = 0.01,
        nms_distance: float = 0.05,
        nms_keypoints: int | None = None,
        protocol: str = "dekr",
        **kwargs,
    ):
        super().__init__(**{**kwargs, "dtype": "float32"}, autocast=False)
        self.encoding = encoding
        self.max_detections = max_detections
        self.score_threshold = score_threshold
        self.nms_distance = nms_distance
        self.nms_keypoints = nms_keypoints
        self.protocol = protocol

    def build(self, centre_shape, heatmaps_shape, features_shape):
        """Builds the shared encoding."""
        if not self.encoding.built:
            self.encoding.build(features_shape)

    def call(self, centre, heatmaps, features):
        """The people of each image."""
        window = heat_decode.PROTOCOLS[self.protocol].peak_window
        found = heat_decode.peaks(centre, window)
        scores, cells = decode.top_cells(found, self.max_detections)
        return heat_decode.people(
            scores,
            self.encoding(features, cells),
            cells,
            heatmaps,
            score_threshold=self.score_threshold,
            nms_distance=self.nms_distance,
            nms_keypoints=self.nms_keypoints,
            protocol=self.protocol,
        )

    def compute_output_spec(self, centre, heatmaps, features):
        """Static rows; the batch may be unknown."""
        batch, rows, keypoints = centre.shape[0], self.max_detections, heatmaps.shape[3]
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
            "nms_keypoints": self.nms_keypoints,
            "protocol": self.protocol,
        }

    @classmethod
    def from_config(cls, config):
        """Rebuilds the encoding first."""
        encoding = keras.saving.deserialize_keras_object(config["encoding"])
        return cls(**{**config, "encoding": encoding})
