"""The scripts in `benchmarks/` that measure a device and a training step."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from keras import ops

from benchmarks.devices import POSES, Device, of_backend
from tests.backends import BACKEND, needs_tensorflow, to_numpy

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "benchmarks"
PROGRAMS = sorted(f.name for f in SCRIPTS.glob("*.py") if "__main__" in f.read_text())
# TensorFlow is not to be imported, whether it is installed or not.
WITHOUT_TENSORFLOW = (
    "import os, runpy, sys; sys.modules['tensorflow'] = None; del sys.argv[0]; "
    "sys.path[0] = os.path.dirname(sys.argv[0]); "
    "runpy.run_path(sys.argv[0], run_name='__main__')"
)
# Python and the package are there, and Keras and TensorFlow are imported once for all.
EVERY_SCRIPT = """
import json, os, runpy, sys, keras, tensorflow
folder, scripts, *every = sys.argv[1:]
for number, words in enumerate(map(json.loads, every)):
    child = os.fork()
    if not child:
        for stream, kind in ((1, "out"), (2, "err")):
            flags = os.O_WRONLY | os.O_CREAT
            os.dup2(os.open(f"{folder}/{number}.{kind}", flags), stream)
        sys.argv = [os.path.join(scripts, words[0]), *words[1:]]
        sys.path[0] = scripts
        runpy.run_path(sys.argv[0], run_name="__main__")
        sys.exit()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def installed(*modules):
    return all(importlib.util.find_spec(module) for module in modules)


def run(script, *words, backend=BACKEND):
    """The finished process of a script on a backend of Keras."""
    start = [sys.executable]
    if backend != "tensorflow":
        start += ["-c", WITHOUT_TENSORFLOW]
    return subprocess.run(
        [*start, str(SCRIPTS / script), *map(str, words)],
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


def report_of(script, tmp_path, *words, backend=BACKEND):
    file = tmp_path / "report.json"
    done = run(script, *words, "--runs", 1, "--json", file, backend=backend)
    assert done.returncode == 0, done.stderr
    report = json.loads(file.read_text())
    for row in report["rows"]:
        assert f"| {row.get('what') or row['step']} |" in done.stdout
    return report


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """Exit code, stdout and stderr of every script, by its words."""
    folder = tmp_path_factory.mktemp("started")
    (folder / "qepose_tf").symlink_to(ROOT / "qepose_tf")
    every = [(script, "--help") for script in PROGRAMS] + [("gpu.py", "--size", "100")]
    done = subprocess.run(
        [
            *(sys.executable, "-c", EVERY_SCRIPT, folder, SCRIPTS),
            *map(json.dumps, every),
        ],
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": "tensorflow", "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    codes = list(map(int, done.stdout.split()))
    written = [
        [(folder / f"{number}.{kind}").read_text() for kind in ("out", "err")]
        for number in range(len(every))
    ]
    return {
        words: (code, *texts)
        for words, code, texts in zip(every, codes, written, strict=True)
    }


@pytest.mark.slow
@pytest.mark.parametrize("script", PROGRAMS)
def test_every_script_starts_where_only_the_package_is_installed(script, started):
    code, shown, errors = started[script, "--help"]
    assert code == 0, errors
    assert script in shown


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_inference_and_training_on_every_backend(backend, tmp_path):
    if not installed(backend):
        pytest.skip(f"needs {backend}")
    words = ["--backbone", "tiny", "--size", 64, "--batch", 1, "--dtype", "float32"]
    steps = ["tiny, inference", "tiny, training"]
    if backend == "torch" and installed("timm"):
        words += ["--peer", "hrnet_w18_small"]
        for at, step in ((1, "inference"), (3, "training")):
            steps.insert(at, f"timm hrnet_w18_small body, {step}")
    report = report_of("gpu.py", tmp_path, *words, backend=backend)
    assert report["facts"]["backend"].startswith(backend)
    assert report["facts"]["limit_tflops"]["float32"] > 0
    rows = report["rows"]
    assert [row["what"] for row in rows] == steps
    assert rows[0]["device"] == f"{backend} on {report['facts']['device']}"
    for row in rows:
        assert row["images_per_s"] == pytest.approx(1e3 / row["ms"])
        assert row["share_of_limit"] > 0
    inference, training = (r for r in rows if r["what"].startswith("tiny"))
    work = training["tflops"] * training["ms"] / inference["tflops"] / inference["ms"]
    assert work == pytest.approx(3)


@pytest.mark.slow
def test_sizes_that_no_network_takes_are_refused(started):
    code, _, errors = started["gpu.py", "--size", "100"]
    assert code == 2
    assert "--size: expected a multiple of 32, got 100" in errors


def counted(peaks, forgets):
    """A device of which 10 bytes are in use and whose peak is read off a list."""
    peaks = iter(peaks)
    return Device(
        name="made up",
        is_gpu=False,
        compiled=lambda function: function,
        compiled_model=lambda model, compile: model,
        wait=lambda results: None,
        held=lambda: 10,
        peak=lambda: next(peaks),
        forget_peak=lambda: forgets,
    ).memory_counter()()


def test_a_peak_counts_only_if_it_is_this_work_s():
    assert counted([50, 70], forgets=False) == 60
    assert counted([70, 70], forgets=False) is None
    assert counted([70, 70], forgets=True) == 60
    assert counted([None, None], forgets=True) is None


def test_an_unknown_backend_is_refused():
    with pytest.raises(ValueError, match="expected one of .*'jax'.* got 'numpy'"):
        of_backend("numpy")


@pytest.mark.slow
def test_the_compiled_model_finds_the_same_poses(model):
    device = of_backend(BACKEND)
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    images = ops.convert_to_tensor(images)
    found = to_numpy(device.done(device.compiled_model(model, False), images))
    expected = to_numpy(model(images, training=False))
    assert sorted(found) == sorted(POSES)
    for name, array in found.items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-3, atol=1e-3)


@pytest.fixture(scope="module")
def training():
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("training", SCRIPTS / "training.py")
    module = importlib.util.module_from_spec(spec)
    # A dataclass looks its module up.
    sys.modules["training"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["training"]


@pytest.mark.slow
def test_the_dense_step_has_the_sparse_one_s_loss(training, model):
    case = training.Case("quickstart.yaml", 64, 2)
    facts = training.people_in(case, 3, 17)
    facts = {name: ops.convert_to_tensor(array) for name, array in facts.items()}
    losses, means = {}, {}
    for variant in training.VARIANTS:
        other = training.model_class(variant).from_config(model.get_config())
        other.set_weights(model.get_weights())
        outputs = other(training.images_of(case), training=True)
        losses[variant] = float(other.compute_loss(y=facts, y_pred=outputs))
        means[variant] = to_numpy(other.encoding.norm.moving_mean)
    assert losses["dense"] == pytest.approx(losses["sparse"], rel=1e-5)
    np.testing.assert_allclose(means["dense"], means["sparse"], rtol=1e-4, atol=1e-6)
    assert losses[training.NO_HOP] != pytest.approx(losses["sparse"], rel=1e-5)
    training.check_losses(losses["sparse"], losses["dense"])


def test_steps_of_different_losses_are_not_compared(training):
    for sparse in (1.001, float("nan")):
        with pytest.raises(ValueError, match="expected the same loss within 0.0001"):
            training.check_losses(sparse, 1.0)


@pytest.mark.slow
@needs_tensorflow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_sparse_beside_dense(tmp_path):
    words = ("--backbone", "tiny", "--size", 64, "--batch", 2)
    report = report_of(Path(__file__).with_name("micro_training.py"), tmp_path, *words)
    rows = report["rows"]
    steps = ["sparse", "dense", "first hop only", "sparse", "sparse", "sparse"]
    assert [row["step"] for row in rows] == steps
    assert [row["people"] for row in rows] == [5, 5, 5, 1, 5, 30]
    assert all(row["peak_mib"] > 0 for row in rows)
    assert rows[0]["loss"] == pytest.approx(rows[1]["loss"], rel=1e-4)
    assert [t["target"] for t in report["targets"]] == [1.0, 1.0]
