import datetime
import logging

import pytest

from qepose_tf.training.callbacks import throughput
from qepose_tf.training.callbacks.throughput import Throughput
from qepose_tf.training.run_folder.state import RunState

BATCH = 4


class Clock:
    """Takes the place of the module `time`, for figures worked out by hand."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(throughput, "time", clock)
    return clock


def callback_of(state, epochs=3):
    callback = Throughput(state, BATCH)
    callback.set_params({"epochs": epochs})
    callback.on_train_begin()
    return callback


def train(callback, clock, number, waited, seconds, steps=1):
    """A step whose batch comes late, or early where `waited` is negative."""
    if waited < 0:
        clock.now += waited
        callback.batch_is_ready(number)
        clock.now -= waited
    callback.on_train_batch_begin(number)
    if waited >= 0:
        clock.now += waited
        callback.batch_is_ready(number)
    clock.now += seconds
    callback.state.step += steps
    callback.on_train_batch_end(number)


def test_rate_and_wait_are_those_of_the_steps_after_the_first(clock, caplog):
    state = RunState(steps_per_epoch=4)
    callback = callback_of(state)
    callback.on_epoch_begin(0)
    train(callback, clock, 0, waited=7.0, seconds=60.0)
    train(callback, clock, 1, waited=0.5, seconds=1.5)
    train(callback, clock, 2, waited=-1.0, seconds=2.0)
    train(callback, clock, 3, waited=1.5, seconds=1.0)
    logs = {}
    with caplog.at_level(logging.INFO, logger="qepose_tf"):
        callback.on_epoch_end(0, logs)
    # 3 steps of 4 images in 2 + 2 + 2.5 s, of which 0.5 + 1.5 were waited for.
    assert logs["images_per_second"] == pytest.approx(12 / 6.5)
    assert logs["data_wait"] == pytest.approx(2 / 6.5)
    # Two epochs of 4 steps are left.
    left = datetime.timedelta(seconds=round(8 * 6.5 / 3))
    assert caplog.messages == [f"epoch 1 of 3 done, training takes {left} more"]

    # The second epoch counts from its first step on.
    state.epoch, state.step = 1, 0
    callback.on_epoch_begin(1)
    for number in range(4, 8):
        train(callback, clock, number, waited=0.25, seconds=0.75)
    callback.on_epoch_end(1, logs)
    assert logs["images_per_second"] == pytest.approx(BATCH)
    assert logs["data_wait"] == pytest.approx(0.25)


def test_an_epoch_of_one_step_counts_it(clock):
    callback = callback_of(RunState(steps_per_epoch=1))
    callback.on_epoch_begin(0)
    train(callback, clock, 0, waited=1.0, seconds=3.0)
    logs = {}
    callback.on_epoch_end(0, logs)
    assert logs == {"images_per_second": 1.0, "data_wait": 0.25}


def test_the_rest_of_an_epoch_has_its_own_rate(clock):
    state = RunState(steps_per_epoch=4, epoch=2, step=1)
    callback = callback_of(state)
    callback.on_epoch_begin(2)
    train(callback, clock, 0, waited=0.0, seconds=30.0)
    train(callback, clock, 1, waited=0.0, seconds=1.0)
    train(callback, clock, 2, waited=0.0, seconds=1.0)
    logs = {}
    callback.on_epoch_end(2, logs)
    assert logs["images_per_second"] == pytest.approx(BATCH)


def test_several_steps_at_a_time_take_several_batches(clock):
    callback = callback_of(RunState(steps_per_epoch=6))
    callback.on_epoch_begin(0)
    train(callback, clock, 0, waited=0.0, seconds=20.0, steps=2)
    for number in (2, 4):
        train(callback, clock, number, waited=0.5, seconds=1.5, steps=2)
    logs = {}
    callback.on_epoch_end(0, logs)
    assert logs["images_per_second"] == pytest.approx(2 * 2 * BATCH / 4)
    assert logs["data_wait"] == pytest.approx(0.25)
