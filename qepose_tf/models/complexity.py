"""Parameters and multiply-adds."""

import math

import keras

from qepose_tf.layers.upsample import Upsample
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
    strides = {}
    total = 0
    for layer in model.body.layers:
        inputs = keras.tree.flatten(layer.input)
        stride = strides[id(inputs[0])] if inputs else 1
        if isinstance(layer, keras.layers.Conv2D):
            stride *= layer.strides[0]
            total += pixels // stride**2 * math.prod(layer.kernel.shape)
        elif isinstance(layer, Upsample):
            stride //= layer.factor
        strides[id(layer.output)] = stride
    return total + pixels // STRIDE**2 * _head_macs_per_cell(model)


def _head_macs_per_cell(model: PoseEstimator) -> int:
    """The head's layers all stand at stride 4; biases and norms do not multiply."""
    kernels = {
        weight.path: math.prod(weight.shape)
        for weight in model.trainable_weights
        if weight.name == "kernel"
    }
    for weight in model.body.trainable_weights:
        kernels.pop(weight.path, None)
    return sum(kernels.values())
