"""The order of a data set's rows in each pass over it."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

_LAST_EPOCH = 2**31


class EpochOrder:
    """Shuffles the rows of a data set for each pass, and counts the passes.

    Args:
        count: Number of rows.
        seed: Of the shuffles, 0 or more.
        initial_epoch: Number of the first pass.
    """

    def __init__(self, count: int, seed: int, initial_epoch: int = 0) -> None:
        self.count = count
        self._seed = seed
        self._epoch = initial_epoch
        self._lock = threading.Lock()

    def __call__(self) -> np.ndarray:
        """The next pass: `[count, 2]` int64 of (epoch, row)."""
        with self._lock:
            epoch = self._epoch
            self._epoch += 1
        return self.of(epoch)

    def of(self, epoch: int) -> np.ndarray:
        """One pass by its number: `[count, 2]` int64 of (epoch, row)."""
        rows = np.random.default_rng([self._seed, int(epoch)]).permutation(self.count)
        return np.stack([np.full_like(rows, epoch), rows], axis=-1).astype(np.int64)

    def batch(self, epoch: int, step: int, batch_size: int) -> np.ndarray:
        """The rows of one batch, both counted from 0: `[batch_size]` int64."""
        return self.of(epoch)[step * batch_size : (step + 1) * batch_size, 1]


class MixedOrder(EpochOrder):
    """The order of data sets that are trained together.

    An epoch has as many images as all data sets together. Each data set's share of them
    is spread evenly, so that every batch holds it, and taken from passes of its own:
    each image of a data set is seen once before one is seen again.

    Args:
        parts: Of each data set, the number of rows and its share; the shares sum to 1.
        seed: Of the shuffles, 0 or more.
        initial_epoch: Number of the first pass.
    """

    def __init__(
        self, parts: Sequence[tuple[int, float]], seed: int, initial_epoch: int = 0
    ) -> None:
        super().__init__(sum(size for size, _ in parts), seed, initial_epoch)
        self._sizes = [size for size, _ in parts]
        self._quotas = _quotas(self.count, [share for _, share in parts])

    def of(self, epoch: int) -> np.ndarray:
        """One epoch: `[count, 2]` int64 of (number of the data set's pass, row)."""
        rows, times = [], []
        first_row = 0
        for part, (size, quota) in enumerate(
            zip(self._sizes, self._quotas, strict=True)
        ):
            number = np.arange(epoch * quota, (epoch + 1) * quota)
            passes = number // size
            within = np.empty_like(number)
            for lap in np.unique(passes):
                order = np.random.default_rng([self._seed, part, int(lap)])
                here = passes == lap
                within[here] = order.permutation(size)[number[here] % size]
            rows.append(np.stack([passes, within + first_row], axis=-1))
            times.append((np.arange(quota) + 0.5) / max(quota, 1))
            first_row += size
        order = np.argsort(np.concatenate(times), kind="stable")
        return np.concatenate(rows)[order].astype(np.int64)


def _quotas(count: int, shares: Sequence[float]) -> list[int]:
    """Whole numbers that sum to `count`, as near to the shares as can be."""
    exact = count * np.array(shares, np.float64)
    quotas = np.floor(exact).astype(np.int64)
    left = count - int(quotas.sum())
    quotas[np.argsort(quotas - exact, kind="stable")[:left]] += 1
    return quotas.tolist()


def epoch_order(
    count: int,
    parts: Sequence[tuple[int, float]],
    seed: int,
    initial_epoch: int = 0,
) -> EpochOrder:
    """The order of a data set, mixed or not.

    Args:
        count: Number of rows.
        parts: Of `CocoDataset`; empty for a single data set.
        seed: Of the shuffles, 0 or more.
        initial_epoch: Number of the first pass.
    """
    if parts:
        return MixedOrder(parts, seed, initial_epoch)
    return EpochOrder(count, seed, initial_epoch)


def ordered_rows(
    order: EpochOrder,
    batch_size: int,
    initial_epoch: int,
    initial_step: int | None,
    shard: tuple[int, int],
) -> tf.data.Dataset:
    """(epoch, row) of each image, in the order in which they are trained.

    Rows are shuffled, not images: a data set of any size is shuffled as a whole.

    Args:
        order: Of the rows.
        batch_size: Of all workers together.
        initial_epoch: The number of the first pass.
        initial_step: Batches of it that are left out; None ends with the first pass.
        shard: (index, count) of the workers that share each batch.

    Returns:
        `[2]` int64 each.
    """
    if initial_step is None and shard[1] == 1:
        epochs = tf.data.Dataset.range(1)
        read = order
        count = order.count
    else:
        epochs = tf.data.Dataset.range(initial_epoch, _LAST_EPOCH)
        count = None

        def read(epoch: np.ndarray) -> np.ndarray:
            rows = order.of(int(epoch))
            rows = rows[: len(rows) // batch_size * batch_size]
            parts = rows.reshape(-1, shard[1], batch_size // shard[1], 2)
            first = (initial_step or 0) if epoch == initial_epoch else 0
            return parts[first:, shard[0]].reshape(-1, 2)

    def rows_of(epoch: tf.Tensor) -> tf.Tensor:
        inputs = [] if count else [epoch]
        return tf.ensure_shape(tf.numpy_function(read, inputs, tf.int64), [count, 2])

    dataset = epochs.map(rows_of).unbatch()
    if count is None:
        return dataset
    return dataset.apply(tf.data.experimental.assert_cardinality(count))


def told(dataset: tf.data.Dataset, on_batch: Callable[[int], None]) -> tf.data.Dataset:
    """The same batches; calls `on_batch` with the number of each, from 0."""

    def tell(number: np.ndarray) -> np.ndarray:
        on_batch(int(number))
        return number

    @tf.autograph.experimental.do_not_convert
    def passed(number: tf.Tensor, batch: Any) -> Any:
        with tf.control_dependencies([tf.numpy_function(tell, [number], tf.int64)]):
            return tf.nest.map_structure(tf.identity, batch)

    return dataset.enumerate().map(passed)


def deterministic(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """The same elements in the same order, however many threads make them."""
    options = tf.data.Options()
    options.deterministic = True
    # There are no files to shard by, and TensorFlow would warn of it.
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.DATA
    )
    return dataset.with_options(options)
