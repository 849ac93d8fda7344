"""Enlarging maps by a whole factor."""

import keras
from keras import ops


def upsample(maps, factor: int, interpolation: str):
    """One resize operation, also where height and width are unknown.

    Args:
        maps: `[B, H, W, C]`.
        factor: how many times larger both sides become.
        interpolation: `nearest` or `bilinear` (half-pixel centres).

    Returns:
        `[B, factor * H, factor * W, C]` in the maps' type.
    """
    height, width = ops.shape(maps)[1:3]
    size = (height * factor, width * factor)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # keras.ops.image.resize compares the size with 0, which a graph can't.
        resized = tf.image.resize(maps, size, method=interpolation)
    else:
        resized = ops.image.resize(maps, size, interpolation=interpolation)
    return ops.cast(resized, maps.dtype)
