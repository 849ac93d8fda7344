import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from qepose_tf.exporting import export_model, export_saved_model
from qepose_tf.exporting.verify import (
    compare,
    keras_any_size,
    made_image,
)

CLIENT = """
import sys
import numpy as np
import tensorflow as tf

loaded = tf.saved_model.load(sys.argv[1])
images = np.load(sys.argv[2])
outputs = loaded.signatures["serving_default"](images=tf.constant(images))
np.savez(sys.argv[3], **{k: v.numpy() for k, v in outputs.items()})
assert "qepose_tf" not in sys.modules
"""


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "made" / "saved_model"
    return path, export_saved_model(model, path)


@pytest.fixture(scope="module")
def loaded(exported):
    return tf.saved_model.load(str(exported[0]))


def test_export_compares_what_it_wrote(exported):
    path, comparison = exported
    assert [p.name for p in path.parent.iterdir()] == ["saved_model"]
    assert comparison.people > 10
    assert comparison.matched >= 80
    assert comparison.unmatched == 0
    assert comparison.max_pose_difference_px < 0.01
    assert comparison.max_score_difference < 1e-4


def test_signature(loaded):
    serve = loaded.signatures["serving_default"]
    (images,) = serve.structured_input_signature[1].values()
    assert images == tf.TensorSpec([None, None, None, 3], tf.uint8, name="images")
    assert serve.structured_outputs["poses"].shape.as_list() == [None, 30, 17, 2]


def test_a_client_needs_tensorflow_alone(model, exported, tmp_path):
    images = np.stack([made_image(100, 70, seed) for seed in (5, 6)])
    np.save(tmp_path / "images.npy", images)
    arguments = [exported[0], tmp_path / "images.npy", tmp_path / "out.npz"]
    subprocess.run(
        [sys.executable, "-I", "-c", CLIENT, *map(str, arguments)],
        cwd=tmp_path,
        check=True,
        timeout=120,
    )
    with np.load(tmp_path / "out.npz") as outputs:
        comparison = compare([keras_any_size(model)(images)], [dict(outputs)])
    comparison.check("the client's SavedModel")
    assert comparison.people > 5
    assert comparison.unmatched == 0
    assert comparison.max_pose_difference_px < 0.01


@pytest.mark.parametrize(
    ("batch", "height", "width"), [(1, 1, 1), (2, 300, 20), (1, 47, 130)]
)
def test_any_size(model, loaded, batch, height, width):
    images = np.stack([made_image(height, width, seed) for seed in range(batch)])
    outputs = loaded.signatures["serving_default"](images=tf.constant(images))
    outputs = {name: value.numpy() for name, value in outputs.items()}
    assert {k: v.shape for k, v in outputs.items()} == {
        "poses": (batch, 30, 17, 2),
        "scores": (batch, 30),
        "keypoint_scores": (batch, 30, 17),
        "cells": (batch, 30, 2),
    }
    assert outputs["cells"].dtype == np.int32
    comparison = compare([keras_any_size(model)(images)], [outputs])
    comparison.check("the SavedModel")
    assert comparison.matched >= 30 * batch - 1


def test_an_existing_path_is_kept(model, exported, tmp_path):
    with pytest.raises(FileExistsError, match="exists"):
        export_saved_model(model, exported[0])
    (tmp_path / "photo.jpg").write_bytes(b"1")
    with pytest.raises(FileExistsError, match="only a folder that holds saved_model"):
        export_model(model, "saved_model", tmp_path, overwrite=True)
    assert (tmp_path / "photo.jpg").read_bytes() == b"1"


def test_unknown_format(model, tmp_path):
    with pytest.raises(ValueError, match="saved_model, tflite, got 'coreml'"):
        export_model(model, "coreml", tmp_path / "model")
