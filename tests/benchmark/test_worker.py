"""Processes that answer; the functions they start are of this module."""

import os
import time

import numpy as np
import pytest

from qepose_tf.benchmark.worker import (
    SHORTEST,
    Loaded,
    Worker,
    check_cpus,
    mean_seconds,
    time_in_turn,
    usable_cpus,
)


def start_counting(factor):
    def answer(images):
        return {"sum": images.sum() * factor, "process": os.getpid()}

    return Loaded({"sleep": lambda: time.sleep(0.05), "nothing": int}, answer)


def start_badly():
    raise ValueError("no such weights\nand more")


def start_and_die():
    os._exit(3)


def start_fragile():
    return Loaded({"die": lambda: os._exit(4), "fail": lambda: {}["missing"]})


def start_cpus():
    def answer(_):
        return {"cpus": len(os.sched_getaffinity(0))}

    return Loaded({}, answer)


def test_a_process_times_and_answers():
    with Worker("counter", start_counting, 3) as worker:
        assert worker.calls == ("sleep", "nothing")
        assert worker.seconds("sleep") >= 0.05
        assert worker.seconds("nothing") < worker.seconds("sleep")
        found = worker.answer(np.ones(4, np.uint8))
        assert found["sum"] == 12
        assert found["process"] != os.getpid()
    with pytest.raises(OSError):  # the process is gone
        os.kill(found["process"], 0)


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (start_badly, "it: no such weights$"),
        (start_and_die, "it: its process ended, exit code 3"),
    ],
)
def test_what_does_not_start_says_why(start, message):
    with pytest.raises(ValueError, match=message):
        Worker("it", start)


@pytest.mark.parametrize(
    ("call", "message"),
    [("die", "it: its process ended, exit code 4"), ("fail", "it: 'missing'")],
)
def test_what_fails_says_why(call, message):
    with Worker("it", start_fragile) as worker:
        with pytest.raises(ValueError, match=message):
            worker.seconds(call)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="not on this system")
def test_a_process_keeps_to_its_cpus():
    with Worker("it", start_cpus, cpus=1) as worker:
        assert worker.answer(None) == {"cpus": 1}
    for cpus in (0, usable_cpus() + 1):
        with pytest.raises(ValueError, match=f"threads: expected 1 to .*, got {cpus}"):
            check_cpus(cpus)
    check_cpus(usable_cpus())


def test_requests_take_turns():
    order, clock = [], iter(range(100))

    def request(name):
        order.append(name)
        return float(next(clock))

    requests = {name: lambda name=name: request(name) for name in "ab"}
    found = time_in_turn(requests, runs=2, warmup=1, pause=0.0)
    assert "".join(order) == "ababab"
    assert found["a"].seconds == (2.0, 4.0)
    assert found["b"].seconds == (3.0, 5.0)


def test_short_calls_are_repeated():
    calls = []
    mean = mean_seconds(lambda: calls.append(None))
    assert len(calls) > 1
    assert mean * len(calls) >= SHORTEST
    assert mean_seconds(lambda: time.sleep(2 * SHORTEST)) >= 2 * SHORTEST
