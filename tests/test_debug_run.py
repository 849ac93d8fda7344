"""The whole way in a minute: learn four scenes by heart, export, judge the files."""

import json
from pathlib import Path

import pytest
from PIL import Image

from qepose_tf.building import read_datasets
from qepose_tf.cli import main
from qepose_tf.config.reading import load_config
from qepose_tf.data.coco.dataset import read_coco
from qepose_tf.exporting import FORMATS, Exporter
from qepose_tf.exporting.accuracy import MAX_AP_LOSS, Judge
from qepose_tf.skeleton import Skeleton
from qepose_tf.training.run import train

ROOT = Path(__file__).parents[1]
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_process")]


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("debug")
    config = load_config(
        ROOT / "configs" / "debug.yaml",
        [f"train.run_dir={folder}/run", f"data.synthetic.folder={folder}/data"],
    )
    result = train(config, progress=False)
    assert result.metrics["val_ap"] >= 0.8
    assert result.metrics["val_ap50"] >= 0.95
    scenes, _ = read_datasets(config, Skeleton.load(config.skeleton))
    return result.model, scenes


def test_every_format_and_precision(learned, tmp_path, capsys):
    pytest.importorskip("ai_edge_quantizer")
    pytest.importorskip("onnxruntime")
    pytest.importorskip("openvino")
    model, scenes = learned
    images = scenes.records[0].file.parent
    words = ["export", model, "--format", "all", "--out", tmp_path / "all"]
    words += ["--verify", scenes.path, images, "--calibrate", images]
    code = main([*map(str, words), "--json", str(tmp_path / "report.json")])
    shown = capsys.readouterr()
    assert code == 0, shown.err
    report = json.loads((tmp_path / "report.json").read_text())
    rows = {(row["format"], row["precision"]): row for row in report["verified"]}
    files = {(f, p) for f, row in FORMATS.items() for p in row.precisions}
    assert rows.keys() == files | {("keras", "fp32"), ("keras, fixed size", "fp32")}
    assert rows["keras", "fp32"]["ap"] >= 0.8
    for (format, precision), row in rows.items():
        assert f"{format} " in shown.err
        if not format.startswith("keras"):
            assert row["verdict"] == "passed"
            assert row["ap_change"] >= -MAX_AP_LOSS[precision]
            assert row["megabytes"] > 0.5
            assert row["latency_ms"] > 0
    assert rows["saved_model", "fp32"]["max_pose_difference_px"] <= 1e-3
    assert rows["tflite", "fp32"]["max_pose_difference_px"] <= 0.05
    assert rows["tflite", "fp16"]["max_pose_difference_px"] <= 0.5
    assert len(list((tmp_path / "all").iterdir())) == len(files)


def test_the_reference_is_what_evaluate_says(learned):
    """On its own size no pixel is resized, so both readers see the same images."""
    model, scenes = learned
    with Exporter(model) as exporter:
        judge = Judge(exporter, scenes)
        _, any_size = judge._reference(False)
        _, fixed = judge._reference(True)
    assert any_size == fixed >= 0.8


def test_a_file_that_loses_too_much_is_reported_and_not_written(
    learned, tmp_path, capsys
):
    pytest.importorskip("ai_edge_quantizer")
    model, scenes = learned
    images = scenes.records[0].file.parent
    path = tmp_path / "model.tflite"
    words = ["export", model, "--format", "tflite", "--precision", "int8"]
    words += ["--out", path, "--verify", scenes.path, images]
    # Ranges of a black picture: every activation is cut off.
    black = tmp_path / "black"
    black.mkdir()
    Image.new("RGB", (128, 128)).save(black / "black.png")
    code = main([str(word) for word in [*words, "--calibrate", black]])
    shown = capsys.readouterr()
    assert code == 1
    assert "failed" in shown.err
    last = shown.err.strip().splitlines()[-1]
    assert last.startswith("qepose: tflite int8 loses ")
    assert "more than 0.02: not written" in last
    assert [p.name for p in tmp_path.iterdir()] == ["black"]


def test_images_without_people(learned, tmp_path):
    model, scenes = learned
    empty = json.loads(scenes.path.read_text())
    empty["annotations"] = []
    annotations = tmp_path / "nobody.json"
    annotations.write_text(json.dumps(empty))
    nobody = read_coco(annotations, scenes.records[0].file.parent, scenes.skeleton)
    with Exporter(model) as exporter:
        with pytest.raises(ValueError, match="nobody.json: expected people"):
            Judge(exporter, nobody)
