"""A generated image, for trying a model without a photo."""

import numpy as np

from qepose_tf.images.decoding import resize_image


def made_image(height: int, width: int, seed: int) -> np.ndarray:
    """Returns an image of discs on a smooth background with noise.

    Args:
        height: The height in pixels.
        width: The width in pixels.
        seed: The seed of the random shapes and noise.

    Returns:
        `[height, width, 3]` uint8.
    """
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 6, 3)).astype(np.uint8)
    smooth = resize_image(coarse, height, width).astype(np.float32)
    y, x = np.mgrid[:height, :width]
    for _ in range(8):
        centre, radius = rng.uniform(0, 1, 2), rng.uniform(0.05, 0.2)
        away = np.hypot(y / height - centre[0], x / width - centre[1])
        smooth[away < radius] = rng.integers(0, 256, 3)
    noisy = smooth + rng.normal(0, 12, smooth.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)
