"""The model as it is served: uint8 images in, poses out, and nothing of Keras.

The functions here take uint8 RGB images `[B, H, W, 3]` and return a dict of

- `poses` `[B, P, K, 2]` float32 (x, y) in pixels of the given images,
- `scores` `[B, P]` float32, descending, 0 in empty rows,
- `keypoint_scores` `[B, P, K]` float32,
- `cells` `[B, P, 2]` int32 (x, y): the stride-4 cell of the network's input that each
  pose was regressed from. An image has no cell twice, so it says which rows of two
  runtimes belong together.
"""

import tensorflow as tf

from qepose_tf.data.letterbox import MAX_ASPECT
from qepose_tf.models.pose_estimator import PoseEstimator

OUTPUTS = ("poses", "scores", "keypoint_scores", "cells")
PAD_MULTIPLE = 64


def float32_model(model: PoseEstimator) -> PoseEstimator:
    """The model itself, or its copy in float32 where it computes in less.

    Mixed precision is for training; an exported file computes in float32.
    """
    if model.dtype_policy.name == "float32":
        return model
    copy = PoseEstimator.from_config({**model.get_config(), "dtype": "float32"})
    copy.set_weights(model.get_weights())
    return copy


def serving_module(model: PoseEstimator) -> tf.Module:
    """What a SavedModel of the model holds: its variables.

    Not the Keras model, which would bring every layer's call functions along.
    """
    module = tf.Module(name="pose_estimator")
    module.weights = [weight.value for weight in model.weights]
    return module


def detect(model: PoseEstimator, images: tf.Tensor) -> dict[str, tf.Tensor]:
    """Poses on images of the network's size: sides are multiples of 32.

    Args:
        model: in float32.
        images: `[B, H, W, 3]` uint8.

    Returns:
        See the module.
    """
    outputs = model(model.normalise(images), training=False)
    return {name: tf.identity(outputs[name], name=name) for name in OUTPUTS}


def resized_sides(source_hw: tf.Tensor, input_size: int) -> tf.Tensor:
    """`fit_short_side` as TensorFlow operations, strips shrunk to `MAX_ASPECT`.

    Args:
        source_hw: `[2]` height and width of an image.
        input_size: of the model.

    Returns:
        `[2]` int32, height and width that the image is resized to.
    """
    # float64, to round as Python's numbers do
    source = tf.cast(source_hw, tf.float64)
    longest, shortest = tf.reduce_max(source), tf.reduce_min(source)
    shrink = MAX_ASPECT / tf.maximum(longest / shortest, MAX_ASPECT)
    short_side = tf.maximum(tf.floor(input_size * shrink), 1)
    return tf.maximum(tf.cast(tf.round(source * (short_side / shortest)), tf.int32), 1)


def detect_any_size(model: PoseEstimator, images: tf.Tensor) -> dict[str, tf.Tensor]:
    """Poses on images of any size.

    The short side is brought to the model's input size with the aspect ratio kept
    (`resized_sides`), and the right and bottom are padded
    after normalisation. A side longer than `MAX_ASPECT` input sizes is shrunk to that.

    Args:
        model: in float32.
        images: `[B, H, W, 3]` uint8.

    Returns:
        See the module.
    """
    source_hw = tf.shape(images)[1:3]
    resized_hw = resized_sides(source_hw, model.input_size)
    padding = -resized_hw % PAD_MULTIPLE
    resized = tf.image.resize(images, resized_hw, method="bilinear", antialias=True)
    # to whole numbers, as images are resized in 8 bits everywhere else
    pixels = tf.clip_by_value(tf.round(resized), 0.0, 255.0)
    padded = tf.pad(
        model.normalise(pixels), [[0, 0], [0, padding[0]], [0, padding[1]], [0, 0]]
    )
    outputs = model(padded, training=False)
    scale_yx = tf.cast(resized_hw / source_hw, tf.float32)
    poses = (outputs["poses"] + 0.5) / scale_yx[::-1] - 0.5
    outputs = {**outputs, "poses": poses}
    return {name: tf.identity(outputs[name], name=name) for name in OUTPUTS}
