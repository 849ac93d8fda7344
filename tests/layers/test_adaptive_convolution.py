from pathlib import Path

import numpy as np
import pytest
from keras import ops

from qepose_tf.layers.adaptive_convolution import TAPS, AdaptiveConvolution, ringed
from qepose_tf.layers.adaptive_regression import AdaptiveRegression
from qepose_tf.ops.sampling import sample_per_point
from tests.backends import needs_tensorflow, to_numpy
from tests.layers.layer_checks import check_layer, tensors

HEIGHT, WIDTH, KEYPOINTS, CHANNELS = 7, 6, 3, 4


@pytest.fixture(scope="module")
def theirs():
    """What torchvision's `deform_conv2d` gives, in our order of axes."""
    with np.load(Path(__file__).parent / "deform_conv2d.npz") as file:
        arrays = {name: file[name] for name in file.files}
    for name in ("inputs", "outputs", "upstream", "to_inputs", "whole_outputs"):
        arrays[name] = arrays[name].transpose(0, 2, 3, 1)
    for name in ("offset", "to_offset", "whole_offset"):
        batch, _, height, width = arrays[name].shape
        taps = arrays[name].reshape(batch, 9, 2, height, width)
        arrays[name] = taps.transpose(0, 3, 4, 1, 2)  # [B, H, W, 9, 2] (y, x)
    for name in ("kernel", "to_kernel"):
        arrays[name] = arrays[name].transpose(2, 3, 1, 0).reshape(27, -1)
    return arrays


def convolved(inputs, offset, kernel, training=False):
    """Our sampling as `deform_conv2d`."""
    batch, height, width, channels = inputs.shape
    y, x = np.mgrid[:height, :width]
    here = np.stack([y, x], -1)[:, :, None] + TAPS  # [H, W, 9, 2]
    points = ops.flip(offset + here.astype("float32"), axis=-1) + 1.0
    points = ops.reshape(points, [batch, height * width, 1, 9, 2])
    ring = ringed(ops.expand_dims(inputs, 3))
    sampled = sample_per_point(ring, points, training)
    sampled = ops.reshape(sampled, [batch, height, width, 9 * channels])
    return ops.matmul(sampled, kernel)


@pytest.mark.parametrize("places", ["", "whole_"])
def test_samples_as_torchvision_does_inside_and_beyond_the_border(theirs, places):
    outputs = convolved(theirs["inputs"], theirs[f"{places}offset"], theirs["kernel"])
    expected = theirs[f"{places}outputs"]
    np.testing.assert_allclose(to_numpy(outputs), expected, atol=1e-5)


@needs_tensorflow
@pytest.mark.parametrize("training", [False, True])
def test_gradients_are_torchvisions(theirs, training):
    import tensorflow as tf

    arguments = [tf.constant(theirs[n]) for n in ("inputs", "offset", "kernel")]
    with tf.GradientTape() as tape:
        tape.watch(arguments)
        outputs = convolved(*arguments, training=training)
        loss = tf.reduce_sum(outputs * theirs["upstream"])
    gradients = tape.gradient(loss, arguments)
    for name, gradient in zip(("inputs", "offset", "kernel"), gradients, strict=True):
        gradient = tf.convert_to_tensor(gradient).numpy()
        np.testing.assert_allclose(gradient, theirs[f"to_{name}"], atol=1e-4)


def randomise(layer, seed=0):
    """Taps that move by some cells, and statistics that are not the identity."""
    rng = np.random.default_rng(seed)
    for weight in layer.weights:
        value = 0.5 * rng.normal(size=weight.shape)
        if weight.name in ("gamma", "moving_variance"):
            value = rng.uniform(0.5, 1.5, weight.shape)
        weight.assign(value)
    return layer


def features(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def built(layer, *inputs):
    layer.build(*(array.shape for array in inputs))
    return randomise(layer)


def test_the_layer(tmp_path):
    # The transforms begin with zero: all taps on one spot, and they still have
    # gradients there.
    inputs = features(2, HEIGHT, WIDTH, KEYPOINTS, CHANNELS)
    check_layer(AdaptiveConvolution(), [inputs], tmp_path, unknown_axes=(1, 2))


def test_equals_a_slow_twin():
    inputs = features(2, HEIGHT, WIDTH, KEYPOINTS, CHANNELS)
    layer = built(AdaptiveConvolution(), inputs)
    outputs = to_numpy(layer(*tensors([inputs])))
    np.testing.assert_allclose(outputs, slow_twin(layer, inputs), atol=1e-4)


def slow_twin(layer, inputs):
    """Cell by cell, keypoint by keypoint, tap by tap."""
    affine, bias = (to_numpy(w.value) for w in layer.affine.weights)
    kernel = to_numpy(layer.convolution.kernel.value)
    gamma, beta, mean, variance = (
        to_numpy(getattr(layer.norm, name).value).reshape(KEYPOINTS, CHANNELS)
        for name in ("gamma", "beta", "moving_mean", "moving_variance")
    )

    def value(image, y, x, k):
        if 0 <= y < HEIGHT and 0 <= x < WIDTH:
            return image[y, x, k]
        return np.zeros(CHANNELS)

    def bilinear(image, y, x, k):
        top, left = int(np.floor(y)), int(np.floor(x))
        return sum(
            (1 - abs(y - row)) * (1 - abs(x - column)) * value(image, row, column, k)
            for row in (top, top + 1)
            for column in (left, left + 1)
        )

    outputs = np.zeros_like(inputs)
    for b, y, x, k in np.ndindex(*inputs.shape[:4]):
        near = [value(inputs[b], y + dy, x + dx, k) for dy, dx in TAPS]
        six = np.concatenate(near) @ affine[k] + bias[k]
        matrix, shift = six[:4].reshape(2, 2), six[4:]
        taps = [
            bilinear(inputs[b], *([y, x] + matrix @ tap + shift), k) for tap in TAPS
        ]
        row = np.concatenate(taps) @ kernel[k]
        row = (row - mean[k]) / np.sqrt(variance[k] + 1e-5) * gamma[k] + beta[k]
        outputs[b, y, x, k] = np.maximum(row + inputs[b, y, x, k], 0)
    return outputs


def all_cells(batch):
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    cells = np.stack([x, y], -1).reshape(1, -1, 2).astype("int32")
    return np.tile(cells, [batch, 1, 1])


@pytest.mark.parametrize("blocks", [0, 1, 2, 3])
def test_chosen_cells_have_the_numbers_of_the_whole_map(blocks):
    inputs = features(2, HEIGHT, WIDTH, KEYPOINTS * CHANNELS)
    cells = all_cells(2)
    layer = built(AdaptiveRegression(KEYPOINTS, blocks), inputs, cells)
    dense = to_numpy(layer.displacements(*tensors([inputs])))
    poses = to_numpy(layer(*tensors([inputs, cells])))
    sparse = (poses - cells[:, :, None]).reshape(dense.shape)
    np.testing.assert_allclose(sparse, dense, atol=1e-4)
    assert np.ptp(dense) > 1


def test_the_regression_layer(tmp_path):
    inputs = features(2, HEIGHT, WIDTH, KEYPOINTS * CHANNELS)
    cells = np.random.default_rng(2).integers(0, 6, (2, 5, 2)).astype("int32")
    layer = built(AdaptiveRegression(KEYPOINTS), inputs, cells)
    outputs = to_numpy(layer(*tensors([inputs, cells])))
    clone = AdaptiveRegression.from_config(layer.get_config())
    clone.build(inputs.shape, cells.shape)
    clone.set_weights(layer.get_weights())
    np.testing.assert_array_equal(to_numpy(clone(*tensors([inputs, cells]))), outputs)


def test_features_that_do_not_divide_by_the_keypoints_are_refused():
    with pytest.raises(ValueError, match="multiple of 3 channels, got 10"):
        AdaptiveRegression(3).build((None, None, None, 10))
