"""Several calls timed in turn, so that a noisy machine is as unkind to each."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Timing:
    """What one call took, round by round.

    Attributes:
        seconds: of each counted round.
    """

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Seconds; half of the rounds took less."""
        return float(np.median(self.seconds))

    @property
    def low(self) -> float:
        """Seconds; a tenth of the rounds took less."""
        return float(np.quantile(self.seconds, 0.1))

    @property
    def high(self) -> float:
        """Seconds; a tenth of the rounds took more."""
        return float(np.quantile(self.seconds, 0.9))

    def ratio_to(self, other: "Timing") -> float:
        """Median of the ratios, round by round, to what was timed beside it.

        Both rounds of a ratio lie close together in time: where the machine's speed
        drifts, this ratio drifts less than that of the medians.
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
        calls: by name.
        runs: counted rounds.
        warmup: rounds before them that do not count.
        pause: seconds between two calls, for threads of the one to fall asleep before
            the other begins.

    Raises:
        ValueError: there is nothing to time.
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
    """Seconds that a call takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started
