"""Counts the parameters, multiply-adds and activations of a model."""

import math

import keras

from qepose_tf.layers.keypoint_query import KeypointQuery
from qepose_tf.layers.normalise import Normalise
from qepose_tf.layers.pose_query import PoseQueryEncoding
from qepose_tf.models.bodies import layer_strides
from qepose_tf.models.pose_model import PoseModel
from qepose_tf.ops.geometry import STRIDE


def trainable_params(model: keras.Model) -> int:
    """Returns the number of trainable parameters, without moving statistics."""
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def macs(model: PoseModel, height: int, width: int) -> int:
    """Returns the multiply-adds of all convolutions and products for one image.

    They are counted as in the paper and in DEKR: as if every head ran at every cell,
    and without batch normalisation, ReLU, resizing and sampling.

    Args:
        model: The model.
        height: The height of the input in px, a multiple of 32.
        width: The width of the input in px, a multiple of 32.
    """
    pixels = height * width
    body = sum(
        pixels // stride**2 * math.prod(weight.shape)
        for layer, stride in layer_strides(model.body)
        for weight in layer.weights
        if "kernel" in weight.name
    )
    return body + pixels // STRIDE**2 * _head_macs_per_cell(model)


def activations(model: PoseModel, height: int, width: int) -> int:
    """Returns the number of activations of all layers for one image.

    A training step keeps about so many numbers for the gradients, with 4 bytes each in
    float32 and 2 in mixed precision. Activations at chosen cells are not counted,
    because their number grows with the people and not with the image.

    Args:
        model: The model.
        height: The height of the input in px, a multiple of 32.
        width: The width of the input in px, a multiple of 32.
    """
    pixels = height * width
    body = sum(
        pixels // stride**2 * layer.output.shape[-1]
        for layer, stride in layer_strides(model.body)
    )
    head = sum(map(_numbers_per_cell, model.layers))
    return body + pixels // STRIDE**2 * head


def _numbers_per_cell(layer: keras.Layer) -> int:
    """Returns the activations of a layer of the head at a cell, inner ones included."""
    # The normalised image is not counted, as the image itself is not.
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
        # Keypoints are projected and gathered at four corners, summed and normalised.
        inside = (1 + 4) * keypoints * layer.units + 2 * layer.units
    return sum(outputs) + inside


def _head_macs_per_cell(model: PoseModel) -> int:
    """Returns the multiply-adds of the head at a cell; all its layers have stride 4."""
    of_body = {id(weight) for weight in model.body.weights}
    return sum(
        math.prod(weight.shape)
        for weight in model.weights
        if weight.name == "kernel" and id(weight) not in of_body
    )
