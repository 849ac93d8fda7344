"""`qepose export` from words to exit codes."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qepose_tf.cli import main
from qepose_tf.exporting import FORMATS

ROOT = Path(__file__).parents[2]
CLI = "import sys; from qepose_tf.cli import main; sys.exit(main())"


@pytest.fixture(scope="module")
def model_file(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "best.keras"
    model.save(path)
    return path


def export(*words):
    return main(["export", *map(str, words)])


def fails(capsys, *words):
    assert export(*words) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = shown.err.splitlines()
    return line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--format", "saved_model", "--precision", "int8"],
            "saved_model: expected a precision of fp32, got 'int8'",
        ),
        (
            ["--format", "tflite", "--precision", "bf16"],
            "tflite: expected a precision of fp32, fp16, dynamic, int8, got 'bf16'",
        ),
        (
            ["--format", "tflite", "--precision", "int8"],
            "int8: expected images to calibrate with (--calibrate), got none",
        ),
        (
            ["--format", "tflite", "--precision", "int8", "--calibrate", "{empty}"],
            "{empty}: expected images, found none",
        ),
        (
            ["--format", "tflite", "--calibrate", "{missing}"],
            "{missing}: no such file or folder",
        ),
        (
            ["--format", "onnx", "--height", "100"],
            "expected sides that are multiples of 32 and a batch of at least 1, "
            "got height 100, width 128 and batch 1",
        ),
        (
            ["--format", "tflite", "--verify", "{missing}", "{empty}"],
            "{empty}: expected images, found none",
        ),
    ],
)
def test_one_clear_line_and_nothing_written(
    capsys, tmp_path, model_file, words, message
):
    empty, missing = tmp_path / "empty", tmp_path / "missing"
    empty.mkdir()
    places = {"empty": empty, "missing": missing}
    out = tmp_path / "out" / "file"
    words = [word.format(**places) for word in words]
    line = fails(capsys, model_file, "--out", out, *words)
    assert line.startswith(f"qepose: {message.format(**places)}")
    assert not out.exists()
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("format", "precision", "package", "extra"),
    [
        ("tflite", "dynamic", "ai_edge_quantizer", "litert"),
        ("onnx", "fp32", "tf2onnx", "onnx"),
        ("openvino", "fp32", "openvino", "openvino"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(
    capsys, monkeypatch, model_file, tmp_path, format, precision, package, extra
):
    # None is how Python is told that a module cannot be imported.
    monkeypatch.setitem(sys.modules, package, None)
    words = ["--format", format, "--precision", precision, "--out", tmp_path / "file"]
    line = fails(capsys, model_file, *words)
    assert line.endswith(f"is not installed: pip install 'qepose-tf[{extra}]'")
    assert list(tmp_path.iterdir()) == []


def test_all_has_every_precision(capsys, model_file, tmp_path):
    words = ["--format", "all", "--precision", "fp32", "--out", tmp_path / "all"]
    assert export(model_file, *words) == 2
    assert "writes every precision" in capsys.readouterr().err


def test_all_is_refused_before_anything_is_written(capsys, model_file, tmp_path):
    words = [model_file, "--format", "all", "--out", tmp_path / "all"]
    assert "int8: expected images to calibrate" in fails(capsys, *words)
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "onnx.onnx").write_bytes(b"mine")
    words += ["--calibrate", tmp_path]
    assert "onnx.onnx: exists" in fails(capsys, *words)
    assert [p.name for p in (tmp_path / "all").iterdir()] == ["onnx.onnx"]
    assert (tmp_path / "all" / "onnx.onnx").read_bytes() == b"mine"


@pytest.mark.slow
def test_int8_from_a_folder_of_pictures(capsys, model_file, tmp_path):
    pytest.importorskip("ai_edge_quantizer")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (3, 90, 140, 3), np.uint8)
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(pictures / f"{number}.png")
    words = ["--format", "tflite", "--precision", "int8", "--calibrate", pictures]
    report = tmp_path / "report.json"
    out = tmp_path / "new" / "pose.tflite"
    assert export(model_file, *words, "--out", out, "--json", report) == 0
    assert capsys.readouterr().err == ""
    figures = json.loads(report.read_text())
    assert (figures["format"], figures["precision"]) == ("tflite", "int8")
    assert figures["matched"] > 0
    assert [p.name for p in out.parent.iterdir()] == ["pose.tflite"]


@pytest.mark.slow
def test_the_terminal_shows_the_report_and_nothing_else(model_file, tmp_path):
    """One start for every format: TensorFlow's takes as long as an export."""
    for package in ("tf2onnx", "openvino"):
        pytest.importorskip(package)
    every = "\n".join(
        [
            "import sys; from qepose_tf.cli import main",
            "for format in sys.argv[3:]:",
            "    words = ['--format', format, '--out', f'{sys.argv[2]}/{format}']",
            "    print(main(['export', sys.argv[1], *words]))",
        ]
    )
    words = [sys.executable, "-c", every, model_file, tmp_path, *FORMATS]
    done = subprocess.run(
        list(map(str, words)),
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"},
    )
    assert done.returncode == 0
    assert done.stderr == ""
    *reports, rest = re.split(r"^0$\n", done.stdout, flags=re.M)
    assert len(reports) == len(FORMATS) and rest == ""
    for format, report in zip(FORMATS, reports, strict=True):
        lines = [line.split() for line in report.splitlines()[:3]]
        assert [line[0] for line in lines] == ["format", "precision", "out"]
        assert lines[0][1] == format


@pytest.mark.slow
def test_ctrl_c_leaves_nothing(forks, model_file, tmp_path):
    out = tmp_path / "new" / "pose"
    words = ["export", model_file, "--format", "saved_model", "--out", out]
    # A shell's background job would ignore the signal, and so would its children.
    restore = "import signal; signal.signal(2, signal.default_int_handler); "
    process = forks.start("-c", restore + CLI, *words)
    until = time.monotonic() + 120
    while not (out.is_dir() and list(out.iterdir())):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 1
    assert error.splitlines()[-1] == "qepose: interrupted"
    assert list(tmp_path.rglob("*.pb")) == []
    assert not out.exists() or list(out.iterdir()) == []
