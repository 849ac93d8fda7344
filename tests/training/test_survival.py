"""Runs that are killed, told to end, or find the disk full: for real."""

import csv
import json
import signal
import time
from contextlib import suppress

import numpy as np
import pytest

from qepose_tf.config.reading import dump_config
from qepose_tf.models import load_model
from qepose_tf.models.hrnet import VARIANTS
from qepose_tf.training.run_folder.state import newest_checkpoint
from tests.micro_body import MICRO
from tests.small_disk import mounted_disk
from tests.training.test_run import make_config

SCRIPT = ("tests.micro_body", "train_tf.py")
TIMES = {"images_per_second", "data_wait"}
pytestmark = pytest.mark.slow


def finished(process, seconds):
    try:
        return process.communicate(timeout=seconds)
    finally:
        process.kill()
        process.communicate()


def rows_of(run):
    """The log without what a clock says."""
    with open(run / "log.csv", newline="") as file:
        return [
            {name: value for name, value in row.items() if name not in TIMES}
            for row in csv.DictReader(file)
        ]


@pytest.fixture(scope="module")
def killed(forks, tmp_path_factory):
    """A run killed twenty times beside a whole one, and how each process ended."""
    folder = tmp_path_factory.mktemp("killed")
    process = forks.start("tests.training.killed_runs", folder, 20, 0)
    output, errors = finished(process, 1500)
    assert process.returncode == 0, errors[-3000:]
    return folder, json.loads(output.splitlines()[-1])


def test_every_process_was_killed_and_the_last_one_ended(killed):
    _, report = killed
    statuses = [kill["status"] for kill in report["kills"]]
    assert statuses == [-signal.SIGKILL] * 20
    assert report["ends"] == [0, 0]


def test_twenty_kills_change_no_digit(killed, monkeypatch):
    monkeypatch.setitem(VARIANTS, "tiny", MICRO)
    folder, _ = killed
    assert rows_of(folder / "killed") == rows_of(folder / "whole")
    assert len(rows_of(folder / "whole")) == 12
    for name in ("last.keras", "best.keras"):
        whole, again = (load_model(folder / run / name) for run in ("whole", "killed"))
        for weight, expected in zip(again.weights, whole.weights, strict=True):
            np.testing.assert_array_equal(weight, expected)


def test_a_kill_leaves_no_partial_file_behind(killed):
    folder, _ = killed
    whole, again = (
        sorted(str(p.relative_to(folder / run)) for p in (folder / run).rglob("*"))
        for run in ("whole", "killed")
    )
    assert [p for p in again if "events" not in p] == [
        p for p in whole if "events" not in p
    ]


def test_each_start_is_told_of(killed):
    folder, _ = killed
    starts = json.loads((folder / "killed/environment.json").read_text())
    assert 2 <= len(starts) <= 21
    assert starts[-1]["packages"]["keras"] and starts[0]["step"] == 0


def wait_for(condition, process, seconds=300):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[1][-3000:]
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_sigterm_ends_with_a_checkpoint_and_a_code_that_says_resume_me(forks, tmp_path):
    run = tmp_path / "run"
    config = make_config(tmp_path, run_dir=run, epochs=100_000, validate_every=100_000)
    dump_config(config, tmp_path / "long.yaml")
    words = (*SCRIPT, "--config", tmp_path / "long.yaml")
    process = forks.start(*words)
    wait_for((run / "log.csv").exists, process)
    process.send_signal(signal.SIGTERM)
    _, errors = finished(process, 120)
    assert process.returncode == 75
    assert "SIGTERM: stopping after this step" in errors
    assert "the same command continues from there" in errors
    assert "Traceback" not in errors
    _, state = newest_checkpoint(run / "checkpoints")
    reached = state.total_steps
    assert reached > 0
    process = forks.start(*words)
    wait_for(
        lambda: newest_checkpoint(run / "checkpoints")[1].total_steps > reached, process
    )
    process.send_signal(signal.SIGTERM)
    _, errors = finished(process, 120)
    assert f"resuming {run} at epoch {state.epoch + 1}" in errors
    assert process.returncode == 75


@pytest.fixture
def small_disk(tmp_path):
    with mounted_disk(tmp_path, "120m") as folder:
        yield folder


def test_a_full_disk_is_told_and_the_good_checkpoint_stays(forks, tmp_path, small_disk):
    run = small_disk / "run"
    config = make_config(tmp_path, run_dir=run, epochs=1000, validate_every=1000)
    dump_config(config, tmp_path / "long.yaml")
    process = forks.start(*SCRIPT, "--config", tmp_path / "long.yaml")
    wait_for(lambda: len(list(run.glob("checkpoints/step-*"))) > 1, process)
    with open(small_disk / "other", "wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(2**20)):
            pass
    _, errors = finished(process, 120)
    assert process.returncode == 1
    last = errors.strip().splitlines()[-1]
    assert last.startswith(f"qepose: {run}/checkpoints/step-")
    assert "cannot write the checkpoint, No space left on device" in last
    good = sorted(run.glob("checkpoints/step-*"))[-1]
    assert last.endswith(f"the last good one is {good}")
    assert newest_checkpoint(run / "checkpoints")[1].total_steps > 0
    assert not list((run / "checkpoints").glob(".*"))
