"""Processes that hold one runtime each and time it when they are asked to.

Runtimes in one process would share its memory and its threads, and the threads of one
that has just worked wait for more by spinning, on the CPUs that the next one needs.
"""

import contextlib
import logging
import multiprocessing
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from qepose_tf.benchmark.timing import Timing

# What takes less is repeated until so many seconds have gone.
SHORTEST = 0.03

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loaded:
    """What a process can do.

    Attributes:
        calls: to be timed, by name.
        answer: from uint8 `[B, H, W, 3]` to detections, where there are some.
    """

    calls: Mapping[str, Callable[[], object]]
    answer: Callable[[Any], Mapping[str, Any]] | None = None


class Worker(contextlib.AbstractContextManager):
    """A process with one runtime.

    Args:
        name: for messages.
        start: a function of a module, called in the new process.
        *arguments: of `start`.
        cpus: how many CPUs the process may use; all by default.

    Raises:
        ValueError: the runtime does not start; the message says why.

    Attributes:
        calls: names of what can be timed.
    """

    def __init__(
        self,
        name: str,
        start: Callable[..., Loaded],
        *arguments: Any,
        cpus: int | None = None,
    ) -> None:
        self.name = name
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        shown = logger.isEnabledFor(logging.DEBUG)
        self._process = context.Process(
            target=_serve, args=(other, start, arguments, cpus, shown), daemon=True
        )
        self._process.start()
        other.close()
        try:
            self.calls: tuple[str, ...] = self._received()
        except BaseException:
            self.__exit__()
            raise

    def seconds(self, call: str) -> float:
        """What one call takes, by the process's own clock."""
        return self._asked("seconds", call)

    def answer(self, images: Any) -> dict[str, Any]:
        """Detections on images of the size that the runtime takes."""
        return self._asked("answer", images)

    def _asked(self, request: str, argument: Any) -> Any:
        self._connection.send((request, argument))
        return self._received()

    def _received(self) -> Any:
        try:
            done, value = self._connection.recv()
        except (EOFError, ConnectionError):
            self._process.join()
            code = self._process.exitcode
            raise ValueError(f"{self.name}: its process ended, exit code {code}") from (
                None
            )
        if not done:
            raise ValueError(f"{self.name}: {value}")
        return value

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._process.terminate()
        self._process.join()


def time_in_turn(
    requests: Mapping[str, Callable[[], float]],
    runs: int,
    warmup: int,
    pause: float,
) -> dict[str, Timing]:
    """Like `timing.measure`, of calls that tell themselves how long they took.

    Args:
        requests: by name; each returns seconds.
        runs: counted rounds.
        warmup: rounds before them that do not count.
        pause: seconds before each call, for threads of the one to fall asleep.
    """
    seconds: dict[str, list[float]] = {name: [] for name in requests}
    for number in range(-warmup, runs):
        for name, request in requests.items():
            time.sleep(pause)
            taken = request()
            if number >= 0:
                seconds[name].append(taken)
    return {name: Timing(tuple(taken)) for name, taken in seconds.items()}


def mean_seconds(call: Callable[[], object]) -> float:
    """Seconds of a call; of a short one the mean of several."""
    count, started = 0, time.perf_counter()
    while True:
        call()
        count += 1
        passed = time.perf_counter() - started
        if passed >= SHORTEST:
            return passed / count


def usable_cpus() -> int:
    """How many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_cpus(cpus: int | None) -> None:
    """Raises `ValueError` where a process cannot be bound to so many CPUs."""
    if cpus is None:
        return
    if not hasattr(os, "sched_setaffinity"):
        raise ValueError("threads: this system does not bind processes to CPUs")
    if not 1 <= cpus <= usable_cpus():
        raise ValueError(f"threads: expected 1 to {usable_cpus()}, got {cpus}")


def _serve(
    connection: Connection,
    start: Callable[..., Loaded],
    arguments: tuple,
    cpus: int | None,
    shown: bool,
) -> None:
    """The process: answers until the other end is closed."""
    if cpus is not None:  # every runtime makes as many threads
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cpus])
    if not shown:
        _silence()
    try:
        loaded = start(*arguments)
        connection.send((True, tuple(loaded.calls)))
        while True:
            request, argument = connection.recv()
            if request == "seconds":
                result = mean_seconds(loaded.calls[argument])
            else:
                assert loaded.answer is not None  # peers are timed, never asked
                result = dict(loaded.answer(argument))
            connection.send((True, result))
    except (EOFError, ConnectionError, KeyboardInterrupt):
        return
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        connection.send((False, lines[0]))


def _silence() -> None:
    """Runtimes write of devices and delegates, which no setting turns off."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nothing, stream)
    os.close(nothing)
