"""One training step, which sums the gradients over replicas before it uses them."""

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from qepose_tf.models.pose_model import PoseModel
from qepose_tf.ops.facts import Divisors, Facts
from qepose_tf.ops.geometry import STRIDE
from qepose_tf.training.devices.keras_mends import with_an_axis

Batch = tuple[tf.Tensor, Facts]
SKIPPED = "skipped_steps"
NORM = "gradient_norm"


class TrainStep:
    """Takes the place of Keras' `train_step`.

    Keras' own `train_step` clips the gradients of each replica before it sums them, and
    accumulates gradients only with a single replica. This step may run a replica's
    batch in parts, one after another, to save memory. The loss is that of the whole
    batch, because its divisors are counted before the first part; only the batch
    statistics are those of a part.

    The step adds the logs `gradient_norm` (of all gradients, before clipping) and,
    where steps may be skipped, `skipped_steps`.

    If the optimiser keeps moving averages of the weights, the moving statistics of
    batch normalisation are averaged in the same way, because the latest statistics do
    not match averaged weights.

    Args:
        model: A model compiled with an optimiser of `make_optimizer`.
        parts: The number of parts into which a replica's batch is split.

    Attributes:
        statistics: Pairs of a moving statistic of batch normalisation and its average;
            empty if the optimiser keeps no averages.
    """

    def __init__(self, model: PoseModel, parts: int = 1):
        self.model = model
        self.parts = parts
        self.skips = hasattr(model.optimizer, "inner_optimizer")
        model.gradient_norm_tracker = keras.metrics.Mean(name=NORM)
        if self.skips:
            model.skipped_tracker = keras.metrics.Sum(name=SKIPPED)
        optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
        self.statistics: list[tuple[keras.Variable, keras.Variable]] = []
        if optimizer.use_ema:
            self.statistics = [
                (weight, keras.Variable(weight, trainable=False, aggregation="mean"))
                for weight in model.non_trainable_weights
                if weight.name.startswith("moving_")
            ]

    def __call__(self, data: Batch) -> dict[str, Any]:
        """Trains on a replica's part of a batch and returns the logs."""
        model = self.model
        # A forward pass updates these; a skipped step restores them.
        moved = model.non_trainable_weights if self.skips else []
        before = [tf.identity(variable.value) for variable in moved]
        weights = model.trainable_weights
        gradients, loss = self._gradients(data, weights)
        context = tf.distribute.get_replica_context()
        gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        scale = model.optimizer.scale_loss(tf.constant(1.0))
        norm = tf.linalg.global_norm(gradients) / scale
        model.optimizer.apply(gradients, weights)
        model._loss_tracker.update_state(loss * context.num_replicas_in_sync)
        if not self.skips:
            self._average()
            model.gradient_norm_tracker.update_state(norm)
            return with_an_axis(model.get_metrics_result())
        finite = tf.math.is_finite(norm)
        for variable, value in zip(moved, before, strict=True):
            variable.assign(tf.where(finite, variable.value, value))
        self._average()
        model.gradient_norm_tracker.update_state(
            tf.where(finite, norm, 0.0), sample_weight=tf.cast(finite, tf.float32)
        )
        share = 1.0 / context.num_replicas_in_sync
        model.skipped_tracker.update_state(tf.where(finite, 0.0, share))
        return with_an_axis(model.get_metrics_result())

    def _average(self) -> None:
        """Updates the averages of the moving statistics; the first step sets them."""
        optimizer = getattr(self.model.optimizer, "inner_optimizer", None)
        optimizer = optimizer or self.model.optimizer
        if not self.statistics:
            return
        keep = optimizer.ema_momentum * tf.cast(optimizer.iterations > 1, tf.float32)
        for weight, average in self.statistics:
            average.assign(average * keep + weight.value * (1.0 - keep))

    def _gradients(self, data: Batch, weights: list) -> tuple[list, tf.Tensor]:
        """Returns the gradients and the loss of a replica's part of the batch."""
        total: list[tf.Tensor] = []
        # TensorFlow's annotations let a constant be an `Operation`.
        loss: tf.Tensor = tf.constant(0.0)  # ty: ignore[invalid-assignment]
        images, facts = data[0], Facts.of(data[1])
        divisors = self._divisors(images, facts)
        for piece, labels in self._cut(images, facts):
            with tf.GradientTape() as tape:
                outputs = self.model(piece, training=True)
                part = self.model.compute_loss(
                    x=piece, y=labels, y_pred=outputs, divisors=divisors
                )
                scaled = self.model.optimizer.scale_loss(part)
            found = tape.gradient(scaled, weights)
            # Weights that the loss does not depend on have no gradient; zeros keep the
            # sum over replicas defined.
            found = [
                tf.zeros_like(weight) if gradient is None else gradient
                for gradient, weight in zip(found, weights, strict=True)
            ]
            loss += part
            total = list(map(tf.add, total, found)) if total else found
        return total, loss

    def _divisors(self, images: tf.Tensor, facts: Facts) -> Divisors | None:
        """Counts the divisors of the whole batch; None where it is not split."""
        if self.parts == 1:
            return None
        map_hw = ops.shape(images)[1] // STRIDE, ops.shape(images)[2] // STRIDE
        omega = self.model.locate(facts, map_hw)
        cells = ops.shape(images)[0] * map_hw[0] * map_hw[1]
        divisors = self.model.loss_divisors(omega, cells)
        return divisors._replace(shares=divisors.shares * self.parts)

    def _cut(self, images: tf.Tensor, facts: Facts) -> list[Batch]:
        if self.parts == 1:
            return [(images, facts)]
        pieces = tf.split(images, self.parts)
        rows = zip(*(tf.split(fact, self.parts) for fact in facts), strict=True)
        return [(piece, Facts(*row)) for piece, row in zip(pieces, rows, strict=True)]
