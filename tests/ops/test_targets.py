import numpy as np
import pytest

from qepose_tf.ops.targets import (
    centres,
    disc_cells,
    disc_offsets,
    keypoints_inside,
    scatter_to_map,
)
from tests.backends import everywhere

MAP_HW = (12, 16)  # of an input of 48 x 64 pixels


def random_people(images=2, people=5, keypoints=17, seed=0):
    """Keypoints in pixels, some outside the crop or unlabelled; some people padding."""
    rng = np.random.default_rng(seed)
    middle = rng.uniform([0, 0], [64, 48], (images, people, 1, 2))
    points = middle + rng.normal(0, 12, (images, people, keypoints, 2))
    seen = rng.integers(0, 3, (images, people, keypoints, 1))
    area = rng.uniform(50, 3000, (images, people)) * (
        rng.random((images, people)) > 0.3
    )
    return np.concatenate([points, seen], -1).astype("float32"), area.astype("float32")


@pytest.mark.parametrize(
    "radius, count", [(4, 45), (1, 1), (1.5, 9), (2, 9), (3, 25), (0.5, 1)]
)
def test_cells_of_a_disc(radius, count):
    offsets = disc_offsets(radius)
    assert len(np.unique(offsets, axis=0)) == len(offsets) == count
    assert (np.hypot(*offsets.T) < radius).all()
    np.testing.assert_array_equal(offsets.sum(0), [0, 0])


def test_keypoints_inside_are_counted_in_cells():
    keypoints = np.float32(
        [
            [0, 0, 2],
            [63, 47, 1],  # the last pixel
            [63.5, 20, 2],  # beyond the last pixel's centre
            [20, -0.5, 2],
            [8, 4, 0],
            [np.nan, 4, 2],
        ]
    )[None, None]
    inside = everywhere(lambda k: keypoints_inside(k, MAP_HW), keypoints)[0, 0]
    np.testing.assert_array_equal(inside[:, 2], [1, 1, 0, 0, 0, 0])
    np.testing.assert_array_equal(
        inside[[0, 1, 4], :2], [[0, 0], [15.75, 11.75], [2, 1]]
    )


def centres_of(keypoints, area):
    return everywhere(lambda k, a: centres(k, a, MAP_HW), keypoints, area)


def test_the_centre_is_the_mean_of_what_is_labelled_inside():
    people = np.float32(
        [
            # Mean x (4 + 16) / 2 = 10 px = 2.5 cells, rounded up; y 8 px = 2 cells.
            [[4, 8, 2], [16, 8, 1], [40, 40, 0]],
            # The second keypoint lies outside: the first alone is the mean.
            [[20, 24, 2], [200, 24, 2], [np.nan, np.nan, 0]],
            [[20, 24, 0], [24, 24, 0], [28, 24, 0]],  # nothing labelled
            [[20, 24, 2], [24, 24, 2], [28, 24, 2]],  # padding, by its area
        ]
    )[None]
    cells, valid = centres_of(people, np.float32([[100, 100, 100, 0]]))
    np.testing.assert_array_equal(cells[0, [0, 1, 3]], [[3, 2], [5, 6], [6, 6]])
    np.testing.assert_array_equal(valid, [[True, True, False, False]])


def test_random_centres_equal_their_twin():
    people, area = random_people()
    cells, valid = centres_of(people, area)
    assert cells.dtype == np.int32
    for image, person in np.ndindex(area.shape):
        inside = [
            (x / 4, y / 4)
            for x, y, seen in people[image, person]
            if seen > 0 and 0 <= x <= 63 and 0 <= y <= 47
        ]
        assert valid[image, person] == bool(inside and area[image, person] > 0)
        if inside:
            expected = np.floor(np.mean(inside, axis=0) + 0.5)
            np.testing.assert_array_equal(cells[image, person], expected)


def test_nobody_has_no_centre():
    cells, valid = centres_of(
        np.zeros((2, 0, 17, 3), "float32"), np.zeros((2, 0), "float32")
    )
    assert cells.shape == (2, 0, 2) and valid.shape == (2, 0)


def test_a_whole_disc_has_45_cells_and_a_corner_fewer():
    assert disc_offsets(4.0).shape == (45, 2)
    area, valid = np.float32([[100]]), np.array([[True]])
    _, whole = disc_cells(np.int32([[[8, 6]]]), valid, area, MAP_HW, 4.0)
    assert np.asarray(whole).sum() == 45
    # A quarter of the disc, its two axes included: (45 + 2 * 7 + 1) / 4 = 15.
    _, corner = disc_cells(np.int32([[[0, 0]]]), valid, area, MAP_HW, 4.0)
    assert np.asarray(corner).sum() == 15


def cells_of(disc_centres, valid, area, radius=4.0):
    return everywhere(
        lambda c, v, a: disc_cells(c, v, a, MAP_HW, radius),
        np.int32(disc_centres),
        np.array(valid),
        np.float32(area),
    )


def owners_of(disc_centres, valid, area):
    """A map of the number of the person who owns the cell, -1 for none."""
    cells, owned = cells_of(disc_centres, valid, area)
    batch, people, _ = owned.shape
    owners = np.full((batch, *MAP_HW), -1)
    for image, person in np.ndindex(batch, people):
        for x, y in cells[image, person][owned[image, person] > 0]:
            assert owners[image, y, x] == -1, "two owners"
            owners[image, y, x] = person
    return owners


def test_one_disc_is_all_owned():
    cells, owned = cells_of([[[8, 6]]], [[True]], [[100]])
    assert cells.shape == (1, 1, 45, 2) and owned.shape == (1, 1, 45)
    np.testing.assert_array_equal(owned, 1.0)
    np.testing.assert_array_equal(cells[0, 0], disc_offsets(4) + [8, 6])


def test_the_smaller_person_owns_the_overlap():
    owners = owners_of([[[6, 6], [8, 6]]], [[True, True]], [[400, 100]])[0]
    # Row 6: the first spans x 3 to 9, the second 5 to 11, which owns all it covers.
    np.testing.assert_array_equal(owners[6, 2:13], [-1, 0, 0] + [1] * 7 + [-1])
    assert (owners == 1).sum() == 45


def test_of_equal_areas_the_first_owns_the_overlap():
    owners = owners_of([[[6, 6], [8, 6]]], [[True, True]], [[100, 100]])[0]
    np.testing.assert_array_equal(owners[6, 2:13], [-1] + [0] * 7 + [1, 1, -1])


def test_people_who_are_not_valid_own_and_take_nothing():
    owners = owners_of([[[6, 6], [8, 6]]], [[True, False]], [[400, 0]])[0]
    assert (owners == 0).sum() == 45 and (owners == 1).sum() == 0


def test_cells_outside_the_map_are_clamped_and_not_owned():
    cells, owned = cells_of([[[0, 0], [16, 12]]], [[True, True]], [[100, 100]])
    assert owned[0, 0].sum() == 15
    assert cells.min() == 0 and cells[..., 0].max() == 15 and cells[..., 1].max() == 11
    # A centre one cell beyond the corner still owns what its disc covers of the map:
    # of dx, dy in {-3, -2, -1} all but (-3, -3), as 9 + 9 > 16 > 9 + 4.
    assert owned[0, 1].sum() == 8


def test_random_owners_equal_their_twin():
    people, area = random_people(images=3, people=6, seed=1)
    area[0, 2] = area[0, 1]
    disc_centres, valid = centres_of(people, area)
    owners = owners_of(disc_centres, valid, area)
    for image, y, x in np.ndindex(owners.shape):
        covering = [
            (area[image, person], person)
            for person, (cx, cy) in enumerate(disc_centres[image])
            if valid[image, person] and (x - cx) ** 2 + (y - cy) ** 2 < 16
        ]
        assert owners[image, y, x] == (min(covering)[1] if covering else -1)


def test_nobody_owns_nothing():
    cells, owned = cells_of(
        np.zeros((2, 0, 2)), np.zeros((2, 0), bool), np.zeros((2, 0))
    )
    assert cells.shape == (2, 0, 45, 2) and owned.shape == (2, 0, 45)


def scattered_to_two(values, images, cells):
    return scatter_to_map(values, images, cells, (2, *MAP_HW))


def test_scatter_to_map_equals_its_twin():
    rng = np.random.default_rng(0)
    cells = rng.integers(0, [16, 12], (2, 200, 2)).astype("int32")
    values = rng.normal(size=(2, 200)).astype("float32")
    images = rng.integers(0, 2, (2, 200)).astype("int32")
    scattered = everywhere(scattered_to_two, values, images, cells)
    expected = np.zeros((2, *MAP_HW, 1))
    for image, place in np.ndindex(2, 200):
        x, y = cells[image, place]
        expected[images[image, place], y, x, 0] += values[image, place]
    np.testing.assert_allclose(scattered, expected, atol=1e-5)


def test_scatter_nothing():
    scattered = everywhere(
        scattered_to_two,
        np.zeros((2, 0), "float32"),
        np.zeros((2, 0), "int32"),
        np.zeros((2, 0, 2), "int32"),
    )
    np.testing.assert_array_equal(scattered, np.zeros((2, *MAP_HW, 1)))
