"""From the facts of a batch to its loss: what a pose estimator does in training."""

from typing import Any

import keras
from keras import ops

from qepose_tf.layers.cir_target import CIRTargetLayer
from qepose_tf.losses import (
    loss_divisors,
    offset_loss_sum,
    quality_loss_sum,
    score_loss_sum,
)
from qepose_tf.models.head import ranking
from qepose_tf.models.image_model import ImageModel
from qepose_tf.models.metrics import Correlation
from qepose_tf.models.settings import LossSettings
from qepose_tf.ops.facts import Divisors, Facts, Omega, Tensor
from qepose_tf.ops.sampling import take_cells
from qepose_tf.ops.targets import disc_offsets


class PoseTraining(ImageModel):
    """The part of `PoseEstimator` that makes targets, losses and metrics.

    The targets depend on the predictions (Eq. 2), so they are made inside the model.

    Attributes:
        loss_settings: `LossSettings`.
        cir_target: The layer that makes targets.
        encoding: The layer from features, offsets and cells to poses.
    """

    loss_settings: LossSettings
    cir_target: CIRTargetLayer
    encoding: keras.layers.Layer

    def make_trackers(self) -> None:
        """Makes the metrics that every batch updates."""
        self.score_loss_tracker = keras.metrics.Mean(name="score_loss")
        self.offset_loss_tracker = keras.metrics.Mean(name="offset_loss")
        self.oks_tracker = keras.metrics.Mean(name="oks")
        self.correlation_tracker = Correlation(name="score_oks_correlation")

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
        divisors: Divisors | None = None,
    ) -> Tensor:
        """Makes the targets from facts and predictions, and returns the loss.

        Args:
            x: Ignored.
            y: The facts of the ground truth, see the class.
            y_pred: The outputs of this model.
            sample_weight: Ignored.
            training: Whether batch statistics are used and the moving ones updated.
            divisors: The divisors of the whole batch on all replicas, where `y` is a
                part of that batch. With None, they are counted from `y`.

        Returns:
            The loss, a float32 scalar.

        Raises:
            ValueError: `y` lacks a fact or has an unknown one.
        """
        facts = Facts.of(y)
        omega, poses = self.poses_in_omega(facts, y_pred, training)
        score_map = y_pred["score_map"]
        target, weight, quality = self.cir_target(poses, omega, facts.ignore)
        if divisors is None:
            divisors = self.loss_divisors(omega, ops.size(score_map))
        score_loss = score_loss_sum(score_map, target, weight) / divisors.scores

        offset_weight = omega.owned
        if self.loss_settings.area_weighted:
            area = ops.where(omega.area > 0, omega.area, 1.0)
            offset_weight = omega.owned * ops.rsqrt(area)
        offset_loss = offset_loss_sum(
            poses, omega.keypoints, offset_weight, self.loss_settings.offset_beta
        )
        offset_loss = offset_loss / divisors.coordinates

        self._update_metrics(
            score_loss, offset_loss, y_pred, omega, quality, divisors.shares
        )
        loss = (
            self.loss_settings.score_weight * score_loss
            + self.loss_settings.offset_weight * offset_loss
        )
        if "quality_map" in y_pred:
            where = omega.cells, omega.images
            counted = omega.owned * take_cells(1.0 - facts.ignore, *where)[..., 0]
            estimate = take_cells(y_pred["quality_map"], *where)[..., 0]
            quality_loss = quality_loss_sum(estimate, quality, counted)
            quality_loss = quality_loss / divisors.cells
            loss = loss + self.loss_settings.quality_weight * quality_loss
        return loss

    def poses_in_omega(
        self, facts: Facts, outputs: dict[str, Tensor], training: bool = False
    ) -> tuple[Omega, Tensor]:
        """Returns Omega of every person and the poses regressed from its cells.

        Args:
            facts: The facts of the ground truth, see the class.
            outputs: The outputs of this model.
            training: Whether batch statistics are used and the moving ones updated.

        Returns:
            What `CIRTargetLayer.locate` returns, and poses `[B, P, K, 2]` in cells.
        """
        map_hw = ops.shape(outputs["score_map"])[1:3]
        omega = self.locate(facts, map_hw)
        poses = self.encoding(
            outputs["keypoint_features"],
            outputs["query_offsets"],
            omega.cells,
            training=training,
            counted=omega.owned,
            images=omega.images,
        )
        return omega, poses

    def score_target(
        self, facts: Facts, outputs: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Returns the label of each cell and its weight, see `ImageModel`."""
        omega, poses = self.poses_in_omega(facts, outputs)
        target, weight, _ = self.cir_target(poses, omega, facts.ignore)
        return target, weight

    def loss_divisors(self, omega: Omega, cells: Tensor) -> Divisors:
        """Counts `losses.loss_divisors` with the loss settings of this model."""
        only_omega = self.loss_settings.score_normaliser == "omega"
        disc = len(disc_offsets(self.loss_settings.disc_radius)) if only_omega else None
        return loss_divisors(omega, cells, disc)

    def _update_metrics(
        self,
        score_loss: Tensor,
        offset_loss: Tensor,
        outputs: dict[str, Tensor],
        omega: Omega,
        quality: Tensor,
        shares: Tensor,
    ) -> None:
        # The loss of a replica is a share of a sum, and Keras computes the mean.
        self.score_loss_tracker.update_state(score_loss * shares)
        self.offset_loss_tracker.update_state(offset_loss * shares)
        owned = omega.owned
        # Flat, because Keras would first compute the mean of each image's row, which is
        # empty for an image without people.
        self.oks_tracker.update_state(
            ops.reshape(quality, [-1]), sample_weight=ops.reshape(owned, [-1])
        )
        scores = outputs["score_map"]
        if "quality_map" in outputs:
            scores = ranking(scores, outputs["quality_map"])
        scores = take_cells(scores, omega.cells, omega.images)[..., 0]
        self.correlation_tracker.update_state(scores, quality, sample_weight=owned)
