import keras
import numpy as np
import pytest

from qepose_tf.inference.detector import Detector
from qepose_tf.inference.predictor import Predictor
from qepose_tf.models import DEKR, PoseEstimator, complexity, load_model
from qepose_tf.models.multi_view import detect
from tests.backends import needs_tensorflow, to_numpy
from tests.models.conftest import PAIR, random_images


def lively(model, seed=0):
    """Weights as of a trained model: taps that move, heatmaps between 0 and 1."""
    rng = np.random.default_rng(seed)
    for convolution in model.encoding.convolutions:
        for weight in convolution.affine.weights:
            weight.assign(0.1 * rng.normal(size=weight.shape))
    offset = model.encoding.offset
    offset.kernel.assign(0.5 * rng.normal(size=offset.kernel.shape))
    offset.bias.assign(3.0 * rng.normal(size=offset.bias.shape))
    heat = model.get_layer("head_heatmap_1")
    heat.kernel.assign(0.002 * rng.normal(size=heat.kernel.shape))
    heat.bias.assign(np.full(heat.bias.shape, 0.4))
    return model


@pytest.fixture(scope="module", autouse=True)
def small_body(micro_body):
    """What is tested here is the head."""


@pytest.fixture(scope="module")
def model(small_body):
    """Not to be changed; every setting that a file must keep differs from default."""
    keras.utils.set_random_seed(0)
    return lively(
        DEKR(
            PAIR,
            backbone="tiny",
            input_size=96,
            head={"heatmap_channels": 8, "keypoint_channels": 4, "adaptive_blocks": 1},
            decoder={
                "max_detections": 7,
                "score_threshold": 0.02,
                "nms_distance": 0.1,
                "nms_keypoints": 0,
                "protocol": "mmpose",
            },
            batch_norm={"momentum": 0.8},
            mean=(100.0, 110.0, 120.0),
            std=(50.0, 60.0, 70.0),
            name="pair",
        )
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "side", "parameters", "macs"),
    [
        # W32: the totals that HRNet/DEKR's own counter prints (its issue 20).
        ("w32", 512, 29_561_182, 45_385_056_256),
        ("w48", 640, 65_684_590, None),
    ],
)
def test_parameters_and_multiply_adds_are_dekrs(backbone, side, parameters, macs):
    model = DEKR("coco", backbone=backbone, input_size=side)
    assert complexity.trainable_params(model) == parameters
    counted = complexity.macs(model, side, side)
    assert counted == macs if macs else round(counted / 1e9, 1) == 141.5


def test_outputs_are_those_of_a_pose_estimator(model):
    images = random_images(2, 64, 96)
    found = model.predict(images, verbose=0)
    assert {name: array.shape for name, array in found.items()} == {
        "score_map": (2, 16, 24, 1),
        "poses": (2, 7, 2, 2),
        "scores": (2, 7),
        "keypoint_scores": (2, 7, 2),
        "cells": (2, 7, 2),
    }
    assert set(model(images)) - set(found) == set(DEKR.training_only)
    assert (found["scores"] > 0).any()


def test_a_file_has_everything(model, tmp_path):
    model.save(tmp_path / "dekr.keras")
    loaded = load_model(tmp_path / "dekr.keras")
    assert isinstance(loaded, DEKR)
    assert loaded.get_config() == model.get_config()
    images = random_images(1, 64, 64)
    for ours, theirs in zip(
        to_numpy(loaded(images)).values(), to_numpy(model(images)).values(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    assert repr(loaded) == (
        "<DEKR pair: 2 keypoints (pair), backbone tiny, input size 96>"
    )


def test_poses_are_the_displacements_of_their_cells(model):
    outputs = model(random_images(2, 64, 96))
    displacements = to_numpy(model.displacement_map(outputs))
    found = to_numpy({name: outputs[name] for name in ("poses", "cells", "scores")})
    seen = 0
    for image, row in np.argwhere(found["scores"] > 0):
        x, y = found["cells"][image, row]
        expected = 4 * (displacements[image, y, x] + [x, y])
        np.testing.assert_allclose(found["poses"][image, row], expected, atol=1e-3)
        seen += 1
    assert seen


@needs_tensorflow
def test_other_settings_go_through_the_detector(model):
    images = random_images(1, 64, 64)
    own = Detector(model).detect(images)
    same = to_numpy(
        detect(model, images, flip=False, **model.decoder_settings.to_dict())
    )
    np.testing.assert_allclose(own.poses, same["poses"], atol=1e-3)
    fewer = Detector(model, max_detections=3).detect(images)
    assert fewer.poses.shape == (1, 3, 2, 2)


@needs_tensorflow
def test_the_flip_of_a_mirrored_image_is_the_mirrored_flip(model):
    """Averaging both views makes the detector symmetric."""
    from qepose_tf.models.multi_view import mirror_images

    settings = model.decoder_settings.to_dict()
    images = random_images(1, 64, 64)
    images[:, :, 61:] = model.mean  # as the mirror's shift leaves it
    plain = to_numpy(detect(model, images, flip=True, **settings))
    mirrored = to_numpy(mirror_images(images, model.mean))
    other = to_numpy(detect(model, mirrored, flip=True, **settings))
    count = int((plain["scores"] > 0).sum())
    assert count == int((other["scores"] > 0).sum()) > 0
    swapped = other["poses"][0, :count, ::-1]
    swapped[..., 0] = 60 - swapped[..., 0]
    np.testing.assert_allclose(plain["poses"][0, :count], swapped, atol=0.02)


@needs_tensorflow
def test_a_predictor_takes_it(model):
    picture = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)
    (found,) = Predictor(model, min_score=0.0, flip=True, scales=(1, 0.5))([picture])
    assert found.poses.shape[1:] == (2, 2)


def test_arguments_that_make_no_model_are_refused():
    with pytest.raises(ValueError, match="expected a protocol of"):
        DEKR("coco", backbone="tiny", decoder={"protocol": "openpose"})
    with pytest.raises(ValueError, match="unknown setting 'channels'"):
        DEKR("coco", backbone="tiny", head={"channels": 3})


def test_mixed_precision_keeps_coordinates():
    keras.utils.set_random_seed(0)
    model = DEKR(PAIR, backbone="tiny", input_size=64, dtype="mixed_bfloat16")
    outputs = model(random_images(1, 64, 64))
    kinds = {name: str(array.dtype) for name, array in outputs.items()}
    assert "bfloat16" in kinds.pop("offset_features")
    assert "int32" in kinds.pop("cells")
    assert all("float32" in kind for kind in kinds.values())
    assert model.displacement_map(outputs).dtype == "float32"
    assert isinstance(model, DEKR) and not isinstance(model, PoseEstimator)
