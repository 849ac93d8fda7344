import numpy as np
import pytest
import tensorflow as tf

from qepose_tf.exporting import export_tflite
from qepose_tf.exporting.verify import made_image, tflite_detector


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "model.tflite"
    return path, export_tflite(model, path, height=128, width=96)


def test_export_compares_what_it_wrote(exported):
    path, comparison = exported
    assert [p.name for p in path.parent.iterdir()] == ["model.tflite"]
    assert comparison.people > 10
    assert comparison.matched >= 58
    assert comparison.unmatched == 0
    assert comparison.max_pose_difference_px < 0.01
    assert comparison.max_score_difference < 1e-4


@pytest.mark.filterwarnings("ignore:(?s).*tf.lite.Interpreter is deprecated")
def test_built_in_operations_and_named_outputs_only(exported):
    interpreter = tf.lite.Interpreter(str(exported[0]))
    names = {details["op_name"] for details in interpreter._get_ops_details()}
    assert "CONV_2D" in names
    assert not [n for n in names if n.startswith("Flex") or "CUSTOM" in n.upper()]
    assert interpreter.get_signature_list() == {
        "serving_default": {
            "inputs": ["images"],
            "outputs": ["cells", "keypoint_scores", "poses", "scores"],
        }
    }


def test_one_image_after_another(exported):
    detect = tflite_detector(exported[0])
    first, second = (made_image(128, 96, seed)[None] for seed in (7, 8))
    before = detect(first)
    between = detect(second)
    after = detect(first)
    assert {k: (v.shape, v.dtype) for k, v in before.items()} == {
        "poses": ((1, 30, 17, 2), np.float32),
        "scores": ((1, 30), np.float32),
        "keypoint_scores": ((1, 30, 17), np.float32),
        "cells": ((1, 30, 2), np.int32),
    }
    assert not np.array_equal(before["poses"], between["poses"])
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value)


def test_sides_and_existing_files(model, exported, tmp_path):
    with pytest.raises(ValueError, match="multiples of 32 .* got 100x128"):
        export_tflite(model, tmp_path / "model.tflite", height=100)
    with pytest.raises(FileExistsError, match="exists"):
        export_tflite(model, exported[0])
    with pytest.raises(FileExistsError, match="only a file is overwritten"):
        export_tflite(model, tmp_path, overwrite=True)
    assert not list(tmp_path.iterdir())
