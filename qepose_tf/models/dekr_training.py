"""From the facts of a batch to DEKR's loss."""

from typing import Any

import keras
from keras import ops

from qepose_tf.layers.adaptive_regression import AdaptiveRegression
from qepose_tf.losses import loss_divisors, offset_loss_sum, score_loss_sum
from qepose_tf.models.dekr_settings import DEKRLossSettings
from qepose_tf.models.image_model import ImageModel
from qepose_tf.ops.facts import Divisors, Facts, Omega, Tensor
from qepose_tf.ops.heat_targets import heat_targets
from qepose_tf.ops.oks import oks
from qepose_tf.ops.sampling import take_cells


class DEKRTraining(ImageModel):
    """The part of `DEKR` that makes targets, losses and metrics.

    The heatmaps learn Gaussians about keypoints and centres, and the branches learn the
    displacements from the cells about a centre. It departs from HRNet/DEKR in two
    points. A cell belongs to one person, so that its displacements do not mix the
    keypoints of two. And displacements are weighted by the diagonal of the person's own
    labelled keypoints, as in mmpose: HRNet/DEKR measures it from the image's corner.

    Attributes:
        loss_settings: `DEKRLossSettings`.
        encoding: The layer from features to displacements.
    """

    loss_settings: DEKRLossSettings
    encoding: AdaptiveRegression

    def make_trackers(self) -> None:
        """Makes the metrics that every batch updates."""
        self.heatmap_loss_tracker = keras.metrics.Mean(name="heatmap_loss")
        self.offset_loss_tracker = keras.metrics.Mean(name="offset_loss")
        self.oks_tracker = keras.metrics.Mean(name="oks")

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
        divisors: Divisors | None = None,
    ) -> Tensor:
        """Makes the targets from facts, and returns the loss.

        Args:
            x: Ignored.
            y: The facts of the ground truth, as of `PoseEstimator`.
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
        facts, settings = Facts.of(y), self.loss_settings
        centre = y_pred["score_map"]
        omega = self.locate(facts, ops.shape(centre)[1:3])
        if divisors is None:
            divisors = self.loss_divisors(omega, ops.size(centre))
        targets, weights = self._heat(facts, ops.shape(centre)[1:3])
        heatmaps = centre, y_pred["keypoint_heatmaps"]
        heatmap_loss = sum(map(score_loss_sum, heatmaps, targets, weights))
        heatmap_loss = heatmap_loss / divisors.scores

        poses = self._poses_at(omega, y_pred, training)
        weight = omega.owned / diagonals(omega.keypoints)
        offset_loss = offset_loss_sum(
            poses, omega.keypoints, weight, settings.offset_beta
        )
        offset_loss = offset_loss / divisors.coordinates

        # The loss of a replica is a share of a sum, and Keras computes the mean.
        self.heatmap_loss_tracker.update_state(heatmap_loss * divisors.shares)
        self.offset_loss_tracker.update_state(offset_loss * divisors.shares)
        quality = oks(poses, omega.keypoints, omega.area, self.skeleton.sigmas)
        self.oks_tracker.update_state(
            ops.reshape(ops.stop_gradient(quality), [-1]),
            sample_weight=ops.reshape(omega.owned, [-1]),
        )
        return (
            settings.heatmap_weight * heatmap_loss
            + settings.offset_weight * offset_loss
        )

    def score_target(
        self, facts: Facts, outputs: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Returns the centres' map and its weight, see `ImageModel`."""
        targets, weights = self._heat(facts, ops.shape(outputs["score_map"])[1:3])
        return targets[0], weights[0]

    def loss_divisors(self, omega: Omega, cells: Tensor) -> Divisors:
        """Counts the heatmaps' cells and the labelled coordinates in Omega."""
        return loss_divisors(omega, cells * (self.skeleton.num_keypoints + 1))

    def _heat(
        self, facts: Facts, map_hw: tuple[Tensor, Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Targets of the centre map and the keypoint maps, and their weights."""
        settings = self.loss_settings
        targets = heat_targets(
            facts.keypoints,
            facts.area,
            map_hw,
            settings.keypoint_sigma,
            settings.centre_sigma,
        )
        counted = 1.0 - ops.cast(facts.ignore, "float32")
        weights = [
            ops.where(target > 0, 1.0, settings.background_weight) * counted
            for target in targets
        ]
        return list(targets), weights

    def _poses_at(
        self, omega: Omega, outputs: dict[str, Tensor], training: bool
    ) -> Tensor:
        """The poses `[B, P, K, 2]` in cells regressed from the cells of Omega.

        Every cell is computed, because batch statistics are those of the whole map.
        """
        offsets = self.encoding.displacements(
            outputs["offset_features"], training=training
        )
        offsets = take_cells(offsets, omega.cells, omega.images)
        return ops.cast(omega.cells, "float32")[:, :, None] + offsets


def diagonals(keypoints: Tensor) -> Tensor:
    """The diagonal of the box around each person's labelled keypoints.

    Args:
        keypoints: `[..., K, 3]` (x, y, labelled) in cells.

    Returns:
        `[...]` in cells, at least 1: a single keypoint has no extent.
    """
    labelled = keypoints[..., 2:] > 0
    points = keypoints[..., :2]
    low = ops.min(ops.where(labelled, points, float("inf")), axis=-2)
    high = ops.max(ops.where(labelled, points, float("-inf")), axis=-2)
    size = ops.where(ops.any(labelled, axis=-2), high - low, 0.0)
    return ops.maximum(ops.sqrt(ops.sum(ops.square(size), axis=-1)), 1.0)
