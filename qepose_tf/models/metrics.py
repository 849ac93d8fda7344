"""A metric of training: how well the score correlates with the quality."""

from typing import Any

import keras
from keras import ops

from qepose_tf.ops.facts import Tensor
from qepose_tf.ops.replicas import replica_sum

_COUNT, _ANCHOR, _MEANS, _SUMS = (
    slice(0, 1),
    slice(1, 3),
    slice(3, 5),
    slice(5, 8),
)


@keras.saving.register_keras_serializable("qepose_tf")
class Correlation(keras.metrics.Metric):
    """Pearson's correlation of two sequences, over all batches and replicas.

    It is 0 while one of the streams has no spread. Numbers are counted from the means
    of the first batch, sums are kept about the mean, and those of a batch are merged
    with those before it (Chan, Golub and LeVeque, 1979): a difference of large sums
    would have no digits left where the means are large.

    Args:
        name: Of the metric.
        **kwargs: Of `keras.metrics.Metric`.
    """

    def __init__(self, name: str = "correlation", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        # The count, the means of the first batch, the means from there, and the sums of
        # a^2, b^2 and ab about the means. Every replica holds those of all replicas, so
        # that the mean over replicas is each one's own.
        self.moments = self.add_variable(
            (8,), "zeros", name="moments", aggregation="mean"
        )

    def update_state(
        self, first: Tensor, second: Tensor, sample_weight: Tensor
    ) -> None:
        """Adds pairs of numbers.

        Args:
            first: The first numbers, of any shape.
            second: The second numbers, of the same shape.
            sample_weight: The weights of the pairs; 0 leaves a pair out.
        """
        first, second, weight = (
            ops.cast(ops.reshape(ops.stop_gradient(values), [-1]), self.dtype)
            for values in (first, second, sample_weight)
        )
        pairs = ops.stack([first, second])  # [2, N]
        # A pair without weight may hold anything, NaN too, which 0 times would keep.
        pairs = ops.where(weight != 0, pairs, 0.0)
        before = ops.convert_to_tensor(self.moments)
        count = replica_sum(ops.sum(weight, keepdims=True))  # [1]
        means = replica_sum(ops.sum(weight * pairs, axis=1)) / _positive(count)
        anchor = ops.where(before[_COUNT] > 0, before[_ANCHOR], means)
        pairs = pairs - anchor[:, None]
        means = replica_sum(ops.sum(weight * pairs, axis=1)) / _positive(count)
        away = pairs - means[:, None]
        sums = replica_sum(ops.sum(weight * _products(away), axis=1))

        total = before[_COUNT] + count
        share = count / _positive(total)
        apart = means - before[_MEANS]
        means = before[_MEANS] + share * apart
        sums = before[_SUMS] + sums + before[_COUNT] * share * _products(apart)
        self.moments.assign(ops.concatenate([total, anchor, means, sums]))

    def result(self):
        """Returns the correlation, a scalar in [-1, 1]."""
        moments = ops.convert_to_tensor(self.moments)
        count = _positive(moments[_COUNT])
        variance_a, variance_b, covariance = ops.unstack(moments[_SUMS] / count, 3)
        spread = variance_a * variance_b
        safe = ops.where(spread > 1e-12, spread, 1.0)
        correlation = ops.where(spread > 1e-12, covariance * ops.rsqrt(safe), 0.0)
        return ops.clip(correlation, -1.0, 1.0)


def _positive(count):
    return ops.where(count > 0, count, 1.0)


def _products(pairs):
    """Of pairs `[2, ...]`: a^2, b^2 and ab `[3, ...]`."""
    first, second = pairs[0], pairs[1]
    return ops.stack([first * first, second * second, first * second])
