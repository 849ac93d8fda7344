import os
import signal
import threading

import keras
import pytest

from qepose_tf.training.callbacks.interrupt import Interrupt, Preempted, StopOnInterrupt
from tests.training.tiny_model import fit, tiny_data, tiny_model


@pytest.fixture(autouse=True)
def python_s_handlers():
    """Signals as in a terminal, whatever started the tests."""
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
        signal.SIGTERM: signal.signal(signal.SIGTERM, signal.SIG_DFL),
    }
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number):
    os.kill(os.getpid(), number)


def test_the_first_ctrl_c_asks_and_the_second_raises():
    with Interrupt() as interrupt:
        interrupt.check()
        send(signal.SIGINT)
        assert interrupt.requested
        with pytest.raises(KeyboardInterrupt):
            interrupt.check()
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_sigterm_asks_for_an_exit_that_says_resume_me():
    with Interrupt() as interrupt:
        send(signal.SIGTERM)
        send(signal.SIGTERM)
        with pytest.raises(Preempted) as stop:
            interrupt.check()
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)
    assert stop.value.code == 75
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_an_ignored_ctrl_c_stays_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Interrupt() as interrupt:
        send(signal.SIGINT)
        assert not interrupt.requested
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_other_threads_may_use_it():
    def enter():
        with Interrupt() as interrupt:
            entered.append(interrupt.requested)

    entered = []
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert entered == [0]


class Signal(keras.callbacks.Callback):
    def __init__(self, number):
        super().__init__()
        self.number = number

    def on_train_batch_begin(self, batch, logs=None):
        if batch == 2:
            send(self.number)


@pytest.mark.parametrize(
    "number, error", [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Preempted)]
)
def test_a_signal_inside_a_step_ends_fit_after_it(number, error):
    model = tiny_model()
    with Interrupt() as interrupt, pytest.raises(error):
        fit(model, tiny_data(5), [Signal(number), StopOnInterrupt(interrupt)])
    assert int(model.optimizer.iterations) == 3


def test_what_another_worker_heard_stops_this_one():
    heard = iter([0, signal.SIGTERM])
    model = tiny_model()
    with Interrupt() as interrupt, pytest.raises(Preempted):
        stop = StopOnInterrupt(interrupt, lambda own: max(own, next(heard)))
        fit(model, tiny_data(5), [stop])
    assert int(model.optimizer.iterations) == 2
