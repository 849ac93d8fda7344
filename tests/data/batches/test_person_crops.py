"""Crops that are laid about one person."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from qepose_tf.data.batches.crop import (
    AugmentSettings,
    choose_view,
    crop_draw,
    random_crop,
    view_draw,
    warp_keypoints,
)
from tests.data.batches.test_crop import blob, centre_of_mass, warp_image
from tests.data.coco_files import image, person
from tests.data.pipelines import MOVED, passes, same, three_images, train, written

HW = (120, 160)
ALWAYS = dataclasses.replace(AugmentSettings.off(), person_crop=1.0)
# Boxes from (20, 30) to (60, 90) and from (100, 10) to (140, 30).
PEOPLE = np.float32(
    [
        [[20, 30, 2], [60, 90, 1], [500, 500, 0]],
        [[100, 10, 2], [140, 30, 2], [110, 20, 2]],
    ]
)
CENTRES, SIDES = [(40, 60), (120, 20)], [60, 40]


def draws(seed):
    seed = tf.constant(seed)
    return crop_draw(seed).numpy(), view_draw(seed).numpy()


def test_a_view_is_a_person_by_the_second_number():
    for first, (which, person_) in ((0.0, (0.0, 0)), (0.99, (0.51, 1))):
        view = choose_view(np.array([first, which]), HW, PEOPLE, ALWAYS)
        np.testing.assert_allclose(view.centre, CENTRES[person_])
        assert view.side == SIDES[person_]
        assert view.scale == ALWAYS.person_scale


def test_a_view_is_a_person_as_often_as_asked_for():
    half = dataclasses.replace(ALWAYS, person_crop=0.5)
    found = [
        choose_view(draws((seed, 0))[1], HW, PEOPLE, half).side for seed in range(400)
    ]
    counts = [found.count(side) for side in (*SIDES, min(HW))]
    assert sum(counts) == 400
    # Four standard deviations of 400 draws.
    assert abs(counts[2] - 200) < 40 and abs(counts[0] - 100) < 35


@pytest.mark.parametrize("people", [PEOPLE, PEOPLE[:0]])
def test_otherwise_the_view_is_the_whole_image(people):
    """Where crops about people are off, and where there is nobody."""
    settings = ALWAYS if not len(people) else AugmentSettings.off()
    view = choose_view(np.array([0.0, 0.5]), HW, people, settings)
    np.testing.assert_array_equal(view.centre, [79.5, 59.5])
    assert view.side == 120 and view.scale == (1.0, 1.0)


def test_one_keypoint_is_not_blown_up():
    alone = np.float32([[[50, 40, 2], [0, 0, 0], [0, 0, 0]]])
    view = choose_view(np.zeros(2), HW, alone, ALWAYS)
    np.testing.assert_array_equal(view.centre, [50, 40])
    assert view.side == 120 / 4
    crop = random_crop(np.full(5, 0.5), view, 64, ALWAYS)
    zoom = np.sqrt(abs(np.linalg.det(crop.matrix[:2, :2])))
    assert zoom <= 64 / (1.1 * 120 / 4)


@pytest.mark.parametrize("flip, rotation", [(0.0, 0.0), (1.0, 0.0), (0.5, 40.0)])
def test_the_centre_of_the_box_is_that_of_the_crop(flip, rotation):
    settings = dataclasses.replace(ALWAYS, flip=flip, rotation=rotation)
    for seed in range(5):
        draw, chosen = draws((seed, 1))
        view = choose_view(chosen, HW, PEOPLE, settings)
        crop = random_crop(draw, view, 64, settings)
        where = crop.matrix @ [*view.centre, 1]
        np.testing.assert_allclose(where[:2], [31.5, 31.5], atol=1e-9)
        zoom = np.sqrt(abs(np.linalg.det(crop.matrix[:2, :2])))
        assert 1.1 - 1e-6 <= 64 / zoom / view.side <= 3.0 + 1e-6


def test_a_lit_spot_and_its_keypoint_move_alike():
    settings = dataclasses.replace(ALWAYS, flip=0.5, rotation=30.0, shift=4.0)
    for seed in range(6):
        draw, chosen = draws((seed, 2))
        view = choose_view(chosen, HW, PEOPLE, settings)
        crop = random_crop(draw, view, 96, settings)
        # One that stays inside the crop whole.
        spot = view.centre + [4, -3]
        point = np.float32([[[*spot, 2]] * 3])
        x, y, _ = warp_keypoints(point, crop, (0, 1, 2))[0, 0]
        pixels, _ = warp_image(blob(HW, spot, sigma=2.0), crop, 96)
        found = centre_of_mass(np.asarray(pixels)[..., 0])
        np.testing.assert_allclose(found, [x, y], atol=0.2)


@pytest.mark.slow
def test_without_them_batches_are_what_they_were(tmp_path):
    """The view has draws of its own: none is taken from the crop's."""
    coco = three_images(tmp_path)
    rarely = dataclasses.replace(MOVED, person_crop=0.0, person_scale=(2.0, 2.5))
    never = passes(train(coco, augment=MOVED))
    for first, second in zip(never, passes(train(coco, augment=rarely)), strict=True):
        assert same(first, second)
    always = dataclasses.replace(MOVED, person_crop=1.0)
    assert not same(never[0], passes(train(coco, augment=always), 1)[0])


def test_batches_about_people(tmp_path):
    """The box's centre is the crop's; nobody, or nobody large, is the whole image."""
    people = [person(1, 1), person(2, 2, area=900.0)]
    coco = written(tmp_path, [image(number) for number in (1, 2, 3)], people)
    settings = dataclasses.replace(ALWAYS, person_scale=(2.0, 2.0))
    (found,) = passes(train(coco, augment=settings, batch_size=3), 1)
    (whole,) = passes(train(coco, batch_size=3), 1)
    images, area, _, keypoints = found
    (row,) = np.flatnonzero(area[:, 0])
    # KEYPOINTS: (20, 30) and (40, 50), 20 pixels across; a crop shows 40 of them.
    expected = [[31.5 - 16, 31.5 - 16], [31.5 + 16, 31.5 + 16]]
    np.testing.assert_allclose(keypoints[row, 0, :2, :2], expected, atol=1e-4)
    others = [number for number in range(3) if number != row]
    for leaf, same_ in zip(
        (images, area, keypoints), (whole[0], *whole[1::2]), strict=True
    ):
        np.testing.assert_array_equal(leaf[others], same_[others])


@pytest.mark.parametrize(
    "field, value, message",
    [
        ("person_crop", 1.5, "person_crop: expected 0 to 1, got 1.5"),
        ("person_scale", (3.0, 1.0), "person_scale: expected two rising positive"),
        ("person_scale", (0.0, 1.0), "person_scale: expected two rising positive"),
    ],
)
def test_ranges_are_checked(field, value, message):
    with pytest.raises(ValueError, match=message):
        AugmentSettings(**{field: value})
