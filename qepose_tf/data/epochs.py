"""The order of a data set's rows in each pass over it."""

import threading

import numpy as np


class EpochOrder:
    """Counts the passes over a data set and shuffles its rows for each.

    Args:
        count: Number of rows.
        seed: Of the shuffles, 0 or more.
        initial_epoch: Number of the first pass.
    """

    def __init__(self, count: int, seed: int, initial_epoch: int = 0) -> None:
        self._count = count
        self._seed = seed
        self._epoch = initial_epoch
        self._lock = threading.Lock()

    def __call__(self) -> np.ndarray:
        """The next pass: `[count, 2]` int64 of (epoch, row)."""
        with self._lock:
            epoch = self._epoch
            self._epoch += 1
        rows = np.random.default_rng([self._seed, epoch]).permutation(self._count)
        return np.stack([np.full_like(rows, epoch), rows], axis=-1).astype(np.int64)
