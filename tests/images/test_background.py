"""Iterators and functions on threads of their own."""

import threading
import time

import pytest

from qepose_tf.images.background import BackgroundWorker, in_background


def test_items_come_in_order_and_only_a_few_ahead():
    begun = []

    def items():
        for number in range(100):
            begun.append(number)
            yield number

    taken = []
    for item in in_background(items(), ahead=3):
        taken.append(item)
        time.sleep(0.001)
        assert len(begun) <= len(taken) + 3 + 1
    assert taken == list(range(100))


def test_an_error_comes_behind_the_items_before_it():
    def items():
        yield 1
        yield 2
        raise ValueError("broken")

    taken = []
    with pytest.raises(ValueError, match="broken"):
        for item in in_background(items(), ahead=4):
            taken.append(item)
    assert taken == [1, 2]


def test_whoever_stops_early_closes_the_iterator_and_its_thread():
    closed = threading.Event()

    def items():
        try:
            while True:
                yield 0
        finally:
            closed.set()

    before = threading.active_count()
    running = in_background(items(), ahead=2)
    assert next(running) == 0
    running.close()
    assert closed.is_set() and threading.active_count() == before


def test_the_oldest_is_dropped_where_nothing_may_wait():
    ready, dropped = threading.Event(), []

    def items():
        yield from range(10)
        ready.set()

    running = in_background(items(), 2, dropped.append)
    first = next(running)
    ready.wait(5)
    taken = [first, *running]
    assert taken[-1] == 9
    # The mark of the end takes a place among those that wait, too.
    assert sorted([*taken, *dropped]) == list(range(10)) and len(dropped) >= 6


def test_a_worker_does_all_that_waits_before_it_ends():
    done, ended = [], []

    def work(item):
        time.sleep(0.002)
        done.append(item)

    worker = BackgroundWorker(work, 2, lambda: ended.append(len(done)))
    for number in range(20):
        worker.add(number)
    worker.close()
    worker.close()  # once more does nothing
    assert done == list(range(20)) and ended == [20]


def test_a_fault_of_a_worker_is_raised_at_the_next_item_and_at_the_end():
    ended = []

    def work(item):
        raise OSError(f"no space for {item}")

    worker = BackgroundWorker(work, 1, lambda: ended.append(True))
    with pytest.raises(OSError, match="no space for 0"):
        for number in range(1000):
            worker.add(number)
            time.sleep(0.001)
    with pytest.raises(OSError, match="no space for 0"):
        worker.close()
    assert ended == []


def test_an_abandoned_worker_leaves_what_waits():
    done, begun, go = [], threading.Event(), threading.Event()

    def work(item):
        begun.set()
        go.wait(5)
        done.append(item)

    worker = BackgroundWorker(work, 5, lambda: done.append("end"))
    for number in range(5):
        worker.add(number)
    begun.wait(5)
    threading.Timer(0.05, go.set).start()
    worker.abandon()
    assert done == [0]
