"""Bilinear sampling as one gather of four corners.

One gather with flat row numbers moves all batches, points and keypoints at once; the
four corners are then blended by a single weighted sum, which is cheaper than four
gathers blended element by element.
"""

import math

import keras
from keras import ops

from qepose_tf.ops.replicas import sizes_may_vary


def _take_rows(table, rows):
    """`table[rows]` for `[R, C]` and integers; the rows are known to exist.

    `ops.take` wraps every TensorFlow gather in a select for negative rows, so the
    gather itself is the backend's own there.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.gather(table, rows)
    return ops.take(table, rows, axis=0)


def corners(points, height, width, axis: int = -1):
    """The four cells around each point and their bilinear weights.

    Points are clamped to the border: outside the map stands the border's value.

    Args:
        points: `[..., 2]` float32 (x, y) in cells.
        height: of the map.
        width: of the map.
        axis: of the results that numbers the corners. Anywhere but at the end they
            are written in runs, which is twice as fast.

    Returns:
        cells: `[..., 4]` int32 row-major cell numbers, and
        weights: `[..., 4]` float32 that sum to 1; or with the 4 at `axis`.
    """
    last_x = ops.cast(width - 1, "float32")
    last_y = ops.cast(height - 1, "float32")
    x, y = ops.unstack(points, axis=-1)
    x, y = ops.clip(x, 0.0, last_x), ops.clip(y, 0.0, last_y)
    left, top = ops.floor(x), ops.floor(y)
    right_weight, bottom_weight = x - left, y - top
    # The cast of a NaN is any integer, so integers are clamped, too: a broken
    # prediction becomes a NaN loss that is reported, not an index error.
    left = ops.clip(ops.cast(left, "int32"), 0, width - 1)
    top = ops.clip(ops.cast(top, "int32"), 0, height - 1)
    right = ops.minimum(left + 1, width - 1)
    bottom = ops.minimum(top + 1, height - 1)
    upper, lower = top * width, bottom * width
    cells = [upper + left, upper + right, lower + left, lower + right]
    left_weight, top_weight = 1.0 - right_weight, 1.0 - bottom_weight
    weights = [
        top_weight * left_weight,
        top_weight * right_weight,
        bottom_weight * left_weight,
        bottom_weight * right_weight,
    ]
    return ops.stack(cells, axis=axis), ops.stack(weights, axis=axis)


def take_cells(features, cells, images=None):
    """Features at whole cells.

    Args:
        features: `[B, H, W, ...]`.
        cells: `[B, P, 2]` (x, y), integers of any type inside the map.
        images: `[R, P]` int32, the image of each cell of `[R, P, 2]`; None: row `b`
            lists cells of image `b`.

    Returns:
        `[B, P, ...]`, or `[R, P, ...]`.
    """
    batch, height, width, *rest = ops.shape(features)
    cells = ops.cast(cells, "int32")
    rows = cells[..., 1] * width + cells[..., 0]
    rows = rows + _image_numbers(rows, batch, images) * (height * width)
    values = _take_rows(ops.reshape(features, [batch * height * width, -1]), rows)
    return ops.reshape(values, [*ops.shape(rows), *rest])


def _image_numbers(cells, batch, images=None):
    """The image of each of `cells` `[B, P, ...]`, shaped to broadcast against them."""
    if images is None:
        return ops.reshape(ops.arange(batch), [-1] + [1] * (len(cells.shape) - 1))
    return ops.reshape(images, [*ops.shape(images), *[1] * (len(cells.shape) - 2)])


def sample_per_keypoint(features, points, training=False, images=None):
    """Each keypoint's own features at that keypoint's points, as a sum over points.

    Args:
        features: `[B, H, W, K, C]`.
        points: `[B, P, K, N, 2]` float32 (x, y) in cells; clamped to the border.
        training: whether a gradient will be asked for: see `_sampled`.
        images: of each of the `P` points, see `take_cells`.

    Returns:
        `[B, P, K, C]`: the sum over the `N` points.
    """
    rows, weights = _keypoint_rows(features, points, images)
    batch, cells, keypoints, _, count = ops.shape(rows)
    corner_rows = [batch, cells, keypoints, 4 * count]
    return _sampled(_rows_of(features), rows, weights, corner_rows, training)


def sample_and_sum_keypoints(features, points, training=False):
    """Each keypoint's own features at its points, summed over the keypoints.

    Args:
        features: `[B, H, W, K, C]`.
        points: `[B, P, K, 2]` or, for several points of a keypoint,
            `[B, P, K, N, 2]`, float32 (x, y) in cells; clamped to the border.
        training: whether a gradient will be asked for: see `_sampled`.

    Returns:
        `[B, P, C]`.
    """
    rows, weights = _keypoint_rows(features, points)
    batch, cells, *corner_counts = ops.shape(rows)
    corner_rows = [batch, cells, math.prod(corner_counts)]
    return _sampled(_rows_of(features), rows, weights, corner_rows, training)


def sample_per_point(features, points, training=False):
    """Each keypoint's own features at each of that keypoint's points.

    Args:
        features: `[B, H, W, K, C]`.
        points: `[B, P, K, N, 2]` float32 (x, y) in cells; clamped to the border.
        training: whether a gradient will be asked for: see `_sampled`.

    Returns:
        `[B, P, K, N, C]`.
    """
    batch, height, width, keypoints, _ = ops.shape(features)
    cells, weights = corners(points, height, width)  # [B, P, K, N, 4]
    pixels = cells + _image_numbers(cells, batch) * (height * width)
    rows = pixels * keypoints + ops.reshape(ops.arange(keypoints), [-1, 1, 1])
    # In rows of four axes at most: TFLite multiplies no more.
    *shape, four = ops.shape(rows)
    flat = [batch, math.prod(shape[1:]), four]
    values = _sampled(_rows_of(features), rows, weights, flat, training)
    return ops.reshape(values, [*shape, features.shape[-1]])


def take_per_keypoint(features, cells):
    """Each keypoint's own features at whole cells.

    Args:
        features: `[B, H, W, K, C]`.
        cells: `[B, P, K, N]` int32, row-major numbers of cells of the map.

    Returns:
        `[B, P, K, N, C]`.
    """
    batch, height, width, keypoints, _ = ops.shape(features)
    pixels = cells + _image_numbers(cells, batch) * (height * width)
    rows = pixels * keypoints + ops.reshape(ops.arange(keypoints), [-1, 1])
    return _take_rows(_rows_of(features), rows)


def _sampled(table, rows, weights, shape, training):
    """The weighted sum of rows of `[R, C]` over the last axis of `shape`.

    In training the gradient is a product of TensorFlow's own where there is one: the
    same numbers, a third of the time.
    """
    rows, weights = ops.reshape(rows, shape), ops.reshape(weights, shape)
    if training and sizes_may_vary():  # a TPU has no sparse product
        return _sampled_for_training(table, rows, weights)
    return weighted_sum(_take_rows(table, rows), weights)


def _sampled_for_training(table, rows, weights):
    """`_sampled` with the gradient of a sparse matrix times the table.

    TensorFlow's gradient of a gather adds row after row on one thread, and keeps the
    gathered rows until then; here they are gathered again.
    """
    import tensorflow as tf

    @tf.custom_gradient
    def sampled(table, weights):
        def gradient(upstream):
            count, channels = tf.size(weights), tf.shape(table)[-1]
            outputs = tf.reshape(upstream, [-1, channels])
            each = tf.range(count) // tf.shape(rows)[-1]
            places = tf.transpose(tf.stack([each, tf.reshape(rows, [-1])]))
            to_table = tf.raw_ops.SparseTensorDenseMatMul(
                a_indices=tf.cast(places, tf.int64),
                a_values=tf.cast(tf.reshape(weights, [-1]), tf.float32),
                a_shape=tf.cast([tf.shape(outputs)[0], tf.shape(table)[0]], tf.int64),
                b=tf.cast(outputs, tf.float32),
                adjoint_a=True,
            )
            values = tf.gather(table, rows)
            to_weights = tf.matmul(values, upstream[..., None])[..., 0]
            return tf.cast(to_table, table.dtype), tf.cast(to_weights, weights.dtype)

        return weighted_sum(tf.gather(table, rows), weights), gradient

    return sampled(table, weights)


def weighted_sum(values, weights):
    """`[..., F, C]` and `[..., F]` to `[..., C]`.

    As a product of matrices: on TensorFlow's CPU kernels it trains twice as fast as
    the einsum.
    """
    weights = ops.cast(weights, values.dtype)
    # expand_dims, not an index of None: that exports as a copy of its own.
    return ops.squeeze(ops.matmul(ops.expand_dims(weights, -2), values), -2)


def _rows_of(features):
    return ops.reshape(features, [-1, ops.shape(features)[-1]])


def _keypoint_rows(features, points, images=None):
    """Rows of `[B * H * W * K, C]` around points `[B, P, K, ..., 2]`, and weights.

    The corners' axis is the last but one.
    """
    batch, height, width, keypoints, _ = ops.shape(features)
    cells, weights = corners(points, height, width, axis=-2)
    pixels = cells + _image_numbers(cells, batch, images) * (height * width)
    keypoint = ops.arange(keypoints)
    if len(points.shape) == 5:  # several points of a keypoint: [B, P, K, 4, N]
        keypoint = ops.reshape(keypoint, [-1, 1, 1])
    return pixels * keypoints + keypoint, weights
