"""Times several calls in turn, so that noise of the machine affects all of them."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Timing:
    """The time of a call in each round.

    Attributes:
        seconds: The time of each round that counts, in s.

    Example:
        >>> Timing((1.0, 3.0)).ratio_to(Timing((2.0, 2.0)))
        1.0
    """

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median time in s."""
        return float(np.median(self.seconds))

    @property
    def low(self) -> float:
        """The 10th percentile of the time in s."""
        return float(np.quantile(self.seconds, 0.1))

    @property
    def high(self) -> float:
        """The 90th percentile of the time in s."""
        return float(np.quantile(self.seconds, 0.9))

    def ratio_to(self, other: "Timing") -> float:
        """Returns the median over rounds of the ratio to another call's time.

        The two times of a round are measured close together. If the speed of the
        machine drifts, this ratio changes less than the ratio of the medians.

        Args:
            other: The times of a call in the same rounds.
        """
        return float(np.median(np.divide(self.seconds, other.seconds)))


def measure(
    calls: Mapping[str, Callable[[], object]],
    runs: int = 10,
    warmup: int = 2,
    pause: float = 0.0,
) -> dict[str, Timing]:
    """Times calls alternately: A B C A B C ...

    Args:
        calls: The calls by name.
        runs: The number of rounds that count.
        warmup: The number of rounds before these, which do not count.
        pause: The time between two calls in s, in which the threads of one call go to
            sleep before the next call begins.

    Returns:
        The times by name.

    Raises:
        ValueError: There are no calls, or a number is too small.
    """
    if not calls or runs < 1 or warmup < 0:
        raise ValueError(
            f"expected calls, runs > 0 and warmup >= 0, got {len(calls)}, {runs} and "
            f"{warmup}"
        )
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(-warmup, runs):
        for name, call in calls.items():
            if pause:
                time.sleep(pause)
            taken = timed(call)
            if number >= 0:
                seconds[name].append(taken)
    return {name: Timing(tuple(taken)) for name, taken in seconds.items()}


def timed(call: Callable[[], object]) -> float:
    """Returns the time of a call in s."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started
