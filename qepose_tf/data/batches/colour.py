"""Random brightness, contrast and saturation of whole batches."""

import numpy as np
import tensorflow as tf

from qepose_tf.data.batches.crop import AugmentSettings


def colour_factors(seed: tf.Tensor, settings: AugmentSettings) -> tf.Tensor:
    """Draws one image's change of colour.

    Args:
        seed: `[2]` int; the same seed draws the same factors.
        settings: The ranges.

    Returns:
        `[3]` float32: the share of the value range that is added, the contrast's
        factor and the saturation's factor.
    """
    strength = [settings.brightness, settings.contrast, settings.saturation]
    draw = tf.random.stateless_uniform([3], seed, -1.0, 1.0)
    return draw * tf.constant(strength, tf.float32) + tf.constant([0.0, 1.0, 1.0])


def recolour(channels: list[tf.Tensor], factors: tf.Tensor) -> list[tf.Tensor]:
    """Recolours images, in keras-cv's order and with the meaning of its layers.

    Brightness is added; contrast is the distance from the channel's mean over the
    image; saturation is that of HSV, whose hue and value stay. Each is clipped.

    Args:
        channels: Red, green and blue `[B, H, W]` float32 of 0 to 255.
        factors: `[B, 3]` from `colour_factors`.

    Returns:
        The three channels, still of 0 to 255.
    """
    brightness, contrast, saturation = tf.unstack(
        tf.reshape(factors, [-1, 3, 1, 1]), num=3, axis=1
    )
    bright = [_clip(values + 255.0 * brightness) for values in channels]
    means = [_mean(values) for values in bright]
    red, green, blue = contrasted = [
        _clip(tf.subtract(values, mean) * contrast + mean)
        for values, mean in zip(bright, means, strict=True)
    ]
    # HSV's value is the largest channel, its saturation (value - least) / value: the
    # distances from the value grow by one factor, up to a saturation of 1.
    value = tf.maximum(tf.maximum(red, green), blue)
    least = tf.minimum(tf.minimum(red, green), blue)
    full = value / tf.maximum(value - least, 1e-6)
    factor = tf.minimum(saturation, full)
    # Rounding may lead below 0, never above the value.
    return [tf.maximum(value - (value - v) * factor, 0.0) for v in contrasted]


def finished_pixels(
    pixels: tf.Tensor, factors: tf.Tensor | None, cover: tf.Tensor, fill: np.ndarray
) -> tf.Tensor:
    """Crops as the network takes them.

    Args:
        pixels: `[B, 3, S, S]` uint8 of `warp.warp_image`.
        factors: `[B, 3]` from `colour_factors`; None leaves the colours.
        cover: `[B, S, S]` of `warp.covered`.
        fill: `[3]`, RGB of what lies outside of the images, whatever their colours.

    Returns:
        `[B, S, S, 3]` float32 in 0..255.
    """
    channels = tf.unstack(tf.cast(pixels, tf.float32), axis=1)
    outsides = np.asarray(fill, np.float32)
    if factors is not None:
        channels = recolour(channels, factors)
    return tf.stack(
        [
            (values - outside) * cover + outside
            for values, outside in zip(channels, outsides, strict=True)
        ],
        axis=-1,
    )


def _clip(values: tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value(values, 0.0, 255.0)


def _mean(values: tf.Tensor) -> tf.Tensor:
    """Of each image, `[B, 1, 1]`.

    Row sums as a product: XLA adds up a whole image one by one, which is slow and
    inexact.
    """
    height, width = values.shape[1:]
    rows = tf.linalg.matvec(values, tf.ones([width]) / width)
    return (tf.reduce_sum(rows, axis=1) / height)[:, None, None]
