import itertools

import pytest

from qepose_tf.benchmark.timing import Timing, measure, timed


def test_calls_take_turns_and_warm_up():
    order = []
    calls = {name: lambda name=name: order.append(name) for name in "abc"}
    found = measure(calls, runs=3, warmup=2)
    assert "".join(order) == 5 * "abc"
    assert list(found) == list("abc")
    assert all(len(timing.seconds) == 3 for timing in found.values())
    assert all(second >= 0 for timing in found.values() for second in timing.seconds)


def test_the_pause_is_not_counted():
    assert (
        measure({"nothing": int}, runs=2, warmup=0, pause=0.05)["nothing"].high < 0.04
    )


def test_what_cannot_be_timed():
    for calls, runs, warmup in (({}, 1, 0), ({"a": int}, 0, 0), ({"a": int}, 1, -1)):
        with pytest.raises(ValueError, match="expected calls, runs > 0"):
            measure(calls, runs, warmup)


def test_figures_of_a_timing():
    timing = Timing(tuple(float(n) for n in range(11)))
    assert (timing.low, timing.median, timing.high) == (1.0, 5.0, 9.0)


def test_a_ratio_is_that_of_the_rounds():
    """A machine that becomes three times slower changes neither ratio."""
    slower = (1.0, 1.0, 3.0, 3.0, 3.0)
    first = Timing(tuple(2.0 * second for second in slower))
    assert first.ratio_to(Timing(slower)) == 2.0


def test_time_of_one_call():
    clock = itertools.count()
    assert timed(lambda: next(clock)) >= 0
    assert next(clock) == 1
