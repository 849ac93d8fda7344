"""Processes that load one runtime each and time its calls on request.

Runtimes in one process would share memory and threads. After a call, the threads of a
runtime wait for more work by spinning, on the CPUs that the next runtime needs.
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

# A call is repeated until so many seconds have passed.
SHORTEST = 0.03

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loaded:
    """The functions of a loaded runtime.

    Attributes:
        calls: The calls that can be timed, by name.
        answer: A function from `[B, H, W, 3]` uint8 images to detections. None if the
            runtime does not detect.
    """

    calls: Mapping[str, Callable[[], object]]
    answer: Callable[[Any], Mapping[str, Any]] | None = None


class Worker(contextlib.AbstractContextManager):
    """A process with one runtime.

    Args:
        name: The name in messages.
        start: A module's function that loads the runtime, called in the new process.
        *arguments: The arguments of `start`.
        cpus: The number of CPUs that the process may use; by default all.

    Attributes:
        name: The name in messages.
        calls: The names of the calls that can be timed.

    Raises:
        ValueError: The runtime does not start. The message tells why.
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

    def __repr__(self) -> str:
        return f"<Worker {self.name}: {', '.join(self.calls)}>"

    def seconds(self, call: str) -> float:
        """Returns the time of a call in s, measured in the process.

        Args:
            call: A name of `calls`.
        """
        return self._asked("seconds", call)

    def answer(self, images: Any) -> dict[str, Any]:
        """Returns the detections on `[B, H, W, 3]` uint8 images."""
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
    """Times calls alternately, as `timing.measure` does, in their own processes.

    Args:
        requests: Functions by name that run a call and return its time in s.
        runs: The number of rounds that count.
        warmup: The number of rounds before these, which do not count.
        pause: The time before each call in s, in which idle threads go to sleep.

    Returns:
        The times by name.
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
    """Returns the time of a call in s; the mean of several if the call is short."""
    count, started = 0, time.perf_counter()
    while True:
        call()
        count += 1
        passed = time.perf_counter() - started
        if passed >= SHORTEST:
            return passed / count


def usable_cpus() -> int:
    """Returns the number of CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_cpus(cpus: int | None) -> None:
    """Raises `ValueError` if a process cannot be bound to so many CPUs."""
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
    """Serves requests in the new process until the connection is closed."""
    if cpus is not None:  # runtimes start one thread for each CPU they may use
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
                # Only peers have no `answer`, and they are never asked for one.
                assert loaded.answer is not None
                result = dict(loaded.answer(argument))
            connection.send((True, result))
    except (EOFError, ConnectionError, KeyboardInterrupt):
        return
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        connection.send((False, lines[0]))


def _silence() -> None:
    """Hides messages about devices and delegates, which no setting turns off."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nothing, stream)
    os.close(nothing)
