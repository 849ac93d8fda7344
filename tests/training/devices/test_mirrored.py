import json

import numpy as np
import pytest

pytestmark = pytest.mark.slow


def reports_of(forks, *commands):
    """What several processes report, side by side."""
    environment = {"CUDA_VISIBLE_DEVICES": "-1"}
    processes = [
        forks.start("tests.training.devices.mirrored_losses", *words, env=environment)
        for words in commands
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


@pytest.fixture(scope="module")
def runs(forks):
    """What one device and two devices report."""
    return reports_of(forks, ["one_device"], ["mirrored"])


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


@pytest.fixture(scope="module")
def trained(forks):
    """As `qepose train` does it, with all that looks at gradients or weights."""
    keys = ["gradient_clip_norm=0.05", "ema_momentum=0.5", "non_finite=skip"]
    keys += ["learning_rate=0.00001", "optimizer=adamw", "weight_decay=0.1"]
    return reports_of(forks, ["one_device", *keys], ["mirrored", *keys])


def test_clipping_and_averages_are_those_of_one_device(trained):
    """At a small rate, for Adam makes steps out of rounding."""
    one, two = trained
    assert one["epoch"]["gradient_norm"] > 0.1, "or nothing was clipped"
    assert two["epoch"]["gradient_norm"] == pytest.approx(
        one["epoch"]["gradient_norm"], rel=1e-2
    )
    assert two["epoch"]["skipped_steps"] == one["epoch"]["skipped_steps"] == 0.0
    for name in ("loss", "score_loss", "offset_loss"):
        np.testing.assert_allclose(two[name], one[name], rtol=0, atol=1e-4)
    np.testing.assert_allclose(two["weights"], one["weights"], rtol=1e-3, atol=1e-3)
