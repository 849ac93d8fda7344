"""What tests say about points and maps, in terms of the product's own functions."""

import numpy as np
from keras import ops

from qepose_tf.ops.sampling import sample_per_keypoint


def moved(points, matrices):
    """Points `[..., 2]` by affine matrices `[..., 3, 3]` that broadcast."""
    points, matrices = np.asarray(points), np.asarray(matrices)
    linear, shift = matrices[..., :2, :2], matrices[..., :2, 2]
    return (linear @ points[..., None])[..., 0] + shift


def sampled(features, points):
    """`[B, H, W, C]` at points `[B, ..., 2]`: `[B, ..., C]`, as one keypoint's."""
    batch, *shape, _ = ops.shape(points)
    channels = ops.shape(features)[-1]
    one = ops.expand_dims(features, 3)
    flat = ops.reshape(points, [batch, int(np.prod(shape)), 1, 1, 2])
    return ops.reshape(sample_per_keypoint(one, flat), [batch, *shape, channels])
