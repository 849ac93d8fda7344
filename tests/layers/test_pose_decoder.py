import json

import keras
import numpy as np
import pytest
from keras import ops

from qepose_tf.layers.keypoint_query import KeypointQueryEncoding
from qepose_tf.layers.pose_decoder import PoseDecoder
from tests.backends import assert_same, compiled, to_numpy
from tests.layers.layer_checks import functional, tensors

HEIGHT, WIDTH, KEYPOINTS = 10, 12, 5
UNIT = np.float32([[0, 0], [4, 0], [0, 4], [4, 4], [2, 2]])


def decoder(**settings):
    settings = {"max_detections": 6, **settings}
    return PoseDecoder(KeypointQueryEncoding(2, name="encoding"), **settings)


def literal(**settings):
    """A decoder whose poses are cell plus displacement: no kernel moves them."""
    layer = decoder(**settings)
    features, offsets = empty_maps()[1:]
    layer.build((1, HEIGHT, WIDTH, 1), features.shape, offsets.shape)
    for weight in layer.weights:
        weight.assign(np.zeros(weight.shape))
    return layer


def empty_maps(batch=1):
    """No score anywhere; every cell's pose is the same square, its corner there."""
    score_map = np.zeros((batch, HEIGHT, WIDTH, 1), "float32")
    features = np.ones((batch, HEIGHT, WIDTH, KEYPOINTS, 3), "float32")
    offsets = np.broadcast_to(UNIT, (batch, HEIGHT, WIDTH, KEYPOINTS, 2)).copy()
    return score_map, features, offsets


def decoded(layer, maps):
    return to_numpy(layer(*tensors(maps)))


def test_two_people():
    maps = empty_maps(batch=2)
    maps[0][0, 2, 3] = 0.5
    maps[0][0, 8, 9] = 0.75
    maps[0][1, 4, 4] = 0.25
    found = decoded(literal(), maps)
    np.testing.assert_array_equal(found["scores"][0], [0.75, 0.5, 0, 0, 0, 0])
    np.testing.assert_array_equal(found["scores"][1], [0.25, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(found["cells"][0, :2], [[9, 8], [3, 2]])
    # One cell is four pixels.
    np.testing.assert_array_equal(found["poses"][0, 0], 4 * (UNIT + [9, 8]))
    np.testing.assert_array_equal(found["poses"][0, 1], 4 * (UNIT + [3, 2]))
    np.testing.assert_array_equal(
        found["keypoint_scores"], np.repeat(found["scores"][..., None], 5, -1)
    )
    assert {name: array.dtype.name for name, array in found.items()} == {
        "poses": "float32",
        "scores": "float32",
        "keypoint_scores": "float32",
        "cells": "int32",
    }


def test_nobody():
    found = decoded(literal(), empty_maps())
    assert found["poses"].shape == (1, 6, 5, 2)
    np.testing.assert_array_equal(found["scores"], 0)
    assert np.isfinite(found["poses"]).all()


def test_scores_are_clipped_and_weak_ones_dropped():
    maps = empty_maps()
    maps[0][0, 0, 0] = 1.7
    maps[0][0, 9, 0] = -0.5
    maps[0][0, 0, 9] = 0.3
    maps[0][0, 5, 5] = 0.2  # equal to the threshold
    found = decoded(literal(score_threshold=np.float32(0.2).item()), maps)
    np.testing.assert_array_equal(found["scores"][0], np.float32([1, 0.3, 0, 0, 0, 0]))


def test_the_same_pose_is_found_once():
    """Two maxima whose poses agree: one cell's displacement points back."""
    maps = empty_maps()
    maps[0][0, 2, 2], maps[0][0, 2, 6], maps[0][0, 9, 9] = 0.9, 0.8, 0.7
    maps[2][0, 2, 6] -= [4, 0]
    found = decoded(literal(), maps)
    np.testing.assert_array_equal(found["cells"][0, :2], [[2, 2], [9, 9]])
    np.testing.assert_array_equal(
        found["scores"][0], np.float32([0.9, 0.7, 0, 0, 0, 0])
    )


@pytest.mark.parametrize("keypoints", [1, 2, 17])
def test_one_taught_keypoint_finds_each_person_once(keypoints):
    """Two peaks of one person agree in keypoint 0; the others stand by their cell."""
    score_map = np.zeros((1, HEIGHT, WIDTH, 1), "float32")
    score_map[0, 2, 2], score_map[0, 3, 6], score_map[0, 9, 9] = 0.9, 0.8, 0.7
    features = np.ones((1, HEIGHT, WIDTH, keypoints, 3), "float32")
    offsets = np.zeros((1, HEIGHT, WIDTH, keypoints, 2), "float32")
    offsets[0, 2, 2, 0], offsets[0, 3, 6, 0] = [2, 1], [-1, 0]
    for distance, cells in ((0.05, [[2, 2], [9, 9]]), (0.0, [[2, 2], [6, 3], [9, 9]])):
        layer = decoder(nms_distance=distance)
        layer.build(score_map.shape, features.shape, offsets.shape)
        for weight in layer.weights:
            weight.assign(np.zeros(weight.shape))
        maps = score_map, features, offsets
        found = decoded(layer, maps)
        count = len(cells)
        np.testing.assert_array_equal(found["cells"][0, :count], cells)
        np.testing.assert_array_equal(found["scores"][0, count:], 0)
        assert_same(to_numpy(compiled(layer)(*tensors(maps))), found)


def test_more_people_than_rows_keep_the_best():
    maps = empty_maps()
    for n, (y, x) in enumerate(((0, 0), (0, 6), (6, 0), (6, 6))):
        maps[0][0, y, x] = 0.5 + 0.1 * n
    found = decoded(literal(max_detections=2), maps)
    np.testing.assert_allclose(found["scores"], [[0.8, 0.7]])


def random_maps():
    rng = np.random.default_rng(0)
    shapes = [(HEIGHT, WIDTH, 1), (HEIGHT, WIDTH, 5, 3), (HEIGHT, WIDTH, 5, 2)]
    return [rng.random((2, *shape)).astype("float32") for shape in shapes]


def test_config_holds_the_encoding():
    layer = decoder(score_threshold=0.2, nms_distance=0.1, name="decoder")
    maps = random_maps()
    expected = decoded(layer, maps)
    config = json.loads(json.dumps(layer.get_config()))
    for _ in range(2):  # reading a configuration must not use it up
        clone = PoseDecoder.from_config(config)
    assert clone.get_config() == config
    decoded(clone, maps)
    clone.set_weights(layer.get_weights())
    assert_same(decoded(clone, maps), expected, 0)


def test_eager_graph_and_functional_agree():
    layer, maps = decoder(), random_maps()
    expected = decoded(layer, maps)
    graph = compiled(lambda *arguments: layer(*arguments))
    assert_same(to_numpy(graph(*tensors(maps))), expected, 1e-5)
    for unknown in ((), (1, 2)):
        model = functional(layer, maps, unknown)
        assert_same(to_numpy(model(tensors(maps))), expected, 1e-5)


def test_a_saved_model_decodes_the_same(tmp_path):
    maps = random_maps()
    model = functional(decoder(), maps)
    model.save(tmp_path / "decoder.keras")
    loaded = keras.saving.load_model(tmp_path / "decoder.keras")
    assert_same(to_numpy(loaded(tensors(maps))), to_numpy(model(tensors(maps))), 0)


def test_training_does_not_move_the_statistics():
    layer, maps = decoder(), random_maps()
    decoded(layer, maps)
    before = layer.get_weights()
    layer(*tensors(maps), training=True)
    assert_same(layer.get_weights(), before, 0)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_poses_are_float32_under_mixed_precision(policy):
    layer = PoseDecoder(KeypointQueryEncoding(2, dtype=policy), max_detections=6)
    score_map, features, offsets = random_maps()
    half = ops.cast(features, policy.removeprefix("mixed_"))
    found = layer(*tensors([score_map]), half, *tensors([offsets]))
    for name in ("poses", "scores", "keypoint_scores"):
        assert keras.backend.standardize_dtype(found[name].dtype) == "float32"
