"""Exported files as models: recognised, refused in one line, without TensorFlow."""

import subprocess
import sys
import zipfile

import pytest

from qepose_tf.inference.exported_files import format_of
from qepose_tf.inference.exported_model import ExportedModel


def test_formats_are_told_by_suffix_or_by_what_is_in_a_folder(tmp_path):
    for name in ("a.tflite", "a.onnx", "served/1/saved_model.pb", "ov/pose.xml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "served/12").mkdir()
    (tmp_path / "served/12/saved_model.pb").touch()
    assert format_of(tmp_path / "a.tflite") == ("tflite", tmp_path / "a.tflite")
    assert format_of(tmp_path / "a.onnx") == ("onnx", tmp_path / "a.onnx")
    assert format_of(tmp_path / "served") == ("saved_model", tmp_path / "served/12")
    assert format_of(tmp_path / "ov") == ("openvino", tmp_path / "ov/pose.xml")
    assert format_of(tmp_path) is None and format_of("photo.jpg") is None


@pytest.mark.parametrize("name", ["x.tflite", "x.onnx", "x.xml"])
def test_a_file_that_is_not_ours_gets_one_line(tmp_path, name):
    (tmp_path / name).write_bytes(b"no model")
    with pytest.raises(ValueError, match=f"{name}: expected a model .* no pose.json"):
        ExportedModel(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="missing.tflite: expected an exported"):
        ExportedModel(tmp_path / "missing.tflite")
    with zipfile.ZipFile(tmp_path / "old.tflite", "w") as archive:
        archive.writestr("pose.json", "{}")
    with pytest.raises(ValueError, match="old.tflite: its pose.json .*export the"):
        ExportedModel(tmp_path / "old.tflite")


def test_the_way_to_an_exported_model_imports_no_tensorflow():
    code = (
        "import sys, qepose_tf, qepose_tf.cli; qepose_tf.Predictor;"
        "import qepose_tf.inference.prediction_files;"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
