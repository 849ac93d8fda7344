import keras
import numpy as np
import pytest
from keras import ops

from qepose_tf.ops.sampling import (
    corners,
    sample_and_sum_keypoints,
    sample_per_keypoint,
    take_cells,
)
from tests.backends import everywhere, to_numpy, value_and_gradients
from tests.points import sampled


def sample_twin(feature_map, point):
    """Bilinear value of `[H, W, C]` at (x, y), the border continued outside."""
    height, width, _ = feature_map.shape
    x = min(max(float(point[0]), 0.0), width - 1.0)
    y = min(max(float(point[1]), 0.0), height - 1.0)
    left, top = int(np.floor(x)), int(np.floor(y))
    value = np.zeros(feature_map.shape[-1])
    for row, row_weight in ((top, 1 - (y - top)), (top + 1, y - top)):
        for column, weight in ((left, 1 - (x - left)), (left + 1, x - left)):
            inside = feature_map[min(row, height - 1), min(column, width - 1)]
            value += row_weight * weight * inside
    return value


def random_maps(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def random_points(*shape, height, width, seed=1):
    """Points up to three cells outside the map."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(-3, [width + 3, height + 3], size=(*shape, 2))
    return points.astype("float32")


@pytest.mark.parametrize(
    "point, expected",
    [
        ((0, 0), 0.0),
        ((1, 0), 1.0),
        ((0, 1), 2.0),
        ((0.5, 0.5), 1.5),
        ((0.25, 0), 0.25),
        ((0.25, 0.75), 1.75),  # 0.25 * (0 + 2 * 0.75 + ...): 0.25 + 2 * 0.75
        ((-5, -5), 0.0),
        ((9, 9), 3.0),
        ((9, 0.5), 2.0),  # halfway down the right border: (1 + 3) / 2
    ],
)
def test_a_map_of_four_cells(point, expected):
    features = np.float32([[0, 1], [2, 3]]).reshape(1, 2, 2, 1)
    points = np.float32([[point]])
    value = everywhere(sampled, features, points)
    np.testing.assert_allclose(value, [[[expected]]], atol=1e-6)


def test_samples_equal_their_twin():
    features = random_maps(2, 5, 7, 3)
    points = random_points(2, 11, 4, height=5, width=7)
    values = everywhere(sampled, features, points)
    assert values.shape == (2, 11, 4, 3)
    for index in np.ndindex(2, 11, 4):
        expected = sample_twin(features[index[0]], points[index])
        np.testing.assert_allclose(values[index], expected, atol=1e-5)


def test_a_lit_cell_is_read_back_at_its_own_point():
    features = np.zeros((1, 6, 9, 1), "float32")
    features[0, 4, 7] = 1.0
    points = np.float32([[[7, 4], [4, 7], [7.5, 4]]])
    values = to_numpy(sampled(features, points))[0, :, 0]
    np.testing.assert_array_equal(values, [1.0, 0.0, 0.5])


def test_a_map_of_one_cell_is_the_same_everywhere():
    features = random_maps(2, 1, 1, 3)
    values = to_numpy(sampled(features, np.float32([[[5, -2]], [[0, 0.5]]])))
    np.testing.assert_array_equal(values, features[:, 0])


def test_corner_weights_sum_to_one():
    points = random_points(50, height=5, width=7)
    cells, weights = everywhere(lambda points: corners(points, 5, 7), points)
    np.testing.assert_allclose(weights.sum(-1), 1.0, atol=1e-6)
    assert weights.min() >= 0 and cells.min() >= 0 and cells.max() < 35


def test_nothing_to_sample():
    maps, points = np.zeros((2, 4, 4, 3), "float32"), np.zeros((2, 0, 2), "float32")
    assert everywhere(sampled, maps, points).shape == (2, 0, 3)


def test_a_point_that_is_no_number_harms_no_other():
    features = random_maps(1, 5, 7, 2)
    points = np.float32([[[1, 2], [np.nan, 2], [np.inf, -np.inf], [3, 4]]])
    values = everywhere(
        lambda maps, at: ops.nan_to_num(sampled(maps, at)), features, points
    )[0]
    np.testing.assert_array_equal(values[0], features[0, 2, 1])
    np.testing.assert_array_equal(values[2], features[0, 0, 6])
    np.testing.assert_array_equal(values[3], features[0, 4, 3])


def test_values_keep_the_type_of_the_features():
    features = ops.cast(random_maps(1, 4, 4, 2), "bfloat16")
    values = sampled(features, np.float32([[[1.5, 2.0]]]))
    assert keras.backend.standardize_dtype(values.dtype) == "bfloat16"


def test_gradients_equal_finite_differences():
    """Within a cell the sample is linear in x and in y, so differences are exact."""
    rng = np.random.default_rng(2)
    maps = random_maps(2, 4, 5, 3)
    whole = rng.integers(0, [4, 3], size=(2, 6, 2))
    points = (whole + rng.uniform(0.2, 0.8, size=(2, 6, 2))).astype("float32")
    upstream = random_maps(2, 6, 3, seed=3)
    variables = [keras.Variable(maps), keras.Variable(points)]

    def total():
        features, at = (variable.value for variable in variables)
        return ops.sum(sampled(features, at) * upstream)

    def total_twin(maps, points):
        return sum(
            sample_twin(maps[i], points[i, j]) @ upstream[i, j]
            for i, j in np.ndindex(2, 6)
        )

    _, gradients = value_and_gradients(total, variables)
    arrays = [maps.astype("float64"), points.astype("float64")]
    for number, gradient in enumerate(gradients):
        for index in np.ndindex(gradient.shape):
            above, below = ([a.copy() for a in arrays] for _ in range(2))
            above[number][index] += 0.1
            below[number][index] -= 0.1
            slope = (total_twin(*above) - total_twin(*below)) / 0.2
            np.testing.assert_allclose(gradient[index], slope, atol=1e-5)


def test_a_point_outside_has_no_gradient():
    point = keras.Variable(np.float32([[[-2.0, 9.0]]]))
    features = random_maps(1, 4, 4, 1)
    _, (gradient,) = value_and_gradients(
        lambda: ops.sum(sampled(features, point.value)),
        [point],
    )
    np.testing.assert_array_equal(gradient, 0.0)


@pytest.mark.parametrize("tail", [(3,), (3, 2)])
def test_take_cells(tail):
    features = random_maps(2, 5, 7, *tail)
    cells = np.random.default_rng(4).integers(0, [7, 5], size=(2, 9, 2))
    taken = everywhere(take_cells, features, cells.astype("int32"))
    for image, place in np.ndindex(2, 9):
        x, y = cells[image, place]
        np.testing.assert_array_equal(taken[image, place], features[image, y, x])


def test_cells_may_be_counted_in_floats():
    features = random_maps(1, 5, 7, 3)
    cells = np.float32([[[6, 4], [0, 3]]])
    taken = to_numpy(take_cells(features, cells))
    np.testing.assert_array_equal(taken[0], [features[0, 4, 6], features[0, 3, 0]])


def test_sample_per_keypoint_equals_its_twin():
    features = random_maps(2, 5, 7, 4, 3)
    points = random_points(2, 6, 4, 2, height=5, width=7)
    values = everywhere(sample_per_keypoint, features, points)
    assert values.shape == (2, 6, 4, 3)
    for image, cell, keypoint in np.ndindex(2, 6, 4):
        own = features[image, :, :, keypoint]
        around = points[image, cell, keypoint]
        expected = sum(sample_twin(own, point) for point in around)
        np.testing.assert_allclose(values[image, cell, keypoint], expected, atol=1e-5)


def test_sample_and_sum_keypoints_equals_its_twin():
    features = random_maps(2, 5, 7, 4, 3)
    points = random_points(2, 6, 4, height=5, width=7)
    values = everywhere(sample_and_sum_keypoints, features, points)
    assert values.shape == (2, 6, 3)
    for image, cell in np.ndindex(2, 6):
        expected = sum(
            sample_twin(features[image, :, :, keypoint], points[image, cell, keypoint])
            for keypoint in range(4)
        )
        np.testing.assert_allclose(values[image, cell], expected, atol=1e-5)


def test_no_cells_are_asked_for():
    features = random_maps(2, 5, 7, 4, 3)
    nothing = np.zeros((2, 0, 4, 2), "float32")
    assert everywhere(sample_and_sum_keypoints, features, nothing).shape == (2, 0, 3)
    nothing = np.zeros((2, 0, 4, 9, 2), "float32")
    assert everywhere(sample_per_keypoint, features, nothing).shape == (2, 0, 4, 3)
    nothing = np.zeros((2, 0, 2), "int32")
    assert everywhere(take_cells, features, nothing).shape == (2, 0, 4, 3)


@pytest.mark.parametrize(
    "sample, points",
    [
        (sample_per_keypoint, (2, 6, 4, 9)),
        (sample_and_sum_keypoints, (2, 6, 4)),
        (sample_and_sum_keypoints, (2, 6, 4, 3)),
        (sample_per_keypoint, (2, 0, 4, 9)),
    ],
)
@pytest.mark.parametrize("dtype, tolerance", [("float32", 1e-5), ("bfloat16", 0.03)])
def test_in_training_values_and_gradients_are_the_same(
    sample, points, dtype, tolerance
):
    maps = keras.Variable(random_maps(2, 5, 7, 4, 3))
    at = keras.Variable(random_points(*points, height=5, width=7))
    shape = ops.shape(sample(maps.value, at.value))
    upstream = random_maps(*shape, seed=5)

    def found(training):
        def total():
            values = sample(ops.cast(maps.value, dtype), at.value, training)
            return ops.sum(ops.cast(values, "float32") * upstream)

        return value_and_gradients(total, [maps, at])

    value, gradients = found(False)
    value_in_training, gradients_in_training = found(True)
    np.testing.assert_allclose(value_in_training, value, rtol=1e-5, atol=1e-6)
    for gradient, expected in zip(gradients_in_training, gradients, strict=True):
        np.testing.assert_allclose(
            gradient,
            expected,
            atol=tolerance * max(1.0, np.abs(expected).max(initial=0)),
        )
