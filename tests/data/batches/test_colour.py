import numpy as np
import pytest
import tensorflow as tf

from qepose_tf.data.batches.colour import colour_factors, finished_pixels, recolour
from qepose_tf.data.batches.crop import AugmentSettings


def recoloured(images, factors):
    """`recolour` on images `[B, H, W, 3]`."""
    return tf.stack(recolour(tf.unstack(images, axis=-1), factors), axis=-1)


def batch(*colours):
    return tf.constant(np.array(colours, np.float32)[:, None, None].repeat(2, 2))


def test_factors_of_one_change_nothing():
    images = tf.random.stateless_uniform([2, 8, 8, 3], (1, 2), 0, 255)
    factors = tf.constant([[0.0, 1.0, 1.0]] * 2)
    np.testing.assert_allclose(recoloured(images, factors), images, atol=1e-3)


def test_brightness_and_saturation_by_hand():
    images = batch([100, 100, 60], [100, 100, 60], [250, 10, 100])
    factors = tf.constant([[0.1, 1, 1], [0, 1, 0.5], [0.4, 1, 1]])
    found = recoloured(images, factors).numpy()[:, 0, 0]
    np.testing.assert_allclose(found[0], [125.5, 125.5, 85.5], atol=1e-3)
    # In HSV the value stays 100, the saturation falls from 0.4 to 0.2.
    np.testing.assert_allclose(found[1], [100, 100, 80], atol=1e-3)
    np.testing.assert_allclose(found[2], [255, 112, 202], atol=1e-3)


def test_contrast_by_hand():
    images = tf.constant([[[[100.0] * 3, [200.0] * 3]]])
    more = recoloured(images, tf.constant([[0.0, 1.4, 1.0]]))
    np.testing.assert_allclose(more[0, 0, :, 0], [80, 220], atol=1e-3)


def test_colours_stay_in_range_and_follow_the_seed():
    settings = AugmentSettings(brightness=1.0, contrast=1.0, saturation=1.0)
    seeds = [tf.constant((number, 5)) for number in range(16)]
    factors = tf.stack([colour_factors(seed, settings) for seed in seeds])
    images = tf.random.stateless_uniform([16, 8, 8, 3], (1, 2), 0, 255)
    found = recoloured(images, factors)
    assert 0 <= tf.reduce_min(found) and tf.reduce_max(found) <= 255
    again = tf.stack([colour_factors(seed, settings) for seed in seeds])
    np.testing.assert_array_equal(factors, again)
    assert len(np.unique(factors)) == 48
    limited = colour_factors(seeds[3], AugmentSettings())
    np.testing.assert_allclose(
        limited, (factors[3] - [0, 1, 1]) * 0.4 + [0, 1, 1], rtol=1e-5
    )


def by_keras_cv(images, factors):
    from keras_cv import layers

    brightness, contrast, saturation = tf.unstack(factors, axis=-1)
    images = layers.RandomBrightness(1.0, value_range=(0, 255)).augment_images(
        images=images, transformations=brightness[:, None, None, None] * 255
    )
    images = layers.RandomContrast((0, 255), 1.0).augment_images(
        images=images, transformations=contrast[:, None, None, None]
    )
    # keras-cv takes x for a factor of x / (1 - x).
    return layers.RandomSaturation(1.0).augment_images(
        images=images, transformations=saturation / (1 + saturation)
    )


@pytest.mark.slow
def test_colours_are_keras_cvs():
    """Compiled and not, within a hundredth of a grey level."""
    rng = np.random.default_rng(3)
    images = rng.integers(0, 256, (6, 16, 16, 3), np.uint8)
    images[0, 0], images[0, 1] = 0, 255  # black and white have no hue
    seeds = [tf.constant((number, 8)) for number in range(6)]
    settings = AugmentSettings(brightness=1.0, contrast=1.0, saturation=1.0)
    factors = tf.stack([colour_factors(seed, settings) for seed in seeds])
    expected = by_keras_cv(tf.constant(images, tf.float32), factors)
    cover = rng.random((6, 16, 16)).astype(np.float32)
    fill = np.array([120.0, 110, 100])
    blended = (expected - fill) * cover[..., None] + fill
    for compiled in (False, True):
        run = tf.function(
            lambda *given: finished_pixels(*given, fill),
            jit_compile=compiled,
            autograph=False,
        )
        found = run(images.transpose(0, 3, 1, 2), factors, cover)
        np.testing.assert_allclose(found, blended, atol=0.01)
    plain = finished_pixels(
        tf.constant(images.transpose(0, 3, 1, 2)), None, cover, fill
    )
    np.testing.assert_allclose(
        plain, (images - fill) * cover[..., None] + fill, atol=1e-4
    )
