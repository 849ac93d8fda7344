"""`qepose benchmark` from words to exit codes."""

import json

import numpy as np
import pytest
from PIL import Image

from qepose_tf.benchmark import stages
from qepose_tf.benchmark.exported_file import BOXED, DECODE, NETWORK, WHOLE
from qepose_tf.cli import main

CONFIG = """
name: tiny
model: {backbone: tiny, input_size: 64}
data: {synthetic: {train_scenes: 4, image_size: 64}}
"""
QUICK = ("--runs", 1, "--warmup", 0)


def run(*words):
    return main(["benchmark", *map(str, words)])


def fails(capsys, *words):
    assert run(*words) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = shown.err.splitlines()
    return line.removeprefix("qepose: ")


@pytest.fixture
def picture(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (80, 100, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "picture.jpg")
    return tmp_path / "picture.jpg"


@pytest.mark.slow
def test_a_model_file(capsys, model_file, picture, tmp_path):
    report = tmp_path / "report.json"
    words = [model_file, "--images", picture, *QUICK, "--json", report]
    assert run(*words) == 0
    shown = capsys.readouterr().out
    assert f"| {stages.BODY} |" in shown
    assert "untrained" not in shown
    content = json.loads(report.read_text())
    assert list(content) == ["command", "facts", "rows", "targets"]
    assert content["facts"]["weights"] == "of the file"
    assert content["facts"]["image"] == [80, 100]
    names = [row["name"] for row in content["rows"]]
    assert names[:3] == ["decode image", "resize", "body"]
    assert names[-2:] == [stages.REST, stages.LEFT]
    for row in content["rows"]:
        assert {"name", "median ms", "low", "high", "x body", "max px"} <= set(row)


@pytest.mark.slow
def test_a_config_is_timed_untrained(capsys, tmp_path):
    config = tmp_path / "tiny.yaml"
    config.write_text(CONFIG)
    assert run(config, "--runtime", "tflite", *QUICK, "--json") == 0
    content = json.loads(capsys.readouterr().out)  # stdout is JSON alone
    assert content["facts"]["weights"] == "untrained, settled on the images"
    assert content["facts"]["images"][0] == "made 0"
    (row,) = content["rows"]
    assert row["name"] == "tflite fp32"
    assert row["max px"] < 0.5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{model}", "--runtime", "coreml"], "expected a runtime of tensorflow, "),
        (["{model}", "--runtime", "tflite", "--precision", "bf16"], "tflite: expected"),
        (["{model}", "--peer", "torch"], "peer torch: expected a backbone of w18, "),
        (["{model}", "--peer", "jax"], "expected a peer of torch, got 'jax'"),
        (["{model}", "--runs", 0], "runs: expected at least 1, got 0"),
        (["{model}", "--threads", 0], "threads: expected 1 to "),
        (["{folder}/none.keras"], "{folder}/none.keras: expected a .keras model file"),
        (["{folder}/none.yaml"], "{folder}/none.yaml: no such config file"),
        (["{model}", "--images", "{folder}/none"], "{folder}/none: no such file"),
        (
            ["{model}", "--images", "{model}"],
            "none of 1 pictures could be read, the first: {model}: expected an image",
        ),
        (
            ["{model}", "--runtime", "onnx", "--files", "{folder}"],
            "{folder}/onnx.onnx: expected what `qepose export --format all` writes",
        ),
        (
            ["{model}", "--runtime", "tflite", "--precision", "int8"],
            "int8: expected images to calibrate with (--images), got none",
        ),
    ],
    ids=lambda value: " ".join(map(str, value[1:])) if isinstance(value, list) else "",
)
def test_one_clear_line(capsys, model_file, tmp_path, words, message):
    places = {"model": model_file, "folder": tmp_path}
    words = [str(word).format(**places) for word in words]
    assert fails(capsys, *words).startswith(message.format(**places))


def test_wrong_usage():
    assert run("--frobnicate") == 2
    assert run("model.keras", "--runs", "many") == 2


@pytest.mark.slow
def test_an_exported_file_is_timed_alone(capsys, picture, tmp_path):
    pytest.importorskip("ai_edge_litert", reason="needs LiteRT")
    file = tmp_path / "people.tflite"
    assert main(["export", "people", "--format", "tflite", "--out", str(file)]) == 0
    capsys.readouterr()
    report = tmp_path / "report.json"
    assert run(file, "--images", picture, *QUICK, "--json", report) == 0
    assert "people.tflite (tflite fp32), batch 1, 1 rounds" in capsys.readouterr().out
    content = json.loads(report.read_text())
    rows = {row["name"]: row["median ms"] for row in content["rows"]}
    assert list(rows) == [DECODE, BOXED, NETWORK, WHOLE]
    assert min(rows.values()) > 0 and rows[DECODE] < rows[NETWORK]
    assert content["facts"]["images"] == [str(picture)]
    line = fails(capsys, file, "--runtime", "onnx")
    assert line.startswith(f"--runtime: {file} is an exported file")
