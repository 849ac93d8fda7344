"""What is refused, by every format alike; nothing stays where an export fails."""

import numpy as np
import pytest

from qepose_tf.exporting import FORMATS, Exporter, export
from qepose_tf.exporting.checks.clean_process import run_exported
from qepose_tf.exporting.exporter import every_file


def test_wrong_formats_and_precisions(model, tmp_path):
    with pytest.raises(ValueError, match="saved_model, tflite, .* got 'coreml'"):
        export(model, tmp_path / "model", format="coreml")
    for format, precision, known in (
        ("saved_model", "int8", "fp32"),
        ("tflite", "bf16", "fp32, fp16, dynamic, int8"),
        ("onnx", "fp16", "fp32"),
        ("openvino", "int8", "fp32, fp16, bf16"),
    ):
        message = f"{format}: expected a precision of {known}, got '{precision}'"
        with pytest.raises(ValueError, match=message):
            export(model, tmp_path / "model", format=format, precision=precision)
    assert not list(tmp_path.iterdir())


def test_sides(model):
    with pytest.raises(ValueError, match="multiples of 32 .* height 100, width 128"):
        Exporter(model, height=100)
    with pytest.raises(ValueError, match="batch of at least 1, .* batch 0"):
        Exporter(model, batch=0)


def test_int8_without_images(exporter, model, tmp_path):
    with Exporter(model) as uncalibrated:
        with pytest.raises(ValueError, match="int8: expected images to calibrate with"):
            uncalibrated.write("tflite", tmp_path / "model.tflite", "int8")
    assert not list(tmp_path.iterdir())


def test_existing_paths_are_kept(exporter, tmp_path):
    (tmp_path / "model.tflite").write_bytes(b"mine")
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "photo.jpg").write_bytes(b"1")
    with pytest.raises(FileExistsError, match="model.tflite: exists"):
        exporter.write("tflite", tmp_path / "model.tflite")
    with pytest.raises(FileExistsError, match="only a file is overwritten"):
        exporter.write("tflite", tmp_path, overwrite=True)
    with pytest.raises(FileExistsError, match="1: exists"):
        exporter.write("saved_model", tmp_path)
    with pytest.raises(FileExistsError, match="only a folder that holds saved_model"):
        exporter.write("saved_model", tmp_path, overwrite=True)
    assert (tmp_path / "model.tflite").read_bytes() == b"mine"
    assert (tmp_path / "1" / "photo.jpg").read_bytes() == b"1"


@pytest.mark.slow
def test_what_a_judge_rejects_does_not_stay(exporter, tmp_path):
    seen = []

    def judge(format, precision, path):
        seen.append((format, precision, path.stat().st_size > 100_000))
        raise ValueError("too bad")

    (tmp_path / "model.tflite").write_bytes(b"mine")
    with pytest.raises(ValueError, match="too bad"):
        exporter.write("tflite", tmp_path / "model.tflite", overwrite=True, judge=judge)
    assert seen == [("tflite", "fp32", True)]
    assert (tmp_path / "model.tflite").read_bytes() == b"mine"
    assert [p.name for p in tmp_path.iterdir()] == ["model.tflite"]


def test_a_file_that_no_runtime_reads_is_named(tmp_path):
    (tmp_path / "model.tflite").write_bytes(b"no model")
    with pytest.raises(
        ValueError, match="model.tflite does not run as tflite: .*not a valid"
    ):
        run_exported("tflite", tmp_path / "model.tflite", [np.zeros((1, 8, 8, 3))])


def test_every_file_has_a_path_of_its_own(tmp_path):
    files = every_file(tmp_path)
    assert {(format, precision) for format, precision, _ in files} == {
        (name, precision)
        for name, row in FORMATS.items()
        for precision in row.precisions
    }
    assert len({path for *_, path in files}) == len(files)
