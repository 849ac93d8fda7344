"""A model on a dataset: whose poses they are, and in which pixels."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from PIL import Image

from qepose_tf.data.coco.dataset import read_coco
from qepose_tf.evaluation.evaluate import (
    coco_metrics,
    evaluate,
    predict_coco,
    score_oks_rank_correlation,
)
from qepose_tf.images.letterbox import letterbox, original_points
from qepose_tf.inference.detector import Detector
from qepose_tf.inference.predictor import Predictor
from qepose_tf.models.pose_estimator import PoseEstimator
from qepose_tf.skeleton import COCO, CROWDPOSE
from tests.models.conftest import moderate


@pytest.fixture(scope="module")
def model():
    """An untrained model whose scores are moderate."""
    keras.utils.set_random_seed(0)
    return moderate(PoseEstimator(COCO, backbone="tiny", input_size=64), 0.2)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Three images of two shapes, one person each."""
    folder = tmp_path_factory.mktemp("scenes")
    rng = np.random.default_rng(0)
    sizes = {7: (100, 80), 8: (90, 200), 9: (100, 80)}
    keypoints = np.stack([np.arange(5.0, 56.0, 3.0)] * 2 + [np.full(17, 2.0)], -1)
    labels = {
        "images": [],
        "categories": [{"id": 3, "name": "person", "keypoints": COCO.keypoints}],
        "annotations": [
            {
                "id": image_id,
                "image_id": image_id,
                "category_id": 3,
                "keypoints": keypoints.reshape(-1).tolist(),
                "bbox": [5, 5, 50, 50],
                "area": 2500,
            }
            for image_id in sizes
        ],
    }
    for image_id, (height, width) in sizes.items():
        pixels = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{image_id}.png")
        labels["images"].append(
            {
                "id": image_id,
                "file_name": f"{image_id}.png",
                "height": height,
                "width": width,
            }
        )
    (folder / "labels.json").write_text(json.dumps(labels))
    return read_coco(folder / "labels.json", folder, COCO)


@pytest.fixture(scope="module")
def found(model, scenes):
    seen = []
    results = predict_coco(
        model, scenes, 2, progress=lambda done, total: seen.append((done, total))
    )
    assert seen[-1] == (3, 3)
    return results


def test_poses_are_in_pixels_of_the_original(model, scenes, found):
    assert {result["image_id"] for result in found} == {7, 8, 9}
    for record in scenes.records:
        pixels = np.array(Image.open(record.file))
        image, scale = letterbox(pixels, 64, model.mean)
        outputs = model(image[None])
        poses = original_points(outputs["poses"][0], scale)
        scores = np.asarray(outputs["scores"][0])
        own = [r for r in found if r["image_id"] == record.image_id]
        assert len(own) == np.sum(scores > 0) > 0
        for result, pose, score in zip(own, poses, scores, strict=False):
            keypoints = np.reshape(result["keypoints"], (17, 3))
            np.testing.assert_allclose(keypoints[:, :2], pose, atol=0.02)
            assert result["score"] == pytest.approx(float(score), abs=2e-4)


def test_evaluate_scores_what_it_predicts(model, scenes, found):
    bound = float(np.median([result["score"] for result in found]))
    evaluation = evaluate(model, scenes, batch_size=3, min_score=bound)
    assert 0 < len(evaluation.results) < len(found)
    assert min(result["score"] for result in evaluation.results) >= bound
    arguments = scenes, evaluation.results
    assert evaluation.metrics == coco_metrics(*arguments)
    correlation = score_oks_rank_correlation(*arguments)
    assert evaluation.score_oks_rank_correlation == correlation
    assert -1 <= correlation <= 1


def by_image(results):
    found = {}
    for result in results:
        found.setdefault(result["image_id"], []).append(result)
    return found


def test_one_scale_is_no_other_protocol(model, scenes, found):
    assert predict_coco(model, scenes, 2, scales=(1,), flip=False) == found
    settings = {
        name: getattr(model.decoder_settings, name)
        for name in ("nms_distance", "max_detections")
    }
    assert predict_coco(model, scenes, 2, **settings) == found


@pytest.mark.slow
@pytest.mark.parametrize("protocol", [{"scales": (1, 0.5, 2), "flip": True}])
def test_a_dataset_is_seen_as_its_pictures_are(model, scenes, protocol):
    seen = []
    results = by_image(
        predict_coco(
            model,
            scenes,
            2,
            progress=lambda done, total: seen.append((done, total)),
            **protocol,
        )
    )
    assert seen == sorted(seen) and seen[-1] == (3, 3)
    predictor = Predictor(model, min_score=0.0, **protocol)
    files = [record.file for record in scenes.records]
    for record, poses in zip(scenes.records, predictor.predict(files), strict=True):
        own = results[record.image_id]
        assert len(own) == len(poses.scores) > 0
        for result, pose, score in zip(own, poses.poses, poses.scores, strict=True):
            keypoints = np.reshape(result["keypoints"], (17, 3))
            np.testing.assert_allclose(keypoints[:, :2], pose, atol=0.02)
            assert result["score"] == pytest.approx(float(score), abs=2e-4)


@pytest.mark.slow
def test_evaluate_takes_the_protocol(model, scenes, found):
    protocol = {"scales": (1, 2), "max_detections": 2}
    evaluation = evaluate(model, scenes, **protocol)
    assert evaluation.results == predict_coco(model, scenes, **protocol)
    counts = [len(own) for own in by_image(evaluation.results).values()]
    assert len(counts) == 3 and max(counts) <= 2 < len(found) / 3
    with pytest.raises(ValueError, match="scales: expected .* got nan"):
        evaluate(model, scenes, scales=(float("nan"),))


def test_a_strip_does_not_become_a_giant(tmp_path, model, monkeypatch):
    Image.fromarray(np.zeros((4, 900, 3), np.uint8)).save(tmp_path / "strip.png")
    labels = {
        "images": [{"id": 1, "file_name": "strip.png", "height": 4, "width": 900}],
        "categories": [{"id": 1, "name": "person", "keypoints": COCO.keypoints}],
        "annotations": [],
    }
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    coco = read_coco(tmp_path / "labels.json", tmp_path, COCO)
    seen = []

    class Watched(Detector):
        def detect(self, images):
            seen.append(images.shape)
            return super().detect(images)

    monkeypatch.setattr("qepose_tf.inference.detector.Detector", Watched)
    predict_coco(model, coco)
    assert seen == [(1, 64, 256, 3)]  # 900 x 4 at 225 x 1, four to one of 64


def test_evaluate_wants_the_models_skeleton(model, scenes):
    other = dataclasses.replace(scenes, skeleton=CROWDPOSE)
    with pytest.raises(ValueError, match=r"labels.json: expected .* 17 .* got 14"):
        evaluate(model, other)
