"""Makes `pose.json`, which tells clients how to use an exported model."""

from typing import Any

import numpy as np

from qepose_tf.models.pose_model import PoseModel, network_of

FILE = "pose.json"
SCHEMA = 1

# What the scores of each network are.
_SCORES = {
    "pose_estimator": "predicted OKS",
    "dekr": "the centre's heat times the mean heat of the keypoints",
}


def describe(
    model: PoseModel,
    precision: str,
    height: int | None = None,
    width: int | None = None,
    batch: int | None = None,
) -> dict[str, Any]:
    """Returns skeleton, input, normalisation, letterbox and outputs, ready for JSON.

    Args:
        model: The model that is exported.
        precision: The precision of the file.
        height: The height of its images in px, or None if it resizes images itself.
        width: The width of its images in px, or None likewise.
        batch: The number of images in a batch, or None for any number.
    """
    meaning = _SCORES[network_of(model)]
    return {
        "schema": SCHEMA,
        "precision": precision,
        "input": {
            "name": "images",
            "type": "uint8",
            "layout": "NHWC",
            "colour": "RGB",
            "batch": batch,
            "height": height,
            "width": width,
        },
        "normalisation": {
            "mean": [round(float(value), 4) for value in model.mean],
            "std": [round(float(value), 4) for value in model.std],
            "inside": True,
        },
        "letterbox": (
            {"inside": True, "short_side": model.input_size}
            if height is None
            else _letterbox(model)
        ),
        "outputs": {
            "poses": "float32 [B, P, K, 2], (x, y) in pixels of the input",
            "scores": f"float32 [B, P], {meaning}, descending; 0: an empty row",
            "keypoint_scores": "float32 [B, P, K]",
            "count": "int32 [B], rows that are not empty",
            "cells": "int32 [B, P, 2], (x, y) of the stride-4 cell of each pose",
        },
        "skeleton": model.skeleton.to_dict(),
    }


def fill_colour(model: PoseModel) -> list[int]:
    """Returns the colour of the padding, RGB in 0..255: the rounded mean colour."""
    return np.round(model.mean).clip(0, 255).astype(int).tolist()


def _letterbox(model: PoseModel) -> dict[str, Any]:
    return {
        "inside": False,
        "align": "top left",
        "fill": fill_colour(model),
        "resize": (
            "bilinear, antialiased; both sides times min(height / image height, "
            "width / image width), rounded, at least 1"
        ),
        "undo": (
            "(pose + 0.5) * [image width / resized width, "
            "image height / resized height] - 0.5"
        ),
    }
