"""Random brightness, contrast and saturation of whole batches."""

import tensorflow as tf

from qepose_tf.data.augment import AugmentSettings

_VALUE_RANGE = (0.0, 255.0)


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


class ColourJitter:
    """Recolours batches with keras-cv's layers, by factors drawn elsewhere.

    The layers' own random numbers are stateful: inside tf.data the same seed gives
    another epoch each time. So the factors are passed to their `augment_images`.
    """

    def __init__(self) -> None:
        # Takes seconds to import, and prediction does without it.
        from keras_cv import layers

        self._brightness = layers.RandomBrightness(1.0, value_range=_VALUE_RANGE)
        self._contrast = layers.RandomContrast(_VALUE_RANGE, 1.0)
        self._saturation = layers.RandomSaturation(1.0)

    def __call__(self, images: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
        """Recolours images.

        Args:
            images: `[B, H, W, 3]` float32 of 0 to 255.
            factors: `[B, 3]` from `colour_factors`.

        Returns:
            `[B, H, W, 3]` float32, still of 0 to 255.
        """
        brightness, contrast, saturation = tf.unstack(factors, axis=-1)
        images = self._brightness.augment_images(
            images=images,
            transformations=brightness[:, None, None, None] * _VALUE_RANGE[1],
        )
        images = self._contrast.augment_images(
            images=images, transformations=contrast[:, None, None, None]
        )
        # keras-cv takes x for a factor of x / (1 - x).
        return self._saturation.augment_images(
            images=images, transformations=saturation / (1.0 + saturation)
        )
