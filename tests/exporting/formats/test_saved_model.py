import io
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from qepose_tf.exporting import Exporter, export
from qepose_tf.exporting.checks.clean_process import run_exported
from qepose_tf.exporting.checks.comparison import compare
from qepose_tf.exporting.checks.reference import keras_any_size
from qepose_tf.exporting.pose_json import describe
from qepose_tf.images.drawn_image import made_image
from qepose_tf.models.hrnet import VARIANTS
from qepose_tf.models.pose_estimator import PoseEstimator
from qepose_tf.skeleton import COCO
from tests.micro_body import MICRO
from tests.models.conftest import moderate

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "made" / "pose"
    return path, export(model, path)


@pytest.fixture(scope="module")
def loaded(exported):
    return tf.saved_model.load(str(exported[0] / "1"))


def encoded(image, format="PNG", **settings):
    content = io.BytesIO()
    Image.fromarray(image).save(content, format, **settings)
    return content.getvalue()


def arrays(outputs):
    return {name: value.numpy() for name, value in outputs.items()}


def test_export_compares_what_it_wrote(exported):
    path, comparison = exported
    assert [p.name for p in path.parent.iterdir()] == ["pose"]
    assert [p.name for p in path.iterdir()] == ["1"]
    assert comparison.people > 10
    assert comparison.matched >= 80
    assert comparison.unmatched == 0
    assert comparison.max_pose_difference_px < 1e-3
    assert comparison.max_score_difference < 1e-4


def test_a_version_is_named_by_its_number(
    answering, model, exported, monkeypatch, tmp_path
):
    monkeypatch.setitem(VARIANTS, "tiny", MICRO)
    monkeypatch.setattr("qepose_tf.exporting.exporter.waiting_process", answering)
    small = PoseEstimator(COCO, backbone="tiny", input_size=64)
    with Exporter(moderate(small)) as exporter:
        exporter.write("saved_model", tmp_path / "pose" / "7")
    assert (tmp_path / "pose" / "7" / "saved_model.pb").is_file()
    with pytest.raises(FileExistsError, match="1: exists"):
        export(model, exported[0])


def test_signatures(loaded):
    default = loaded.signatures["serving_default"]
    encoded = loaded.signatures["serve_encoded"]
    (images,) = default.structured_input_signature[1].values()
    assert images == tf.TensorSpec([None, None, None, 3], tf.uint8, name="images")
    (files,) = encoded.structured_input_signature[1].values()
    assert files == tf.TensorSpec([None], tf.string, name="encoded")
    for signature in (default, encoded):
        assert {
            name: (value.shape.as_list(), value.dtype)
            for name, value in signature.structured_outputs.items()
        } == {
            "poses": ([None, 30, 17, 2], tf.float32),
            "scores": ([None, 30], tf.float32),
            "keypoint_scores": ([None, 30, 17], tf.float32),
            "count": ([None], tf.int32),
            "cells": ([None, 30, 2], tf.int32),
        }


def test_weights_stand_beside_the_graph(model, exported):
    """As constants they would make the first answer late."""
    [graph] = exported[0].rglob("saved_model.pb")
    [weights] = exported[0].rglob("variables.data-*")
    parameters = sum(np.prod(w.shape) for w in model.weights)
    assert weights.stat().st_size > 0.8 * 4 * parameters
    assert graph.stat().st_size < weights.stat().st_size


def test_another_process_needs_tensorflow_alone(model, exported):
    images = np.stack([made_image(100, 70, seed) for seed in (5, 6)])
    answers = run_exported("saved_model", exported[0] / "1", [images])
    comparison = compare([keras_any_size(model)(images)], answers.detections)
    comparison.check("the client's SavedModel")
    assert comparison.people > 5
    assert comparison.unmatched == 0
    assert comparison.max_pose_difference_px < 1e-3


@pytest.mark.parametrize(
    ("batch", "height", "width"),
    [(1, 1, 1), (2, 300, 20), (8, 47, 130), (1, 3000, 4000), (1, 1, 4000)],
)
def test_any_size(model, loaded, batch, height, width):
    images = np.stack([made_image(height, width, seed) for seed in range(batch)])
    outputs = arrays(loaded.signatures["serving_default"](images=tf.constant(images)))
    assert {name: len(value) for name, value in outputs.items()} == dict.fromkeys(
        ("poses", "scores", "keypoint_scores", "count", "cells"), batch
    )
    np.testing.assert_array_equal(outputs["count"], (outputs["scores"] > 0).sum(axis=1))
    comparison = compare([keras_any_size(model)(images)], [outputs])
    comparison.check("the SavedModel")
    assert comparison.matched >= 29 * batch


def test_files_of_many_sizes_in_one_batch(loaded):
    images = [made_image(*hw, seed=hw[0]) for hw in ((90, 200), (64, 64), (150, 31))]
    found = arrays(
        loaded.signatures["serve_encoded"](
            encoded=tf.constant([encoded(image) for image in images])
        )
    )
    for row, image in enumerate(images):
        alone = arrays(
            loaded.signatures["serving_default"](images=tf.constant(image[None]))
        )
        for name, value in alone.items():
            np.testing.assert_array_equal(found[name][row], value[0])


def test_jpeg_grey_and_transparent_files(loaded):
    serve = loaded.signatures["serve_encoded"]
    image = made_image(80, 100, seed=3)
    grey = np.array(Image.fromarray(image).convert("L"))
    alpha = np.full((80, 100, 1), 255, np.uint8)
    alpha[:, 50:] = 0
    white = image.copy()
    white[:, 50:] = 255
    jpeg = encoded(image, "JPEG", quality=90)
    pairs = [
        (jpeg, np.array(Image.open(io.BytesIO(jpeg)))),
        (encoded(grey), np.repeat(grey[..., None], 3, axis=2)),
        (encoded(np.concatenate([image, alpha], axis=2)), white),
    ]
    found = arrays(serve(encoded=tf.constant([file for file, _ in pairs])))
    expected = arrays(
        serve(encoded=tf.constant([encoded(pixels) for _, pixels in pairs]))
    )
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)


@pytest.mark.parametrize("broken", ["truncated", "text", "empty", "gif"])
def test_a_broken_file_is_named_and_the_model_lives_on(loaded, broken):
    serve = loaded.signatures["serve_encoded"]
    image = made_image(64, 64, seed=1)
    contents = {
        "truncated": encoded(image, "JPEG")[:300],
        "text": b"hello",
        "empty": b"",
        "gif": encoded(image, "GIF"),
    }
    good = encoded(image)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"broken file at\] \[1\]"):
        serve(encoded=tf.constant([good, contents[broken], good]))
    assert len(serve(encoded=tf.constant([good]))["scores"]) == 1


def test_no_files(loaded):
    found = loaded.signatures["serve_encoded"](encoded=tf.constant([], tf.string))
    assert found["poses"].shape == (0, 30, 17, 2)


def test_metadata(model, exported):
    content = (exported[0] / "1" / "assets.extra" / "pose.json").read_text()
    described = json.loads(content)
    assert described == describe(model, "fp32")
    assert described["letterbox"] == {"inside": True, "short_side": model.input_size}
    assert described["input"]["height"] is None
    assert described["skeleton"] == model.skeleton.to_dict()


def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return value, at


def fields(data):
    """A protobuf message by hand: (number, value) of its length-delimited fields."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        assert key & 7 == 2, "TF Serving's request has only messages and strings"
        size, at = varint(data, at)
        yield key >> 3, data[at : at + size]
        at += size


def test_warm_up_requests_are_what_tf_serving_reads(model, exported, loaded):
    """By the field numbers of TF Serving's protos, and run as it would run them."""
    file = exported[0] / "1" / "assets.extra" / "tf_serving_warmup_requests"
    records = list(tf.data.TFRecordDataset(str(file)).as_numpy_iterator())
    called = []
    for record in records:
        [(log, predict_log)] = fields(record)  # PredictionLog.predict_log = 6
        [(request, predict)] = fields(predict_log)  # PredictLog.request = 1
        assert (log, request) == (6, 1)
        parts = dict(fields(predict))  # PredictRequest: model_spec = 1, inputs = 2
        assert parts.keys() == {1, 2}
        [(number, signature)] = fields(parts[1])  # ModelSpec.signature_name = 3
        entry = dict(fields(parts[2]))
        assert (number, entry.keys()) == (3, {1, 2})
        tensor = tf.make_tensor_proto(0).FromString(entry[2])
        serve = loaded.signatures[signature.decode()]
        found = serve(**{entry[1].decode(): tf.constant(tf.make_ndarray(tensor))})
        assert found["poses"].shape == (1, 30, 17, 2)
        called.append(signature.decode())
    assert called == ["serving_default", "serve_encoded"]
