import keras
import numpy as np
import pytest
from keras import ops

from qepose_tf.layers.keypoint_query import KeypointQuery, KeypointQueryEncoding
from qepose_tf.losses import smooth_l1
from qepose_tf.ops.targets import disc_cells, scatter_to_map
from tests.backends import assert_same, to_numpy, value_and_gradients
from tests.layers.layer_checks import check_layer

HEIGHT, WIDTH = 12, 10


def random_inputs(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def maps(keypoints, channels=4, batch=2):
    """Keypoint features and displacements of a few cells."""
    features = random_inputs(batch, HEIGHT, WIDTH, keypoints, channels)
    offsets = 2 * random_inputs(batch, HEIGHT, WIDTH, keypoints, 2, seed=1)
    return features, offsets


def random_cells(count, batch=2, seed=2):
    rng = np.random.default_rng(seed)
    return rng.integers(0, [WIDTH, HEIGHT], (batch, count, 2)).astype("int32")


def encoding(keypoints, semantic_points=3, channels=4, **arguments):
    """A built layer with lively weights: it starts with nearly no displacement."""
    layer = KeypointQueryEncoding(semantic_points, **arguments)
    shape = (None, HEIGHT, WIDTH, keypoints)
    layer.build((*shape, channels), (*shape, 2))
    rng = np.random.default_rng(3)
    layer.set_weights(
        [
            (array + rng.uniform(0.1, 0.9, array.shape)).astype("float32")
            for array in layer.get_weights()
        ]
    )
    return layer


@pytest.mark.parametrize("keypoints", [1, 5, 133])
def test_keypoint_query_is_a_layer(keypoints, tmp_path):
    layer = KeypointQuery(keypoints, 3, 0.8, name="query")
    check_layer(layer, [random_inputs(2, 4, 5, 6)], tmp_path, unknown_axes=(1, 2))


def test_keypoint_query_is_a_convolution_then_a_product():
    layer = KeypointQuery(5, 3)
    inputs = random_inputs(2, 4, 5, 6)
    layer(inputs)
    rng = np.random.default_rng(0)
    layer.set_weights([rng.uniform(0.1, 1, w.shape) for w in layer.get_weights()])
    features, offsets = to_numpy(layer(inputs))
    flat = inputs @ to_numpy(layer.representation.kernel)[0, 0]
    norm = layer.norm
    gamma, beta, mean, variance = to_numpy([w.value for w in norm.weights])
    flat = np.maximum((flat - mean) / np.sqrt(variance + 1e-5) * gamma + beta, 0)
    expected = flat.reshape(2, 4, 5, 5, 3)
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)
    kernel, bias = (to_numpy(w.value) for w in layer.offset.weights)
    expected = np.einsum("bhwkc,kcd->bhwkd", expected, kernel) + bias
    np.testing.assert_allclose(offsets, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("semantic_points", [0, 1, 9])
@pytest.mark.parametrize("keypoints", [1, 5])
def test_encoding_is_a_layer(keypoints, semantic_points, tmp_path):
    layer = KeypointQueryEncoding(semantic_points, 0.8, name="encoding")
    inputs = [*maps(keypoints), random_cells(7)]
    check_layer(layer, inputs, tmp_path, unknown_axes=(1, 2))


def test_encoding_of_133_keypoints_is_a_layer(tmp_path):
    layer = KeypointQueryEncoding(2, name="encoding")
    check_layer(layer, [*maps(133), random_cells(7)], tmp_path)


def test_dense_encoding_is_a_layer(tmp_path):
    layer = KeypointQueryEncoding(2, name="encoding")
    check_layer(layer, maps(5), tmp_path, unknown_axes=(1, 2))


def test_displacements_are_added_up():
    """With no kernels, the pose is cell + hop + the last layer's bias."""
    features, offsets = maps(5)
    layer = encoding(5)
    for weight in layer.weights:
        weight.assign(np.zeros(weight.shape))
    layer.offset.bias.assign(np.float32([[k, -k] for k in range(5)]))
    cells = np.int32([[[3, 4], [9, 11]], [[0, 0], [5, 7]]])
    poses = to_numpy(layer(features, offsets, cells))
    for image, place, k in np.ndindex(2, 2, 5):
        x, y = cells[image, place]
        expected = [x, y] + offsets[image, y, x, k] + [k, -k]
        np.testing.assert_allclose(poses[image, place, k], expected, rtol=1e-6)


def test_semantic_points_start_on_a_circle_around_the_query():
    layer = KeypointQueryEncoding(4)
    layer.build((None, HEIGHT, WIDTH, 3, 4), (None, HEIGHT, WIDTH, 3, 2))
    points = to_numpy(layer.semantic_offset.bias.value).reshape(3, 4, 2)
    expected = [[1, 0], [0, 1], [-1, 0], [0, -1]]
    np.testing.assert_allclose(points, np.tile(expected, (3, 1, 1)), atol=1e-6)


@pytest.mark.parametrize("semantic_points", [0, 9])
@pytest.mark.parametrize("keypoints", [1, 5, 133])
def test_asked_for_cells_equal_the_dense_map(keypoints, semantic_points):
    layer = encoding(keypoints, semantic_points)
    features, offsets = maps(keypoints)
    cells = random_cells(20)
    dense = to_numpy(layer(features, offsets))
    assert dense.shape == (2, HEIGHT * WIDTH, keypoints, 2)
    sparse = to_numpy(layer(features, offsets, cells))
    rows = cells[..., 1] * WIDTH + cells[..., 0]
    expected = np.take_along_axis(dense, rows[..., None, None], axis=1)
    np.testing.assert_allclose(sparse, expected, rtol=1e-5, atol=1e-5)


def omega():
    """Cells of overlapping discs, of one across the border and of nobody."""
    centres = np.int32([[[3, 4], [5, 5], [9, 11]], [[6, 6], [2, 2], [4, 4]]])
    valid = np.array([[True, True, True], [True, False, False]])
    area = np.float32([[30, 20, 10], [25, 0, 0]])
    cells, owned = to_numpy(disc_cells(centres, valid, area, (HEIGHT, WIDTH), 4.0))
    assert 0 < owned.mean() < 1
    return cells.reshape(2, -1, 2), owned.reshape(2, -1)


@pytest.mark.parametrize("semantic_points", [0, 9])
def test_training_at_chosen_cells_equals_training_the_dense_map(semantic_points):
    """Loss, statistics and every gradient agree."""
    cells, owned = omega()
    layer = encoding(5, semantic_points)
    features, offsets = (keras.Variable(array) for array in maps(5))
    variables = [*layer.trainable_variables, features, offsets]
    images = np.int32([[0], [1]]).repeat(cells.shape[1], axis=1)
    counted_map = to_numpy(scatter_to_map(owned, images, cells, (2, HEIGHT, WIDTH)))
    counted_map = counted_map.reshape(2, HEIGHT * WIDTH)
    truth = random_inputs(2, HEIGHT * WIDTH, 5, 2, seed=9) * 5
    rows = (cells[..., 1] * WIDTH + cells[..., 0])[..., None, None]

    def loss(poses, truth, counted):
        return ops.sum(smooth_l1(poses - truth) * counted[..., None, None]) / 500.0

    def sparse():
        poses = layer(
            ops.convert_to_tensor(features),
            ops.convert_to_tensor(offsets),
            cells,
            training=True,
            counted=owned,
        )
        return loss(poses, np.take_along_axis(truth, rows, axis=1), owned)

    def dense():
        poses = layer(
            ops.convert_to_tensor(features),
            ops.convert_to_tensor(offsets),
            training=True,
            counted=counted_map,
        )
        return loss(poses, truth, counted_map)

    before = layer.get_weights()
    results = []
    for way in (sparse, dense):
        layer.set_weights(before)
        way()
        moved = layer.get_weights()
        layer.set_weights(before)
        results.append((*value_and_gradients(way, variables), moved))
    assert_same(results[0], results[1], 1e-5)
    gradients = results[0][1]
    for variable, gradient in zip(variables, gradients, strict=True):
        assert np.abs(gradient).max() > 1e-4, variable.path


def test_displacements_stay_float32_under_mixed_precision():
    """bfloat16 would make 37.3 cells 37.25: a pixel is lost on the way."""
    features, offsets = maps(5)
    offsets = offsets * 0 + np.float32(37.3)
    layer = encoding(5, dtype="mixed_bfloat16")
    assert layer.aggregate.compute_dtype == layer.norm.compute_dtype == "bfloat16"
    layer.offset.kernel.assign(layer.offset.kernel * 0)
    layer.offset.bias.assign(layer.offset.bias * 0)
    cells = random_cells(4)
    poses = layer(ops.cast(features, "bfloat16"), ops.convert_to_tensor(offsets), cells)
    assert keras.backend.standardize_dtype(poses.dtype) == "float32"
    expected = cells[:, :, None] + np.full((1, 1, 5, 2), 37.3, "float32")
    np.testing.assert_array_equal(to_numpy(poses), expected.astype("float32"))


def test_keypoint_query_under_mixed_precision():
    layer = KeypointQuery(5, 3, dtype="mixed_bfloat16")
    features, offsets = layer(ops.convert_to_tensor(random_inputs(2, 4, 5, 6)))
    assert keras.backend.standardize_dtype(features.dtype) == "bfloat16"
    assert keras.backend.standardize_dtype(offsets.dtype) == "float32"
