"""A metric of training: how well the score correlates with the quality."""

from typing import Any

import keras
from keras import ops

from qepose_tf.ops.facts import Tensor


@keras.saving.register_keras_serializable("qepose_tf")
class Correlation(keras.metrics.Metric):
    """Pearson's correlation of two sequences, over all batches and replicas.

    It is 0 if all numbers of one sequence are equal.

    Args:
        name: The name of the metric.
        **kwargs: Arguments of `keras.metrics.Metric`.
    """

    def __init__(self, name: str = "correlation", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        # The count, and the sums of a, b, a^2, b^2 and a b.
        self.moments = self.add_variable((6,), "zeros", name="moments")

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
        products = [
            ops.ones_like(first),
            first,
            second,
            first * first,
            second * second,
            first * second,
        ]
        self.moments.assign_add(
            ops.stack([ops.sum(weight * product) for product in products])
        )

    def result(self) -> Tensor:
        """Returns the correlation, a scalar in [-1, 1]."""
        count, a, b, aa, bb, ab = (self.moments[i] for i in range(6))
        count = ops.maximum(count, 1.0)
        covariance = ab / count - (a / count) * (b / count)
        spread = (aa / count - (a / count) ** 2) * (bb / count - (b / count) ** 2)
        safe = ops.where(spread > 1e-12, spread, 1.0)
        return ops.where(spread > 1e-12, covariance * ops.rsqrt(safe), 0.0)
