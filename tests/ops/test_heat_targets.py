"""DEKR's heatmap targets against numbers by hand and a slow twin."""

import numpy as np
import pytest

from qepose_tf.ops.heat_targets import gaussian_maps, heat_targets, window_offsets
from tests.backends import everywhere
from tests.ops.test_targets import MAP_HW, random_people


def twin(points, present, map_hw, sigma):
    """HRNet/DEKR's generator as it is described: person by person, cell by cell."""
    height, width = map_hw
    maps = np.zeros([len(points), height, width, points.shape[2]], np.float32)
    reach = int(np.ceil(3 * sigma)) + 1
    for b, m, c in np.argwhere(present):
        x, y = points[b, m, c].astype(np.float64)
        left, top = int(np.floor(x)) - reach, int(np.floor(y)) - reach
        for row in range(max(top, 0), min(top + 2 * reach + 1, height)):
            for column in range(max(left, 0), min(left + 2 * reach + 1, width)):
                value = np.exp(-((column - x) ** 2 + (row - y) ** 2) / (2 * sigma**2))
                maps[b, row, column, c] = max(maps[b, row, column, c], value)
    return maps


@pytest.mark.parametrize(("sigma", "cells"), [(2.0, 15**2), (4.0, 27**2), (0.5, 7**2)])
def test_a_window_reaches_a_cell_beyond_three_sigma(sigma, cells):
    offsets = window_offsets(sigma)
    assert len(np.unique(offsets, axis=0)) == len(offsets) == cells


def test_one_point_by_hand():
    points = np.float32([[[[5.0, 4.0]]]])
    present = np.ones((1, 1, 1), bool)
    (heat,) = everywhere(lambda p, t: gaussian_maps(p, t, MAP_HW, 1.0), points, present)
    assert heat.shape == (*MAP_HW, 1)
    assert heat[4, 5, 0] == 1
    assert heat[4, 6, 0] == pytest.approx(np.exp(-0.5))
    assert heat[2, 5, 0] == pytest.approx(np.exp(-2.0))
    # The window reaches four cells: rows 0 to 8, columns 1 to 9.
    assert (heat > 0).sum() == 9 * 9
    assert heat[:, 0].max() == heat[:, 10:].max() == heat[9:].max() == 0


def test_the_higher_of_two_people_counts():
    points = np.float32([[[[4.0, 4.0]], [[7.0, 4.0]]]])
    present = np.ones((1, 2, 1), bool)
    (heat,) = everywhere(lambda p, t: gaussian_maps(p, t, MAP_HW, 2.0), points, present)
    assert heat[4, 4, 0] == heat[4, 7, 0] == 1
    assert heat[4, 5, 0] == heat[4, 6, 0] == pytest.approx(np.exp(-1 / 8))


@pytest.mark.parametrize("sigma", [1.0, 2.0, 4.0])
def test_random_points_as_the_twin(sigma):
    rng = np.random.default_rng(1)
    points = rng.uniform(-6, 22, (3, 4, 5, 2)).astype("float32")
    present = rng.random((3, 4, 5)) > 0.3
    points[~present] = np.nan
    heat = everywhere(lambda p, t: gaussian_maps(p, t, MAP_HW, sigma), points, present)
    np.testing.assert_allclose(heat, twin(points, present, MAP_HW, sigma), atol=1e-5)


def test_people_as_the_twin():
    keypoints, area = random_people()
    keypoints[area == 0] = np.nan
    centre, heat = everywhere(
        lambda k, a: heat_targets(k, a, MAP_HW, 2.0, 4.0), keypoints, area
    )
    x, y, v = np.moveaxis(keypoints, -1, 0)
    inside = (x >= 0) & (x <= 63) & (y >= 0) & (y <= 47) & (v > 0)
    labelled = inside & (area > 0)[..., None]
    cells = keypoints[..., :2] / 4
    np.testing.assert_allclose(heat, twin(cells, labelled, MAP_HW, 2.0), atol=1e-5)
    count = labelled.sum(-1, keepdims=True)
    mean = np.where(labelled[..., None], cells, 0).sum(-2) / np.maximum(count, 1)
    expected = twin(mean[:, :, None], count > 0, MAP_HW, 4.0)
    np.testing.assert_allclose(centre, expected, atol=1e-5)


def test_a_batch_without_people_has_no_heat():
    for people in (0, 2):
        keypoints = np.full((2, people, 3, 3), np.nan, np.float32)
        area = np.zeros((2, people), np.float32)
        centre, heat = everywhere(
            lambda k, a: heat_targets(k, a, MAP_HW), keypoints, area
        )
        assert centre.shape == (2, *MAP_HW, 1) and heat.shape == (2, *MAP_HW, 3)
        assert centre.max() == heat.max() == 0
