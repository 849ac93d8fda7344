import keras
import numpy as np
import pytest
from keras import ops

from qepose_tf.models.pose_estimator import MEAN, STD, TRAINING_ONLY, PoseEstimator
from qepose_tf.skeleton import COCO
from tests.backends import compiled, to_numpy
from tests.models.conftest import random_images


def shapes(outputs):
    return {name: tuple(output.shape) for name, output in outputs.items()}


def test_is_a_functional_model(coco_model):
    assert isinstance(coco_model, keras.Model)
    assert coco_model.input_shape == (None, None, None, 3)
    assert shapes(coco_model.output) == {
        "score_map": (None, None, None, 1),
        "poses": (None, 30, 17, 2),
        "scores": (None, 30),
        "keypoint_scores": (None, 30, 17),
        "cells": (None, 30, 2),
        "keypoint_features": (None, None, None, 17, 20),
        "query_offsets": (None, None, None, 17, 2),
    }


@pytest.mark.parametrize(
    "batch, height, width", [(2, 64, 64), (1, 96, 160), (3, 32, 32)]
)
def test_outputs_of_several_sizes(coco_model, batch, height, width):
    outputs = coco_model(random_images(batch, height, width))
    cells = (batch, height // 4, width // 4)
    assert shapes(outputs) == {
        "score_map": (*cells, 1),
        "poses": (batch, 30, 17, 2),
        "scores": (batch, 30),
        "keypoint_scores": (batch, 30, 17),
        "cells": (batch, 30, 2),
        "keypoint_features": (*cells, 17, 20),
        "query_offsets": (*cells, 17, 2),
    }
    found = to_numpy({k: v for k, v in outputs.items() if k not in TRAINING_ONLY})
    assert all(np.isfinite(array).all() for array in found.values())
    scores = found["scores"]
    assert (scores[:, 0] > 0).all(), "the case must find something"
    np.testing.assert_array_equal(scores, -np.sort(-scores, axis=1))
    assert scores.min() >= 0 and scores.max() <= 1


def test_a_pose_is_what_its_cell_says(pair_model):
    """Sparse equals dense in the whole model: row by row, from the dense map."""
    outputs = pair_model(random_images(2, 64, 96))
    dense = pair_model.encoding(outputs["keypoint_features"], outputs["query_offsets"])
    dense = to_numpy(dense).reshape(2, 16, 24, 2, 2)
    found = to_numpy({k: v for k, v in outputs.items() if k not in TRAINING_ONLY})
    assert (found["scores"] > 0).sum() > 4
    for image, row in np.argwhere(found["scores"] > 0):
        x, y = found["cells"][image, row]
        expected = 4 * dense[image, y, x]
        np.testing.assert_allclose(found["poses"][image, row], expected, rtol=1e-5)
        score = found["score_map"][image, y, x, 0]
        assert found["scores"][image, row] == pytest.approx(min(score, 1), rel=1e-6)


@pytest.mark.slow
def test_graph_equals_eager(pair_model):
    images = ops.convert_to_tensor(random_images(2, 64, 96))
    expected = to_numpy(pair_model(images, training=False))
    results = to_numpy(compiled(lambda x: pair_model(x, training=False))(images))
    for name in expected:
        np.testing.assert_allclose(results[name], expected[name], atol=1e-3)


@pytest.mark.parametrize("height, width", [(100, 64), (64, 48), (16, 32)])
def test_sides_that_are_no_multiples_of_32_are_refused(coco_model, height, width):
    message = rf"multiples of 32, got \({height}, {width}\)"
    with pytest.raises(ValueError, match=message):
        coco_model(np.zeros((1, height, width, 3), "float32"))


def test_unknown_arguments_are_refused_and_leave_no_trace():
    policy = keras.config.dtype_policy()
    with pytest.raises(ValueError, match="expected a backbone of .* got 'w64'"):
        PoseEstimator(COCO, backbone="w64", dtype="mixed_bfloat16")
    with pytest.raises(ValueError, match="score_normaliser of .*got 'x'"):
        PoseEstimator(COCO, loss={"score_normaliser": "x"})
    for values in (None, (1.0, 2.0), (1.0, 2.0, np.nan)):
        with pytest.raises(ValueError, match="expected mean to be three numbers"):
            PoseEstimator(COCO, "tiny", mean=values)
    assert keras.config.dtype_policy() == policy


def test_the_first_layer_takes_mean_and_deviation_off(pair_model, coco_model):
    images = np.uint8([[[[100, 110, 120], [150, 170, 190]]]])
    normal = pair_model.get_layer("normalise")(images.astype("float32"))
    assert keras.backend.standardize_dtype(normal.dtype) == "float32"
    np.testing.assert_allclose(
        to_numpy(normal)[0, 0], [[0, 0, 0], [1, 1, 1]], atol=1e-6
    )
    first = coco_model.get_layer("normalise")
    mean = to_numpy(first(np.float32([MEAN])))
    np.testing.assert_allclose(mean, [[0, 0, 0]], atol=1e-6)
    sigma = to_numpy(first(np.float32([MEAN]) + np.float32([STD])))
    np.testing.assert_allclose(sigma, [[1, 1, 1]], rtol=1e-6)


@pytest.mark.slow
def test_pixels_of_every_type_give_the_same_poses(coco_model):
    pixels = np.random.default_rng(2).integers(0, 256, (3, 64, 64, 3), np.uint8)
    found = coco_model.predict(pixels, verbose=0)
    assert (found["scores"] > 0).any()
    for images in (pixels.astype("float32"), pixels.astype("int64")):
        again = coco_model.predict(images, verbose=0)
        np.testing.assert_array_equal(again["poses"], found["poses"])
    for row in range(3):
        one = coco_model.predict(pixels[row : row + 1], verbose=0)
        np.testing.assert_allclose(one["poses"][0], found["poses"][row], atol=1e-3)


def test_files_of_version_0_1_are_read(coco_model):
    """They name every setting by itself and normalise outside of the model."""
    config = coco_model.get_config()
    former = {
        **{name: config[name] for name in ("skeleton", "backbone", "input_size")},
        **config["head"],
        **config["loss"],
        **config["decoder"],
        "batch_norm_momentum": 0.8,
        "synchronized_batch_norm": True,
        **{name: config[name] for name in ("mean", "std", "name", "dtype")},
    }
    model = PoseEstimator.from_config(former)
    assert model.get_config() == {
        **config,
        "batch_norm": {"momentum": 0.8, "synchronized": True},
    }
    assert [w.shape for w in model.weights] == [w.shape for w in coco_model.weights]


@pytest.mark.slow
def test_a_file_describes_itself(pair_model, tmp_path):
    pair_model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, PoseEstimator)
    assert loaded.skeleton == pair_model.skeleton
    assert loaded.input_size == 96 and loaded.name == "pair"
    np.testing.assert_array_equal(loaded.mean, np.float32([100, 110, 120]))
    np.testing.assert_array_equal(loaded.std, np.float32([50, 60, 70]))
    assert loaded.get_config() == pair_model.get_config()
    images = random_images(2, 64, 96)
    expected, results = to_numpy(pair_model(images)), to_numpy(loaded(images))
    for name in expected:
        np.testing.assert_array_equal(results[name], expected[name])


@pytest.mark.slow
def test_predict_leaves_out_what_only_training_needs(pair_model):
    images = random_images(3, 64, 64)
    found = pair_model.predict(images, batch_size=2, verbose=0)
    assert set(found) == {"score_map", "poses", "scores", "keypoint_scores", "cells"}
    expected = to_numpy(pair_model(images))
    for name in found:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-3)


@pytest.mark.slow
def test_mixed_precision_keeps_points_and_scores_in_float32(tmp_path):
    model = PoseEstimator(COCO, "tiny", 64, dtype="mixed_bfloat16")
    assert keras.config.dtype_policy().name == "float32"
    images = random_images(1, 64, 64)
    outputs = model(images)
    types = {k: keras.backend.standardize_dtype(v.dtype) for k, v in outputs.items()}
    assert types.pop("cells") == "int32"
    assert types.pop("keypoint_features") == "bfloat16"
    assert set(types.values()) == {"float32"}
    assert {weight.dtype for weight in model.weights} == {"float32"}
    halves = {layer.compute_dtype for layer in model.body.layers}
    assert halves - {"float32"} == {"bfloat16"}

    model.save(tmp_path / "half.keras")
    loaded = keras.saving.load_model(tmp_path / "half.keras")
    assert loaded.dtype_policy.name == "mixed_bfloat16"
    again = loaded(images)
    for name in types:
        np.testing.assert_array_equal(to_numpy(again[name]), to_numpy(outputs[name]))
