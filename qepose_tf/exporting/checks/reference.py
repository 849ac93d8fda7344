"""Detects with the Keras model, whose poses are the reference of exported files."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from qepose_tf.exporting.checks.comparison import Detections
from qepose_tf.images.letterbox import capped_short_side, letterbox, original_points
from qepose_tf.models.pose_model import PoseModel
from qepose_tf.ops.geometry import fit_short_side

COMPARED = ("poses", "scores", "keypoint_scores", "cells")

Detector = Callable[[np.ndarray], Detections]


def traced(model: PoseModel) -> Callable:
    """Returns the model as a graph from `[B, H, W, 3]` float32 images in 0..255."""
    shape = tf.TensorSpec([None, None, None, 3], tf.float32)

    @tf.function(input_signature=[shape], autograph=False)
    def run(images: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = model(images, training=False)
        return {name: outputs[name] for name in COMPARED}

    return run


def keras_any_size(model: PoseModel, run: Callable | None = None) -> Detector:
    """Returns a detector for images of any size, as evaluation letterboxes them.

    Images are resized by TensorFlow and rounded to 8 bits, as in exported files.
    Pillow, which evaluation uses, differs by one grey level in some pixels.

    Args:
        model: The model.
        run: The model as a graph, see `traced`; by default the model is run eagerly.

    Returns:
        A function from `[B, H, W, 3]` uint8 images to detections.
    """
    run = run or model

    def detect(images: np.ndarray) -> Detections:
        height, width = images.shape[1:3]
        side = capped_short_side(height, width, model.input_size)
        resized_hw, _ = fit_short_side(height, width, side)
        resized = tf.image.resize(images, resized_hw, antialias=True).numpy()
        resized = resized.round().clip(0, 255).astype(np.uint8)
        boxed = [letterbox(image, side, model.mean)[0] for image in resized]
        detections = _detections(run(np.stack(boxed)))
        scale = np.divide(resized_hw[::-1], (width, height))
        detections["poses"] = original_points(detections["poses"], scale)
        return detections

    return detect


def keras_fixed_size(model: PoseModel, run: Callable | None = None) -> Detector:
    """Returns a detector for images of the network's size, see `keras_any_size`."""
    run = run or model

    def detect(images: np.ndarray) -> Detections:
        return _detections(run(tf.cast(images, tf.float32)))

    return detect


def _detections(outputs: dict) -> Detections:
    return {name: np.asarray(outputs[name]) for name in COMPARED}
