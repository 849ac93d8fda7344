import os
import signal
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

from qepose_tf.training.guards import (
    Interrupt,
    NonFiniteLoss,
    StopOnInterrupt,
    readable_op_errors,
    weights_are_finite,
)
from tests.training.tiny_model import fit, tiny_data, tiny_model


def test_a_finite_run_is_left_alone():
    model = tiny_model()
    fit(model, tiny_data(3), [NonFiniteLoss()], epochs=2)
    assert int(model.optimizer.iterations) == 6


def test_names_the_step_of_a_nan():
    model = tiny_model()
    with pytest.raises(ValueError, match="nan in epoch 1 of 2, step 4 of 7;") as error:
        fit(model, tiny_data(7, broken_step=4), [NonFiniteLoss()], epochs=2)
    assert int(model.optimizer.iterations) == 4
    assert "train.learning_rate" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("broken, steps", [(5, "4 to 6"), (7, "7")])
def test_names_the_range_of_steps_that_ran_as_one(broken, steps):
    model = tiny_model(steps_per_execution=3)
    match = f"epoch 1 of 1, steps? {steps} of 7"
    with pytest.raises(ValueError, match=match):
        fit(model, tiny_data(7, broken_step=broken), [NonFiniteLoss()])


def test_an_absurd_learning_rate_is_caught():
    model = tiny_model(keras.optimizers.SGD(1e30))
    with pytest.raises(ValueError, match="the loss became (nan|inf) in epoch 1"):
        fit(model, tiny_data(5), [NonFiniteLoss()])


class Hidden(keras.layers.Layer):
    """Has a weight that the loss does not see, as fused kernels hide a NaN."""

    def build(self, input_shape):
        self.weight = self.add_weight(shape=(), trainable=False)

    def call(self, inputs):
        return inputs


class Poison(keras.callbacks.Callback):
    def __init__(self, step):
        super().__init__()
        self.step = step

    def on_train_batch_begin(self, batch, logs=None):
        if batch + 1 == self.step:
            self.model.layers[0].weight.assign(np.nan)


@pytest.mark.parametrize(
    "broken, steps", [(3, "steps 1 to 4"), (5, "steps 5 to 8"), (9, "step 9")]
)
def test_broken_weights_behind_a_sound_loss_are_found(broken, steps):
    saved = []
    later = keras.callbacks.LambdaCallback(on_epoch_end=lambda *args: saved.append(1))
    model = keras.Sequential([keras.Input((2,)), Hidden(), keras.layers.Dense(1)])
    model.compile("sgd", "mse", jit_compile=False)
    match = f"weights became NaN or infinite in epoch 1 of 1, {steps} of 9;"
    with pytest.raises(ValueError, match=match):
        fit(model, tiny_data(9), [Poison(broken), NonFiniteLoss(every=4), later])
    assert not saved


def test_finite_weights():
    model = tiny_model()
    assert weights_are_finite(model)
    model.weights[1].assign(np.array([np.inf], np.float32))
    assert not weights_are_finite(model)


@pytest.fixture
def python_s_handler():
    """Ctrl-C as in a terminal, whatever started the tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press_ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


def test_the_first_ctrl_c_asks_and_the_second_raises(python_s_handler):
    with Interrupt() as interrupt:
        interrupt.check()
        press_ctrl_c()
        assert interrupt.requested
        with pytest.raises(KeyboardInterrupt):
            interrupt.check()
        with pytest.raises(KeyboardInterrupt):
            press_ctrl_c()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_ignored_ctrl_c_stays_ignored(python_s_handler):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Interrupt() as interrupt:
        press_ctrl_c()
        assert not interrupt.requested
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_other_threads_may_use_it(python_s_handler):
    def enter():
        with Interrupt() as interrupt:
            entered.append(interrupt.requested)

    entered = []
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert entered == [False]


class CtrlC(keras.callbacks.Callback):
    def on_train_batch_begin(self, batch, logs=None):
        if batch == 2:
            press_ctrl_c()


def test_ctrl_c_inside_a_step_ends_fit_after_it(python_s_handler):
    model = tiny_model()
    with Interrupt() as interrupt, pytest.raises(KeyboardInterrupt):
        fit(model, tiny_data(5), [CtrlC(), StopOnInterrupt(interrupt)])
    assert int(model.optimizer.iterations) == 3


def test_a_broken_image_in_the_pipeline_is_one_line():
    def read(index):
        if index == 3:
            raise ValueError("images/4.jpg: broken image, truncated")
        return np.zeros((2, 2), np.float32)

    def load(index):
        inputs = tf.ensure_shape(tf.numpy_function(read, [index], tf.float32), (2, 2))
        return inputs, inputs[:, :1]

    data = tf.data.Dataset.range(5).map(load)
    with pytest.raises(ValueError) as error, readable_op_errors():
        fit(tiny_model(), data, [])
    message = "training stopped: ValueError: images/4.jpg: broken image, truncated"
    assert str(error.value) == message


def test_other_errors_pass():
    with pytest.raises(KeyError), readable_op_errors():
        raise KeyError("mine")
