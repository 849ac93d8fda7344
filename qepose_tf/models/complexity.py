"""Parameters, multiply-adds and activations."""

import math

import keras

from qepose_tf.layers.keypoint_query import KeypointQuery
from qepose_tf.layers.normalise import Normalise
from qepose_tf.layers.pose_query import PoseQueryEncoding
from qepose_tf.models.bodies import layer_strides
from qepose_tf.models.pose_estimator import PoseEstimator
from qepose_tf.ops.geometry import STRIDE


def trainable_params(model: keras.Model) -> int:
    """Trainable numbers; moving statistics are not counted."""
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def macs(model: PoseEstimator, height: int, width: int) -> int:
    """Multiply-adds of convolutions and products for one image.

    As the paper and DEKR count: every head as if it ran at every cell, and no batch
    normalisation, ReLU, resizing or sampling.

    Args:
        model: the pose estimator.
        height: of the input in pixels, a multiple of 32.
        width: likewise.
    """
    pixels = height * width
    body = sum(
        pixels // stride**2 * math.prod(weight.shape)
        for layer, stride in layer_strides(model.body)
        for weight in layer.weights
        if "kernel" in weight.name
    )
    return body + pixels // STRIDE**2 * _head_macs_per_cell(model)


def activations(model: PoseEstimator, height: int, width: int) -> int:
    """Numbers that the layers put out for one image.

    A training step keeps about as many for the gradients, at 4 bytes each in float32
    and 2 in mixed precision. What is sampled at chosen cells is not counted: it grows
    with the people, not with the image.

    Args:
        model: the pose estimator.
        height: of the input in pixels, a multiple of 32.
        width: likewise.
    """
    pixels = height * width
    body = sum(
        pixels // stride**2 * layer.output.shape[-1]
        for layer, stride in layer_strides(model.body)
    )
    head = sum(map(_numbers_per_cell, model.layers))
    return body + pixels // STRIDE**2 * head


def _numbers_per_cell(layer: keras.Layer) -> int:
    """What one of the head's layers puts out at a cell, what it keeps inside, too."""
    # The normalised image stands for the image itself, which is no layer's output.
    if isinstance(layer, keras.Model | keras.layers.InputLayer | Normalise):
        return 0
    outputs = [
        math.prod(output.shape[3:])
        for output in keras.tree.flatten(layer.output)
        if output.shape[1:3] == (None, None)
    ]
    inside = 0
    if isinstance(layer, KeypointQuery):
        inside = 2 * layer.num_keypoints * layer.channels  # convolution, norm
    elif isinstance(layer, PoseQueryEncoding):
        keypoints = layer.input[1].shape[3]
        # Projected for each keypoint, gathered at four corners, added up, normalised.
        inside = (1 + 4) * keypoints * layer.units + 2 * layer.units
    return sum(outputs) + inside


def _head_macs_per_cell(model: PoseEstimator) -> int:
    """The head's layers all stand at stride 4; biases and norms do not multiply."""
    of_body = {id(weight) for weight in model.body.weights}
    return sum(
        math.prod(weight.shape)
        for weight in model.weights
        if weight.name == "kernel" and id(weight) not in of_body
    )
