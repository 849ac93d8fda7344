"""The commands from words to exit codes; what they compute is tested elsewhere."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qepose_tf import __version__
from qepose_tf.cli import main
from qepose_tf.skeleton import COCO
from tests.weights import torch_shapes
from tests.weights.torch_format import write_zip
from tests.weights.torch_shapes import random_tensors

ROOT = Path(__file__).parents[2]
FIGURES = ("AP", "AP50", "AP75", "APM", "APL", "AR", "AR50", "AR75", "ARM", "ARL")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="module")
def model_file(folder) -> Path:
    from qepose_tf.models import PoseEstimator

    path = folder / "model.keras"
    PoseEstimator(COCO, backbone="tiny", input_size=64).save(path)
    return path


@pytest.fixture(scope="module")
def images(folder) -> Path:
    path = folder / "images"
    path.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (48, 96, 3), np.uint8)
    for name in ("7.png", "8.png"):
        Image.fromarray(pixels).save(path / name)
    return path


@pytest.fixture(scope="module")
def annotations(folder, images) -> Path:
    person = {"id": 1, "image_id": 7, "category_id": 1, "iscrowd": 0}
    person |= {"bbox": [8, 8, 32, 32], "area": 1024.0, "num_keypoints": 17}
    person |= {"keypoints": [20.0, 20.0, 2] * 17, "segmentation": []}
    content = {
        "images": [
            {"id": number, "file_name": f"{number}.png", "height": 48, "width": 96}
            for number in (7, 8)
        ],
        "annotations": [person],
        "categories": [
            {"id": 1, "name": "person", "keypoints": list(COCO.keypoints)},
        ],
    }
    path = folder / "labels.json"
    path.write_text(json.dumps(content))
    return path


def fails(capsys, *words: object) -> str:
    """Runs a command that must fail, and returns its one line on stderr."""
    assert main([str(word) for word in words]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    lines = output.err.splitlines()
    assert len(lines) == 1, output.err
    assert lines[0].startswith("qepose: ")
    return lines[0]


def test_help_and_version(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    commands = ("train", "evaluate", "predict", "export", "info", "prepare")
    for command in commands:
        assert command in shown
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"qepose_tf {__version__}\n"


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["frobnicate"],
        ["train"],
        ["train", "a.yaml", "--frobnicate"],
        ["evaluate", "m.keras"],
        ["evaluate", "m.keras", "--annotations", "a", "--images", "b", "--limit", "x"],
        ["predict", "m.keras", "--out", "x"],
        ["export", "m.keras", "--format", "coreml", "--out", "x"],
        ["export", "m.keras", "--out", "x"],
        ["info", "a.yaml", "--frobnicate"],
        ["prepare", "--annotations", "a", "--images", "b", "--out", "c"],
        ["evaluate", "m.keras", "--annotations", "a", "--tfrecords", "b"],
        ["evaluate", "m.keras", "--config", "a", "--tfrecords", "b"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_code_2(words, capsys):
    assert main(words) == 2


def test_missing_config(capsys):
    assert "none.yaml: no such config file" in fails(capsys, "train", "none.yaml")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epoch=3", "unknown key train.epoch = 3, did you mean train.epochs?"),
        ("train.epochs=abc", "train.epochs = 'abc': expected a valid integer"),
        ("train.epochs", "expected key=value, got 'train.epochs'"),
    ],
)
def test_wrong_overrides(capsys, override, message):
    config = ROOT / "configs/debug.yaml"
    assert message in fails(capsys, "train", config, override)


def test_wrong_key_in_a_file_names_the_file(capsys, tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text("model: {backbones: tiny}")
    line = fails(capsys, "train", path)
    assert f"{path}: unknown key model.backbones" in line
    assert "did you mean model.backbone?" in line


def test_debug_shows_the_traceback(capsys):
    for words in (["--debug", "train", "none.yaml"], ["train", "none.yaml", "--debug"]):
        with pytest.raises(FileNotFoundError, match="none.yaml"):
            main(words)


def test_training_into_an_unwritable_folder(capsys, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    config, run_dir = ROOT / "configs/debug.yaml", f"train.run_dir={blocked}/run"
    line = fails(capsys, "train", config, run_dir)
    assert f"{blocked}/run: expected a writable folder, {blocked} is a file" in line


def test_missing_random_and_foreign_model_files(capsys, tmp_path):
    missing = tmp_path / "missing.keras"
    assert f"{missing}: expected a .keras model file" in fails(capsys, "info", missing)
    noise = tmp_path / "noise.keras"
    noise.write_bytes(np.random.default_rng(0).bytes(1000))
    for words in (
        ["info", noise],
        ["evaluate", noise, "--annotations", "a.json", "--images", tmp_path],
        ["export", noise, "--format", "tflite", "--out", tmp_path / "a.tflite"],
    ):
        assert f"{noise}: expected a .keras model file" in fails(capsys, *words)
    assert [path.name for path in tmp_path.iterdir()] == ["noise.keras"]


def test_predicting_from_random_bytes_leaves_no_picture(capsys, tmp_path, images):
    noise = tmp_path / "noise.keras"
    noise.write_bytes(b"noise")
    out = tmp_path / "out"
    line = fails(capsys, "predict", noise, images, "--out", out)
    assert str(noise) in line
    assert list(out.iterdir()) == []


def test_outputs_are_refused_before_work_begins(capsys, tmp_path, images):
    blocked = tmp_path / "file"
    blocked.write_text("kept")
    under = blocked / "out"
    expected = f"{under}: expected a writable folder, Not a directory"
    model = tmp_path / "never-read.keras"
    assert expected in fails(capsys, "predict", model, images, "--out", under)
    labels = ["--annotations", "a.json", "--images", images]
    words = ["evaluate", model, *labels, "--json", under / "a.json"]
    assert expected in fails(capsys, *words)
    words = ["export", model, "--format", "tflite", "--out", under / "a.tflite"]
    assert expected in fails(capsys, *words)
    assert f"{tmp_path}: expected a file, got a folder" in fails(
        capsys, "info", model, "--json", tmp_path
    )
    assert blocked.read_text() == "kept"


def test_missing_images_and_annotations(capsys, tmp_path, model_file):
    missing = tmp_path / "missing"
    words = ["predict", model_file, missing, "--out", tmp_path / "out"]
    assert f"{missing}: no such file or folder" in fails(capsys, *words)
    labels = ["--annotations", missing, "--images", tmp_path]
    assert str(missing) in fails(capsys, "evaluate", model_file, *labels)
    assert list(tmp_path.iterdir()) == []


def test_info_of_a_model_and_of_its_config_agree(capsys, tmp_path, model_file):
    config = tmp_path / "tiny.yaml"
    config.write_text("model: {backbone: tiny, input_size: 64}")
    assert main(["info", str(config), "--json"]) == 0
    from_config = json.loads(capsys.readouterr().out)
    path = tmp_path / "info.json"
    assert main(["info", str(model_file), "--json", str(path)]) == 0
    assert json.loads(path.read_text()) == from_config
    shown = capsys.readouterr().out
    assert f"trainable_params       {from_config['trainable_params']:,}\n" in shown
    assert "skeleton               coco, 17 keypoints\n" in shown
    assert from_config["body_trainable_params"] < from_config["trainable_params"]
    assert from_config["input_size"] == 64
    assert from_config["skeleton"] == COCO.to_dict()
    assert from_config["output_shapes"] == {
        "score_map": [None, 16, 16, 1],
        "poses": [None, 30, 17, 2],
        "scores": [None, 30],
        "keypoint_scores": [None, 30, 17],
        "cells": [None, 30, 2],
    }


def test_info_takes_overrides_of_a_config_alone(capsys, model_file):
    words = ["info", str(ROOT / "configs/people.yaml"), "data.root=nowhere"]
    assert main([*words, "model.input_size=64", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["input_size"] == 64
    assert 0 < report["macs"] and 0 < report["body_trainable_params"] < 5e6
    error = fails(capsys, "info", model_file, "model.input_size=64")
    assert "model.keras: expected a config before model.input_size=64" in error


@pytest.mark.slow
def test_evaluate_names_the_ten_figures(
    capsys, tmp_path, model_file, images, annotations
):
    report, results = tmp_path / "report.json", tmp_path / "results.json"
    words = ["evaluate", model_file, "--annotations", annotations, "--images", images]
    words += ["--json", report, "--results", results, "--batch-size", 2]
    assert main([str(word) for word in words]) == 0
    figures = json.loads(report.read_text())
    assert all(-1 <= figures[name] <= 1 for name in FIGURES)
    assert figures["images"] == 2
    shown = capsys.readouterr().out.splitlines()
    names = [line.split()[0] for line in shown]
    assert names == list(figures)
    assert {entry["image_id"] for entry in json.loads(results.read_text())} <= {7, 8}


@pytest.mark.slow
def test_evaluate_with_the_whole_protocol(
    capsys, tmp_path, model_file, annotations, images
):
    folder = tmp_path / "calibration"
    words = ["evaluate", model_file, "--annotations", annotations, "--images", images]
    words += ["--flip", "--scales", "0.5,1", "--nms-distance", "0.1", "--json"]
    words += ["--max-detections", "5", "--score-threshold", "0"]
    assert main([str(word) for word in [*words, "--calibration", folder]]) == 0
    report = json.loads(capsys.readouterr().out)
    assert all(-1 <= report[name] <= 1 for name in FIGURES)
    figures = json.loads((folder / "calibration.json").read_text())
    assert report["calibration_error"] == figures["calibration_error"]
    assert report["calibration"] == str(folder)
    with Image.open(folder / "calibration.png") as picture:
        assert picture.width >= 1000


def test_a_wrong_protocol_is_named(capsys, model_file, annotations, images):
    words = ["evaluate", model_file, "--annotations", annotations, "--images", images]
    wrong = {"1;2": "--scales: expected numbers", "0": "scales: expected numbers above"}
    for scales, message in wrong.items():
        assert message in fails(capsys, *words, "--scales", scales)


def test_import_weights_writes_a_file_and_a_report(capsys, tmp_path):
    config = tmp_path / "tiny.yaml"
    config.write_text("model: {backbone: tiny, input_size: 64}\n")
    shapes = torch_shapes.body("tiny") | torch_shapes.pose_head("tiny")
    checkpoint = write_zip(tmp_path / "hrnet.pth", random_tensors(shapes))
    out = tmp_path / "tiny.weights.h5"
    words = ["import-weights", checkpoint, "--config", config, "--out", out, "--json"]
    assert main([str(word) for word in words]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["backbone"] == "tiny" and report["out"] == str(out)
    assert sum(map(len, report["unused"].values())) + report["tensors_used"] == len(
        shapes
    )
    out.unlink()
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    assert "hrnet.pth" in fails(capsys, *words[:-1])
    assert not out.exists()


@pytest.mark.slow
def test_predict_draws_and_writes_coco_results(capsys, tmp_path, model_file, images):
    out, copy = tmp_path / "out", tmp_path / "copy.json"
    words = ["predict", model_file, images, "--out", out, "--json", copy]
    assert main([str(word) for word in words]) == 0
    names = sorted(path.name for path in out.iterdir())
    assert names == ["7_poses.jpg", "8_poses.jpg", "results.json"]
    assert json.loads(copy.read_text()) == json.loads(
        (out / "results.json").read_text()
    )
    with Image.open(out / "7_poses.jpg") as picture:
        assert picture.size == (96, 48)


@pytest.mark.slow
def test_export_writes_and_compares(capsys, tmp_path, model_file):
    path = tmp_path / "model.tflite"
    words = ["export", model_file, "--format", "tflite", "--out", path, "--json"]
    assert main([str(word) for word in words]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["max_pose_difference_px"] <= 0.5
    content = path.read_bytes()
    assert content[4:8] == b"TFL3"
    words = ["export", model_file, "--format", "tflite", "--out", path]
    assert f"{path}: exists" in fails(capsys, *words)
    assert path.read_bytes() == content


@pytest.mark.slow
def test_exit_codes_of_the_training_script(forks):
    def run(*words: str) -> tuple[int, str, str]:
        process = forks.start("train_tf", *words)
        return process.wait(), *process.communicate()

    assert run()[0] == 2
    words = ("train.epoch=3", "--config", "configs/debug.yaml", "seed=1")
    assert run(*words) == (
        1,
        "",
        "qepose: command line: unknown key train.epoch = 3, "
        "did you mean train.epochs?\n",
    )
    assert run("--help")[0] == 0


def test_the_command_line_starts_without_tensorflow():
    code = "import sys, qepose_tf.cli; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
