"""DEKR's adaptive convolution, for all keypoints at once.

A 3x3 convolution whose nine taps do not stand on a fixed grid: at every cell, and for
every keypoint, an affine transform is predicted, which moves the grid. The features
at the moved taps are sampled bilinearly. Outside the map stand zeros, as in
torchvision's `deform_conv2d`.

A map with a ring of zero cells around it makes these zeros rows like any other: taps
farther out are clamped to the ring. Inside this module, cells are row-major numbers
and points are (x, y) in such a ringed map.
"""

from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from qepose_tf.layers.cell_norm import CellNorm
from qepose_tf.layers.per_keypoint import PerKeypointDense
from qepose_tf.ops.facts import Tensor
from qepose_tf.ops.sampling import (
    corners,
    sample_per_point,
    take_per_keypoint,
    weighted_sum,
)

# The taps of a 3x3 kernel, (y, x), in the order of PyTorch's kernels.
TAPS = np.mgrid[-1:2, -1:2].reshape(2, 9).T
CENTRE_TAP = 4
# The affine transform of a tap g is M g + t, from six numbers in the order that DEKR's
# two convolutions give them in: M row by row, then t, all (y, x).
AFFINE = 6

# Features of ringed cells: [B, P, K, N] int32 to [B, P, K, N, C].
Source = Callable[[Tensor], Tensor]


def ringed(features: Tensor) -> Tensor:
    """Puts a ring of zero cells around maps.

    Args:
        features: `[B, H, W, K, C]`.

    Returns:
        `[B, H + 2, W + 2, K, C]`.
    """
    batch, height, width, keypoints, channels = ops.shape(features)
    flat = ops.reshape(features, [batch, height, width, keypoints * channels])
    flat = ops.pad(flat, [[0, 0], [1, 1], [1, 1], [0, 0]])
    return ops.reshape(flat, [batch, height + 2, width + 2, keypoints, channels])


def ringed_numbers(cells: Tensor, width: Tensor) -> Tensor:
    """Returns the numbers of cells in a ringed map.

    Args:
        cells: `[..., 2]` int32 (x, y) in the map.
        width: The width of the map.

    Returns:
        `[...]` int32.
    """
    return (cells[..., 1] + 1) * (width + 2) + cells[..., 0] + 1


@keras.saving.register_keras_serializable("qepose_tf")
class AdaptiveConvolution(keras.layers.Layer):
    """A block of adaptive convolution, normalisation, shortcut and ReLU (DEKR).

    Every keypoint has its own features, transforms and kernel. The transforms begin
    with zero: all taps then stand on the cell itself, as in DEKR.

    Args:
        momentum: The momentum of batch normalisation.
        synchronized: Whether replicas share batch statistics.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call the layer with `[B, H, W, K, C]`; it returns the same shape. `at` computes
    single cells alone.

    Example:
        >>> layer = AdaptiveConvolution()
        >>> layer(np.zeros((1, 8, 6, 17, 15), "float32")).shape
        TensorShape([1, 8, 6, 17, 15])
    """

    def __init__(self, momentum: float = 0.9, synchronized: bool = False, **kwargs):
        # Autocast would round the transforms to the features' type.
        super().__init__(autocast=False, **kwargs)
        self.momentum = momentum
        self.synchronized = synchronized
        self.affine = PerKeypointDense(
            AFFINE, kernel_initializer="zeros", dtype="float32", name="affine"
        )
        self.norm = CellNorm(
            momentum, synchronized, dtype=self.dtype_policy, name="norm"
        )

    def build(self, input_shape):
        """Builds the sub-layers."""
        keypoints, channels = input_shape[-2:]
        self.channels, self.per_kernel = channels, len(TAPS) * channels
        taps = (None, None, keypoints, self.per_kernel)
        self.convolution = PerKeypointDense(
            channels, use_bias=False, dtype=self.dtype_policy, name="convolution"
        )
        self.affine.build(taps)
        self.convolution.build(taps)
        self.norm.build((None, None, keypoints * channels))

    def call(self, inputs, training=None):
        """`[B, H, W, K, C]` at every cell."""
        batch, height, width, keypoints, channels = ops.shape(inputs)
        ring = ringed(inputs)
        near = ops.stack(
            [ring[:, 1 + y : 1 + y + height, 1 + x : 1 + x + width] for y, x in TAPS],
            axis=-2,
        )
        near = ops.reshape(near, [batch, height * width, keypoints, self.per_kernel])
        y, x = ops.meshgrid(ops.arange(height), ops.arange(width), indexing="ij")
        here = ops.reshape(ops.stack([x, y], axis=-1), [1, height * width, 1, 2])
        points = self._points(near, ops.cast(here, "float32") + 1.0)
        sampled = sample_per_point(ring, points, bool(training))
        residual = ops.reshape(inputs, [batch, height * width, keypoints, channels])
        outputs = self._outputs(sampled, residual, training)
        return ops.reshape(outputs, [batch, height, width, keypoints, channels])

    def at(self, source: Source, cells: Tensor, height: Tensor, width: Tensor):
        """Computes the block at single cells, which may differ between keypoints.

        Args:
            source: A function from cells to this block's inputs there.
            cells: `[B, P, K]` int32, numbers of cells inside the ring.
            height: The height of the ringed map.
            width: The width of the ringed map.

        Returns:
            `[B, P, K, C]`, with the moving statistics.
        """
        batch, count, keypoints = ops.shape(cells)
        taps = ops.convert_to_tensor(TAPS.astype("int32"))
        numbers = ops.expand_dims(cells, -1) + taps[:, 0] * width + taps[:, 1]
        near = source(numbers)  # [B, P, K, 9, C]
        here = ops.stack([cells % width, cells // width], axis=-1)
        flat = ops.reshape(near, [batch, count, keypoints, self.per_kernel])
        points = self._points(flat, ops.cast(here, "float32"))
        numbers, weights = corners(points, height, width)  # [B, P, K, 9, 4]
        flat = ops.reshape(numbers, [batch, count, keypoints, 4 * len(TAPS)])
        # In rows of four axes at most: TFLite multiplies no more.
        rows = [batch, count * keypoints * len(TAPS), 4]
        values = ops.reshape(source(flat), [*rows, self.channels])
        sampled = weighted_sum(values, ops.reshape(weights, rows))
        return self._outputs(sampled, near[..., CENTRE_TAP, :], training=False)

    def source(self, inner: Source, height: Tensor, width: Tensor) -> Source:
        """Returns this block as the inputs of the next.

        Args:
            inner: The inputs of this block.
            height: The height of the ringed map.
            width: The width of the ringed map.
        """

        def outputs(cells):
            batch, count, keypoints, taps = ops.shape(cells)
            x, y = cells % width, cells // width
            inside = (x > 0) & (x < width - 1) & (y > 0) & (y < height - 1)
            x, y = ops.clip(x, 1, width - 2), ops.clip(y, 1, height - 2)
            each = ops.transpose(y * width + x, [0, 1, 3, 2])
            each = ops.reshape(each, [batch, count * taps, keypoints])
            values = self.at(inner, each, height, width)
            values = ops.reshape(values, [batch, count, taps, keypoints, self.channels])
            values = ops.transpose(values, [0, 1, 3, 2, 4])
            return values * ops.expand_dims(ops.cast(inside, values.dtype), -1)

        return outputs

    def _points(self, near, here):
        """Where the taps stand: `[B, P, K, 9 C]`, `[..., 2]` to `[B, P, K, 9, 2]`."""
        affine = self.affine(ops.cast(near, "float32"))
        affine = ops.expand_dims(affine, -2)  # [B, P, K, 1, 6]
        grid = ops.convert_to_tensor(TAPS.astype("float32"))
        y, x = grid[:, 0], grid[:, 1]
        moved_y = affine[..., 0] * y + affine[..., 1] * x + affine[..., 4]
        moved_x = affine[..., 2] * y + affine[..., 3] * x + affine[..., 5]
        return ops.stack([moved_x, moved_y], axis=-1) + ops.expand_dims(here, -2)

    def _outputs(self, sampled, residual, training):
        """From the features at the taps, `[B, P, K, 9, C]`, to `[B, P, K, C]`."""
        shape = ops.shape(residual)
        batch, count, keypoints, channels = shape
        flat = ops.reshape(sampled, [batch, count, keypoints, self.per_kernel])
        flat = ops.reshape(self.convolution(flat), [batch, count, keypoints * channels])
        normal = ops.reshape(self.norm(flat, training=training), shape)
        return ops.relu(normal + ops.cast(residual, normal.dtype))

    def compute_output_shape(self, input_shape):
        """The shape of the inputs."""
        return input_shape

    def get_config(self):
        """All arguments."""
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "synchronized": self.synchronized,
        }


def map_source(ring: Tensor) -> Source:
    """Returns ringed maps as the inputs of a block.

    Args:
        ring: `[B, H + 2, W + 2, K, C]`.
    """

    def values(cells):
        return take_per_keypoint(ring, cells)

    return values
