import cv2
import numpy as np

from qepose_tf.data.batches.crop import AugmentSettings, View, random_crop
from qepose_tf.data.batches.warp import warp_image


def test_planes_are_those_of_a_warp_of_three_channels():
    rng = np.random.default_rng(0)
    for seed in range(8):
        image = rng.integers(0, 256, (*rng.integers(40, 120, 2), 3), np.uint8)
        view = View(np.array(image.shape[1::-1]) / 2, min(image.shape[:2]), (0.5, 1.5))
        crop = random_crop(rng.random(5), view, 96, AugmentSettings())
        expected = cv2.warpAffine(
            image,
            crop.backwards[:2],
            (96, 96),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        planes = warp_image(image, crop, 96)
        assert planes.flags.c_contiguous, seed
        difference = planes.transpose(1, 2, 0).astype(int) - expected
        # Places are counted from the part of the image that is in sight.
        assert np.abs(difference).max() <= 1, seed
