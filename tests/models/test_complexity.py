import math

import keras
import numpy as np
import pytest
from keras.layers import Conv2D

from qepose_tf.models.complexity import activations, macs, trainable_params

# Tables of the paper: 29.7 M and 46.4 G at 512, 65.8 M and 143.4 G at 640.


@pytest.mark.slow
def test_w32_costs_what_the_paper_says(w32):
    assert 29.6e6 <= trainable_params(w32) <= 29.8e6
    assert 46.3e9 <= macs(w32, 512, 512) <= 46.5e9


@pytest.mark.slow
def test_w48_costs_what_the_paper_says(w48):
    assert 65.7e6 <= trainable_params(w48) <= 65.9e6
    assert 143.3e9 <= macs(w48, 640, 640) <= 143.5e9


@pytest.mark.parametrize("size", [(64, 64), (128, 32), (512, 704)])
def test_products_grow_with_the_area(pair_model, size):
    unit = macs(pair_model, 32, 32)
    assert macs(pair_model, *size) == unit * math.prod(size) // 32**2


def body_products(body):
    """Multiply-adds of a 32 x 32 image, by the sizes that it takes in the body."""
    images = np.zeros((1, 32, 32, 3), "float32")
    convolutions = [layer for layer in body.layers if isinstance(layer, Conv2D)]
    probe = keras.Model(body.input, [layer.output for layer in convolutions])
    outputs = probe(images)
    return sum(
        math.prod(output.shape[1:3]) * math.prod(layer.kernel.shape)
        for layer, output in zip(convolutions, outputs, strict=True)
    )


def test_the_head_by_hand(pair_model):
    """K = 2, 4 and 8 channels, N = 2, W = 16 and so 240 channels of general feature."""
    query = 240 * 2 * 4 + 2 * 4 * 2  # R_k, c to q
    encoding = 2 * 4 * 4 + 2 * 4 * 4 + 2 * 4 * 2  # q to q', 4 to 4, q to k
    instance = 240 * 8 + 2 * 9 * 8 * 8
    scorer = 2 * 8 * 16 + 16
    kernels = query + encoding + instance + scorer
    biases = 2 * 2 + 2 * 4 + 2 * 2 + 1
    norms = 2 * (2 * (2 * 4) + 3 * 8 + 16)
    body = pair_model.body
    head_params = trainable_params(pair_model) - trainable_params(body)
    assert head_params == kernels + biases + norms
    # A 32 x 32 image has 8 x 8 cells.
    assert macs(pair_model, 32, 32) == body_products(body) + 64 * kernels


def test_moving_statistics_are_not_counted(pair_model):
    moving = 2 * trainable_norms(pair_model)
    assert pair_model.count_params() == trainable_params(pair_model) + moving


def trainable_norms(model):
    return sum(w.shape[0] for w in model.trainable_weights if w.name == "gamma")


def test_activations_by_hand(pair_model):
    """K = 2, 4 and 8 channels, W = 16: what every layer puts out for 64 x 64."""
    images = np.zeros((1, 64, 64, 3), "float32")
    body = pair_model.body
    layers = [x for x in body.layers if not x.name.endswith("_pad")]
    maps = keras.Model(body.input, [layer.output for layer in layers])(images)
    expected = sum(math.prod(output.shape) for output in maps)
    # Padded maps are counted without their borders.
    paddings = [x for x in body.layers if x.name.endswith("_pad")]
    inputs = keras.Model(body.input, [layer.input for layer in paddings])(images)
    expected += sum(math.prod(output.shape) for output in keras.tree.flatten(inputs))
    general = (32 + 64 + 128) + 240  # upsampled, concatenated
    instance = 9 * 8  # three convolutions, norms; two ReLU, an addition, a ReLU
    instance += 8
    query = 3 * 2 * 4 + 2 * 2  # convolution, norm, ReLU; displacements
    scorer = 5 * 2 * 16 + 3 * 16 + 1
    expected += 16 * 16 * (general + instance + query + scorer)
    assert activations(pair_model, 64, 64) == expected
