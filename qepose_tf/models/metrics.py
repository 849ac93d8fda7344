"""Does the score know the quality?"""

from typing import Any

import keras
from keras import ops

from qepose_tf.ops.facts import Tensor


@keras.saving.register_keras_serializable("qepose_tf")
class Correlation(keras.metrics.Metric):
    """Pearson correlation of two streams of numbers, over all batches and replicas.

    0 while one of them has no spread.
    """

    def __init__(self, name: str = "correlation", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        # count, sums of a, b, a^2, b^2 and ab
        self.moments = self.add_variable((6,), "zeros", name="moments")

    def update_state(
        self, first: Tensor, second: Tensor, sample_weight: Tensor
    ) -> None:
        """Adds pairs.

        Args:
            first: numbers of any shape.
            second: as many.
            sample_weight: as many, 0 for pairs to leave out.
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
        """The correlation, a scalar in [-1, 1]."""
        count, a, b, aa, bb, ab = (self.moments[i] for i in range(6))
        count = ops.maximum(count, 1.0)
        covariance = ab / count - (a / count) * (b / count)
        spread = (aa / count - (a / count) ** 2) * (bb / count - (b / count) ** 2)
        safe = ops.where(spread > 1e-12, spread, 1.0)
        return ops.where(spread > 1e-12, covariance * ops.rsqrt(safe), 0.0)
