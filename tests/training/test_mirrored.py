import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs():
    """What one device and two devices report, from two processes side by side."""
    environment = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.training.mirrored_losses", strategy],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for strategy in ("one_device", "mirrored")
    ]
    reports = []
    try:
        for process in processes:
            output, errors = process.communicate(timeout=600)
            assert process.returncode == 0, errors[-3000:]
            reports.append(json.loads(output.splitlines()[-1]))
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return reports


def test_the_devices_are_one_and_two(runs):
    assert [run["replicas"] for run in runs] == [1, 2]


@pytest.mark.parametrize("name", ["loss", "score_loss", "offset_loss"])
def test_two_devices_have_the_losses_of_one(runs, name):
    one, two = (run[name] for run in runs)
    assert len(one) == len(two) == 5
    np.testing.assert_allclose(two, one, rtol=0, atol=1e-5)


def test_five_steps_change_the_loss_by_far_more_than_the_tolerance(runs):
    assert np.ptp(runs[0]["score_loss"]) > 1e-3
    assert np.ptp(runs[0]["offset_loss"]) > 1e-3


def test_metrics_of_the_epoch_are_those_of_one_device(runs):
    one, two = (run["epoch"] for run in runs)
    assert one.keys() == two.keys()
    for name in one:
        assert two[name] == pytest.approx(one[name], abs=1e-5), name
