import numpy as np
import pytest

from qepose_tf.images.decoding import resize_image
from qepose_tf.images.letterbox import (
    capped_short_side,
    fit_inside,
    letterbox,
    original_points,
)
from tests.data.pipelines import MEAN


@pytest.mark.parametrize("size", [(100, 80), (333, 500), (41, 640), (64, 64)])
def test_round_trip_from_network_to_original_pixels(size):
    width, height = size
    y, x = np.mgrid[:height, :width]
    point = np.array([0.4 * width, 0.6 * height])
    spread = 2 * (min(size) / 12) ** 2
    spot = 255 * np.exp(-((x - point[0]) ** 2 + (y - point[1]) ** 2) / spread)
    pixels = np.repeat(spot.round().astype(np.uint8)[..., None], 3, -1)
    content, scale = letterbox(pixels, 128, np.zeros(3))
    assert content.shape[0] % 64 == content.shape[1] % 64 == 0
    rows, columns = np.mgrid[: content.shape[0], : content.shape[1]]
    weight = content[..., 0] / content[..., 0].sum()
    found = np.array([(columns * weight).sum(), (rows * weight).sum()])
    np.testing.assert_allclose(original_points(found, scale), point, atol=0.1)
    there = (point + 0.5) * scale - 0.5
    np.testing.assert_allclose(original_points(there, scale), point, rtol=1e-5)


def test_letterbox_pads_with_the_given_colour():
    content, scale = letterbox(np.full((30, 50, 3), 255, np.uint8), 60, MEAN)
    assert content.shape == (64, 128, 3) and content.dtype == np.float32
    np.testing.assert_array_equal(scale, [2, 2])
    np.testing.assert_array_equal(content[60:], np.broadcast_to(MEAN, (4, 128, 3)))
    np.testing.assert_array_equal(content[:, 100:], np.broadcast_to(MEAN, (64, 28, 3)))
    assert (content[:60, :100] == 255).all()


@pytest.mark.parametrize(
    ("hw", "side"),
    [((480, 640), 512), ((100, 400), 512), ((400, 100), 512), ((100, 800), 256)],
)
def test_a_strip_keeps_to_four_to_one(hw, side):
    assert capped_short_side(*hw, 512) == side
    assert capped_short_side(1, 100_000, 512) == 1


@pytest.mark.parametrize(
    ("hw", "resized"),
    [
        ((64, 96), (64, 96)),
        ((200, 96), (64, 31)),
        ((10, 300), (3, 96)),
        ((1, 1), (64, 64)),
    ],
)
def test_fit_inside_keeps_the_aspect_and_fills_the_rest(hw, resized):
    image = np.random.default_rng(0).integers(0, 255, (*hw, 3)).astype(np.uint8)
    frame, scale = fit_inside(image, 64, 96, (9, 8, 7))
    assert frame.shape == (64, 96, 3) and frame.dtype == np.uint8
    np.testing.assert_allclose(scale, np.divide(resized, hw)[::-1], rtol=1e-6)
    content = frame[: resized[0], : resized[1]]
    np.testing.assert_array_equal(content, resize_image(image, *resized))
    outside = np.ones((64, 96), bool)
    outside[: resized[0], : resized[1]] = False
    assert (frame[outside] == (9, 8, 7)).all()
    far_edge = original_points(np.array(resized[::-1]) - 0.5, scale)
    np.testing.assert_allclose(far_edge, np.array(hw[::-1]) - 0.5, rtol=1e-5)
