import dataclasses
import math

import numpy as np
import pytest
import tensorflow as tf

from qepose_tf.data.augment import (
    AugmentSettings,
    Crop,
    choose_view,
    crop_draw,
    random_crop,
    warp_area,
    warp_keypoints,
)
from qepose_tf.data.warp import blend, channel, covered, neighbours, warp_ignore

OFF = AugmentSettings.off()
PERMUTATION = (0, 2, 1)


def crop_of(hw, side, settings=OFF, seed=(0, 0)):
    """A crop of the whole image."""
    view = choose_view(np.zeros(2), hw, np.zeros((0, 3, 3), np.float32), settings)
    return random_crop(crop_draw(tf.constant(seed)).numpy(), view, side, settings)


def warp_image(image, crop, side):
    """The crop `[S, S, 3]` of an image `[H, W, 3]`, and its cover `[S, S, 1]`."""
    four = np.concatenate([image, np.full_like(image[..., :1], 99)], axis=-1)
    packed = blend(*map(tf.constant, neighbours(four, crop, side)))
    pixels = tf.stack([channel(packed, number) for number in range(3)], axis=-1)
    backwards, hw = np.float32(crop.backwards[:2]), np.float32(image.shape[:2])
    return pixels, covered(backwards[None], hw[None], side)[0, ..., None]


def flipping(**changes):
    return dataclasses.replace(OFF, flip=1.0, **changes)


def blob(hw, point, sigma=4.0):
    """A soft spot, whose centre of mass a warp moves as it moves the point."""
    y, x = np.mgrid[: hw[0], : hw[1]]
    distance = (x - point[0]) ** 2 + (y - point[1]) ** 2
    spot = 255 * np.exp(-distance / (2 * sigma**2))
    return np.repeat(spot.round().astype(np.uint8)[..., None], 3, -1)


def centre_of_mass(image):
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    return np.array([(x * image).sum(), (y * image).sum()]) / image.sum()


def keypoint(x, y, v=2.0):
    return np.array([[[x, y, v], [x, y, v], [0.0, 0.0, 0.0]]], np.float32)


def test_nothing_drawn_is_the_image_itself():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    crop = crop_of((64, 64), 64)
    pixels, covered = warp_image(image, crop, 64)
    np.testing.assert_allclose(pixels, image, atol=1e-4)
    np.testing.assert_array_equal(covered, np.ones((64, 64, 1)))
    moved = warp_keypoints(keypoint(3.0, 60.0), crop, PERMUTATION)
    np.testing.assert_array_equal(moved, keypoint(3.0, 60.0))


def test_one_lit_pixel_and_its_keypoint_are_mirrored():
    image = np.zeros((64, 64, 3), np.uint8)
    image[20, 5] = 200
    crop = crop_of((64, 64), 64, flipping())
    pixels, _ = warp_image(image, crop, 64)
    expected = np.zeros((64, 64, 3))
    expected[20, 64 - 1 - 5] = 200
    np.testing.assert_allclose(pixels, expected, atol=1e-4)
    moved = warp_keypoints(keypoint(5.0, 20.0), crop, PERMUTATION)
    # The left eye was labelled; in the mirror it is the right one.
    np.testing.assert_array_equal(moved[0], [[58, 20, 2], [0, 0, 0], [58, 20, 2]])


def test_one_lit_pixel_under_a_quarter_turn():
    image = np.zeros((64, 64, 3), np.uint8)
    image[20, 5] = 200
    centre = 31.5
    turn = np.array([[0.0, -1, 2 * centre], [1, 0, 0], [0, 0, 1]])
    crop = Crop(turn, False)
    pixels, _ = warp_image(image, crop, 64)
    x, y = warp_keypoints(keypoint(5.0, 20.0), crop, PERMUTATION)[0, 0, :2]
    assert (x, y) == (63 - 20, 5)
    assert pixels[5, 43, 0] == 200
    np.testing.assert_allclose(tf.reduce_sum(pixels), 600, rtol=1e-6)


def test_flip_twice_is_identity():
    image = np.random.default_rng(1).integers(0, 256, (32, 32, 3), np.uint8)
    points = np.array([[[1.0, 2, 2], [30, 4, 1], [7, 31, 2]]], np.float32)
    crop = crop_of((32, 32), 32, flipping())
    once, _ = warp_image(image, crop, 32)
    twice, _ = warp_image(once.numpy().astype(np.uint8), crop, 32)
    np.testing.assert_allclose(twice, image, atol=1e-4)
    back = warp_keypoints(warp_keypoints(points, crop, PERMUTATION), crop, PERMUTATION)
    np.testing.assert_allclose(back, points, atol=1e-5)


@pytest.mark.parametrize("hw", [(120, 160), (200, 90)])
def test_lit_spot_and_keypoint_move_together(hw):
    settings = AugmentSettings(flip=0.5, rotation=45.0, scale=(0.8, 1.2), shift=20.0)
    seen = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        point = rng.uniform(0.4, 0.6, 2) * (hw[1], hw[0])
        crop = crop_of(hw, 96, settings, (seed, 7))
        pixels, _ = warp_image(blob(hw, point), crop, 96)
        moved = warp_keypoints(keypoint(*point), crop, PERMUTATION)[0, 0, :2]
        if not (14 < moved.min() and moved.max() < 96 - 15):
            continue  # part of the spot would be cut off
        seen.append(bool(crop.flipped))
        np.testing.assert_allclose(
            centre_of_mass(pixels[..., 0].numpy()), moved, atol=0.05
        )
    assert len(seen) > 20 and {True, False} == set(seen)


def test_size_of_a_spot_scales_with_the_area():
    settings = AugmentSettings(flip=0.5, rotation=30.0, scale=(0.5, 1.0), shift=0.0)
    for seed in range(10):
        crop = crop_of((128, 128), 128, settings, (seed, 0))
        image = blob((128, 128), (63.5, 63.5), sigma=6.0)
        pixels, _ = warp_image(image, crop, 128)
        ratio = pixels[..., 0].numpy().sum() / image[..., 0].sum()
        area = warp_area(np.float32([50.0]), crop)
        np.testing.assert_allclose(area, [50.0 * ratio], rtol=2e-3)


def test_area_of_a_doubled_image_is_four_times_as_large():
    halved = dataclasses.replace(OFF, flip=1.0, rotation=30.0, scale=(0.5, 0.5))
    for seed in range(5):
        crop = crop_of((64, 100), 64, halved, (seed, 1))
        area = warp_area(np.float32([10.0, 0.0]), crop)
        np.testing.assert_allclose(area, [40.0, 0.0], rtol=1e-6)


def test_outside_the_image_is_not_covered():
    image = np.random.default_rng(2).integers(0, 256, (20, 40, 3), np.uint8)
    wide = dataclasses.replace(OFF, scale=(2.0, 2.0))  # content: rows 10 to 29
    pixels, covered = warp_image(image, crop_of((20, 40), 40, wide), 40)
    np.testing.assert_allclose(pixels[10:30], image, atol=1e-3)
    np.testing.assert_array_equal(covered[:, 5, 0], [0] * 10 + [1] * 20 + [0] * 10)


def test_cover_of_a_pixel_is_the_share_inside():
    image = np.full((64, 64, 3), 200, np.uint8)
    moved = np.array([[1.0, 0, 10.25], [0, 1, -7.5], [0, 0, 1]])
    crop = Crop(moved, False)
    _, covered = warp_image(image, crop, 64)
    expected = [0] * 10 + [0.75] + [1] * 53
    np.testing.assert_allclose(covered[20, :, 0], expected, atol=1e-5)
    expected = [1] * 56 + [0.5] + [0] * 7
    np.testing.assert_allclose(covered[:, 40, 0], expected, atol=1e-5)


def test_border_does_not_fade():
    image = np.full((8, 8, 3), 200, np.uint8)
    pixels, covered = warp_image(image, crop_of((8, 8), 64), 64)
    np.testing.assert_allclose(pixels, np.full((64, 64, 3), 200), atol=1e-3)
    np.testing.assert_array_equal(covered, np.ones((64, 64, 1)))


def test_keypoints_outside_the_crop_keep_their_label():
    zoomed = dataclasses.replace(OFF, scale=(0.5, 0.5))
    crop = crop_of((64, 64), 64, zoomed)
    moved = warp_keypoints(keypoint(2.0, 3.0, 1.0), crop, PERMUTATION)
    # 29.5 and 28.5 pixels from the centre 31.5, twice as far afterwards
    np.testing.assert_allclose(moved[0, 0], [-27.5, -25.5, 1.0])
    np.testing.assert_array_equal(moved[0, 2], [0, 0, 0])


def test_no_people():
    crop = crop_of((64, 64), 64, flipping())
    empty = warp_keypoints(np.zeros((0, 3, 3), np.float32), crop, PERMUTATION)
    assert empty.shape == (0, 3, 3)
    assert warp_area(np.zeros(0, np.float32), crop).shape == (0,)


def slow_ignore(mask, hw, crop, side):
    """Cell by cell: where does the cell's pixel stand in the image?"""
    back = np.linalg.inv(crop.matrix)
    height, width = mask.shape
    result = np.ones((side // 4, side // 4), bool)
    for row in range(side // 4):
        for column in range(side // 4):
            x, y, _ = back @ [4 * column, 4 * row, 1]
            if not (-0.5 <= x <= hw[1] - 0.5 and -0.5 <= y <= hw[0] - 0.5):
                continue
            u = np.clip((x + 0.5) * width / hw[1] - 0.5, 0, width - 1)
            v = np.clip((y + 0.5) * height / hw[0] - 0.5, 0, height - 1)
            left, top = math.floor(u), math.floor(v)
            right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
            a, b = u - left, v - top
            upper = (1 - a) * mask[top, left] + a * mask[top, right]
            lower = (1 - a) * mask[bottom, left] + a * mask[bottom, right]
            result[row, column] = (1 - b) * upper + b * lower > 0.5
    return result


def test_ignore_mask_moves_like_the_image():
    hw, side = (80, 120), 64
    mask = np.zeros((20, 30), np.uint8)
    mask[6:12, 8:20] = 1
    settings = AugmentSettings(rotation=40.0, scale=(0.7, 1.5), shift=10.0)
    for seed in range(12):
        crop = crop_of(hw, side, settings, (seed, 3))
        warped = warp_ignore(mask, hw, crop, side)
        expected = slow_ignore(mask, hw, crop, side)
        np.testing.assert_array_equal(warped, expected)
        assert 0.05 < warped.mean() < 1


def test_cell_stands_at_pixel_four_times_its_index():
    mask = np.zeros((64, 64), np.uint8)
    mask[20, 8] = 1  # pixel (8, 20) alone is ignored: cell (2, 5)
    warped = warp_ignore(mask, (64, 64), crop_of((64, 64), 64), 64)
    assert np.argwhere(warped).tolist() == [[5, 2]]
    mirrored = warp_ignore(mask.T[::-1, ::-1], (64, 64), crop_of((64, 64), 64), 64)
    assert not mirrored.any()  # pixel (43, 55) is no cell's


def test_all_outside_is_ignored():
    wide = dataclasses.replace(OFF, scale=(2.0, 2.0))
    mask = np.zeros((8, 16), np.uint8)
    hw = (32, 64)
    warped = warp_ignore(mask, hw, crop_of((32, 64), 64, wide), 64)
    # Pixels 16 to 47 show the image, which is cells 4 to 11.
    expected = np.ones((16, 16))
    expected[4:12] = 0
    np.testing.assert_array_equal(warped, expected)


@pytest.mark.parametrize("hw", [(1, 1), (200, 4000), (4000, 200)])
def test_extreme_shapes(hw):
    image = np.full((*hw, 3), 77, np.uint8)
    crop = crop_of(hw, 64)
    pixels, covered = warp_image(image, crop, 64)
    assert covered[32, 32, 0] == 1 and covered.shape == (64, 64, 1)
    np.testing.assert_allclose(pixels[32, 32], [77, 77, 77], atol=1e-4)
    assert np.isfinite(pixels.numpy()).all()


def test_fine_stripes_do_not_alias():
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::3] = 255  # mean 85
    far = dataclasses.replace(OFF, scale=(1.0, 1.0), rotation=5.0)
    crop = crop_of((256, 256), 64, far, (1, 1))
    pixels, _ = warp_image(stripes, crop, 64)
    np.testing.assert_allclose(pixels[8:-8, 8:-8], 85.0, atol=12)
    spot = blob((256, 256), (100.0, 140.0), sigma=12.0)
    pixels, _ = warp_image(spot, crop, 64)
    moved = warp_keypoints(keypoint(100.0, 140.0), crop, PERMUTATION)
    centre = centre_of_mass(pixels[..., 0].numpy())
    np.testing.assert_allclose(centre, moved[0, 0, :2], atol=0.02)


def test_ranges_are_kept_and_used():
    settings = AugmentSettings(flip=0.25, rotation=30.0, scale=(0.75, 1.5), shift=40.0)
    hw = (100, 140)
    centre = np.array([69.5, 49.5, 1.0])
    rows = []
    for seed in range(400):
        crop = crop_of(hw, 100, settings, (seed, 11))
        matrix = crop.matrix
        scale = 1 / np.sqrt(abs(np.linalg.det(matrix[:2, :2])))
        sign = -1 if crop.flipped else 1
        angle = math.degrees(math.atan2(matrix[1, 0], matrix[1, 1]))
        shift = (matrix @ centre)[:2] - 49.5
        rows.append([sign, scale, angle, *shift])
    sign, scale, angle, *shift = np.array(rows).T
    assert 0.18 < np.mean(sign < 0) < 0.32
    for values, low, high in (
        (scale, 0.75, 1.5),
        (angle, -30, 30),
        (shift[0], -40, 40),
        (shift[1], -40, 40),
    ):
        margin = 0.02 * (high - low)
        assert low <= values.min() < low + margin
        assert high - margin < values.max() <= high


@pytest.mark.parametrize(
    "field, value, expected",
    [
        ("flip", 1.5, "0 to 1"),
        ("saturation", -0.1, "0 to 1"),
        ("rotation", -1.0, "0 or more"),
        ("shift", math.nan, "0 or more"),
        ("scale", (1.5, 0.5), "two rising positive numbers"),
        ("scale", (0.0, 1.0), "two rising positive numbers"),
    ],
)
def test_settings_out_of_range(field, value, expected):
    with pytest.raises(ValueError, match=f"augment: {field}: expected {expected}"):
        AugmentSettings(**{field: value})


@pytest.mark.parametrize("hw", [(37, 53), (300, 170)])
def test_crop_is_as_tensorflow_warps_it(hw):
    """Within half a grey level, and what fixed point makes of steep edges."""
    image = np.random.default_rng(5).integers(0, 256, (*hw, 3), np.uint8)
    for seed in range(6):
        crop = crop_of(hw, 64, AugmentSettings(), (seed, 9))
        if crop.area_ratio < 0.25:
            continue  # made smaller first
        transform = crop.backwards.reshape(1, 9)[:, :8].astype(np.float32)
        expected = tf.raw_ops.ImageProjectiveTransformV3(
            images=image[None].astype(np.float32),
            transforms=transform,
            output_shape=[64, 64],
            interpolation="BILINEAR",
            fill_mode="NEAREST",
            fill_value=0.0,
        )[0]
        pixels, _ = warp_image(image, crop, 64)
        np.testing.assert_allclose(pixels, expected, atol=0.52)


def test_far_places_keep_their_fraction():
    """An image whose places need more than 32 bits."""
    image = np.zeros((2, 40000, 3), np.uint8)
    image[:, 39990] = 200
    moved = np.array([[1.0, 0, 0.25 - 39960], [0, 1, 0], [0, 0, 1]])
    pixels, _ = warp_image(image, Crop(moved, False), 64)
    np.testing.assert_array_equal(pixels[0, 29:33, 0], [0, 150, 50, 0])
