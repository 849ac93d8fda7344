"""A tiny model and every runtime that is installed, for a round or two."""

import importlib.util

import numpy as np
import pytest

from benchmarks.inference_targets import inference_targets
from qepose_tf.benchmark import peers, products, stages
from qepose_tf.benchmark.report import Report
from qepose_tf.benchmark.rows import Measured, add_rows
from qepose_tf.benchmark.runtimes import chosen_files
from qepose_tf.benchmark.side_by_side import Settings, side_by_side
from qepose_tf.benchmark.timing import Timing
from qepose_tf.exporting.checks.comparison import Comparison

INSTALLED = ["tensorflow", "saved_model", "tflite"]
INSTALLED += [
    name
    for name, packages in (("onnx", ("onnxruntime", "tf2onnx")), ("openvino", ()))
    if all(map(importlib.util.find_spec, (*packages, name)))
]


@pytest.fixture(autouse=True)
def small_products(monkeypatch):
    """In this process alone: workers start anew."""
    monkeypatch.setattr("qepose_tf.benchmark.side_by_side.PAUSE", 0.0)
    monkeypatch.setattr("qepose_tf.benchmark.side_by_side.PRODUCT_RUNS", 1)


@pytest.mark.slow
@pytest.mark.usefixtures("one_process")
def test_every_runtime_takes_its_turn(model, contents):
    settings = Settings(INSTALLED, batch=2, runs=2, warmup=0)
    report = side_by_side(model, contents, settings)
    rows = {row["name"]: row for row in report.rows}
    files = [f"{name} fp32" for name in INSTALLED[1:]]
    assert [name for name in rows if name.endswith("fp32")] == files
    for name in (stages.PIXELS, *files):
        assert rows[name]["max px"] < 0.5
        assert rows[name]["x body"] > 0
        assert 0 < rows[name]["low"] <= rows[name]["median ms"] <= rows[name]["high"]
    assert rows[stages.BODY]["x body"] == 1.0
    assert rows[stages.BODY]["GFLOP/s"] > 0
    assert rows[stages.BODY]["of limit"] > 0
    assert np.isfinite(rows[stages.REST]["of whole"])  # a difference: any sign
    assert sum(map(products.is_product, rows)) == 4
    assert report.targets == []  # those are W32's
    assert report.facts["batch"] == 2
    assert report.facts["versions"]["tensorflow"]


@pytest.mark.slow
def test_files_that_were_exported_before(model, contents, tmp_path):
    from qepose_tf.exporting import export

    export(model, tmp_path / "tflite_fp32.tflite")
    settings = Settings(["tflite"], runs=1, warmup=0, files=tmp_path)
    report = side_by_side(model, contents, settings)
    (row,) = report.rows
    assert row["name"] == "tflite fp32"
    assert row["max px"] < 0.5
    assert row["x body"] is None
    (tmp_path / "tflite_fp32.tflite").write_bytes(b"none")
    with pytest.raises(ValueError, match="^tflite fp32: "):
        side_by_side(model, contents, settings)


@pytest.mark.parametrize(
    ("runtimes", "precisions", "error", "message"),
    [
        (["coreml"], [], ValueError, "expected a runtime of tensorflow, saved_model"),
        (["tflite"], ["fp8"], ValueError, "tflite: expected a precision of fp32, fp16"),
        (
            ["tflite", "saved_model"],
            ["fp16"],
            ValueError,
            "saved_model: expected a precision of fp32, got fp16",
        ),
        (["tensorflow"], ["fp16"], ValueError, "tensorflow: expected a precision of "),
        (["tflite"], ["int8"], ValueError, "int8: expected images to calibrate with"),
    ],
)
def test_what_is_not_there_is_refused(tmp_path, runtimes, precisions, error, message):
    with pytest.raises(error, match=message):
        settings = Settings(runtimes, precisions)
        chosen_files(settings.runtimes, precisions, tmp_path, False, False)


def test_missing_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="tflite_fp32.tflite: expected what"):
        chosen_files(["tflite"], [], tmp_path, True, False)


def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch, caplog):
    from qepose_tf.benchmark import runtimes

    found = importlib.util.find_spec
    monkeypatch.setattr(
        runtimes, "find_spec", lambda name: None if name == "openvino" else found(name)
    )
    with pytest.raises(ImportError, match=r"pip install 'qepose-tf\[openvino\]'"):
        chosen_files(["openvino"], [], tmp_path, False, False)
    files = chosen_files(["all"], ["fp32"], tmp_path, False, False)
    assert "openvino" not in [file.format for file in files]
    assert "left out: openvino fp32: openvino is not installed" in caplog.text


def test_every_precision_of_all(tmp_path):
    files = chosen_files(["all"], [], tmp_path, False, True)
    names = [file.name for file in files]
    assert names[0] == "saved_model fp32"
    assert {"tflite fp32", "tflite fp16"} <= set(names)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"runs": 0}, "runs: expected at least 1, got 0"),
        ({"batch": 0}, "batch: expected at least 1, got 0"),
        ({"warmup": -1}, "warmup: expected at least 0, got -1"),
        ({"cpus": 0}, "threads: expected 1 to "),
    ],
)
def test_impossible_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        Settings(**settings)


def test_refusals_come_before_any_work(model, contents):
    with pytest.raises(ValueError, match="a.png: expected an image, got an unknown"):
        side_by_side(model, {"a.png": b"none"}, Settings())
    with pytest.raises(ValueError, match="peer torch: .* got 'tiny'"):
        side_by_side(model, contents, Settings(peers=["torch"]))
    with pytest.raises(ValueError, match="expected a peer of torch, got 'jax'"):
        peers.check_peer("jax", "w32")


def test_a_peer_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(peers, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"torch is not .*'qepose-tf\[bench\]'"):
        peers.check_peer("torch", "w32")


@pytest.mark.slow
def test_a_peer_has_our_parameters():
    for package in peers.PACKAGES:
        pytest.importorskip(package)
    loaded = peers.start("w18", 9_562_260, 1, 64, 64)
    _, *branches = loaded.calls[peers.BODY]()  # the first is the stem's
    shapes = [tuple(maps.shape) for maps in branches]
    assert shapes == [(1, 18 * 2**i, 16 // 2**i, 16 // 2**i) for i in range(4)]
    assert str(loaded.calls[peers.BODY_BF16]()[0].dtype) == "torch.bfloat16"
    with pytest.raises(ValueError, match="expected the 7 parameters of our body, got"):
        peers.start("w18", 7, 1, 64, 64)


def measured(**seconds):
    """Made figures: every name takes so many seconds in both rounds."""
    timings = {name: Timing((float(s), float(s))) for name, s in seconds.items()}
    apart = Comparison(0.5, 0.1, 0.0, 3, 0, 3)
    files = [n for n in timings if n.split()[0] in ("tflite", "openvino")]
    return Measured(timings, dict.fromkeys(files, apart), 2e9, 1e9, 1)


def test_targets_need_their_rows():
    found = measured(**{stages.PIXELS: 1.1, "tflite fp32": 1.2, "tflite int8": 0.7})
    report = Report()
    add_rows(report, found)
    targets = inference_targets(report.rows)
    assert [target.name for target in targets] == [
        f"tflite fp32 / {stages.PIXELS}",
        "tflite int8 / tflite fp32",
    ]
    assert [target.held for target in targets] == [True, False]


def test_targets_of_the_whole_table():
    seconds = {stages.BODY: 1.0, stages.CONVOLUTIONS: 0.1, stages.WHOLE: 1.25}
    seconds |= {stages.DECODE: 0.05, stages.RESIZE: 0.01, stages.HEAD: 0.15}
    seconds |= {stages.POSES: 0.03, stages.SUPPRESSION: 0.02}
    seconds |= {stages.PIXELS: 1.15, peers.BODY: 1.0}
    seconds |= {"openvino bf16": 0.4, "openvino fp32": 0.8, "tflite int8": 0.2}
    seconds |= {"torch product fp32 2048": 2 * 2048**3 / 10e9}
    report = Report()
    add_rows(report, measured(**seconds))
    values = [round(target.value, 3) for target in inference_targets(report.rows)]
    # eight bits do not count as the fastest file
    assert values == [round(0.11 / 1.2, 3), 1.15, 1.15, 0.4, 0.5]
    rows = {row["name"]: row for row in report.rows}
    assert rows[stages.REST]["median ms"] == pytest.approx(110)
    assert rows[stages.LEFT]["median ms"] == pytest.approx(100)
    assert rows[stages.LEFT]["of whole"] == pytest.approx(0.1 / 1.2)
    assert rows[stages.BODY]["GFLOP/s"] == pytest.approx(2)
    assert rows[stages.BODY]["of limit"] == pytest.approx(0.2)
    assert rows["openvino bf16"]["x torch"] == pytest.approx(0.4)
    assert rows["torch product fp32 2048"]["GFLOP/s"] == pytest.approx(10)
