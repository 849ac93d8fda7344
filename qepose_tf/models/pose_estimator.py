"""The pose estimator: body, head, decoder and losses in one functional model."""

from typing import Any

import keras
import numpy as np
from keras import ops

from qepose_tf.layers.cir_target import CIRTargetLayer
from qepose_tf.layers.pose_decoder import PoseDecoder
from qepose_tf.losses import (
    loss_divisors,
    offset_loss_sum,
    quality_loss_sum,
    score_loss_sum,
)
from qepose_tf.models import bodies, head
from qepose_tf.models.metrics import Correlation
from qepose_tf.ops.facts import Divisors, Facts, Omega
from qepose_tf.ops.sampling import take_cells
from qepose_tf.ops.targets import disc_offsets
from qepose_tf.skeleton import Skeleton

# ImageNet's mean and standard deviation of RGB in 0..255.
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)
STRIDE_32 = 32
TRAINING_ONLY = ("keypoint_features", "query_offsets")
# Only TensorFlow has arrays whose size differs from step to step. Packed, a batch costs
# as many cells as are owned; padded, as many as its image with most people has.
_PACKED = keras.backend.backend() == "tensorflow"


def _rgb(name: str, values) -> np.ndarray:
    array = np.asarray(values, np.float32)
    if array.shape != (3,) or not np.isfinite(array).all():
        raise ValueError(f"expected {name} to be three numbers, got {values!r}")
    return array


@keras.saving.register_keras_serializable("qepose_tf")
class PoseEstimator(keras.Model):
    """Quality-aware multi-person pose regression.

    A functional model from normalised images `[B, H, W, 3]` float32, sides multiples
    of 32, to a dict of

    - `score_map` `[B, H/4, W/4, 1]`: the predicted quality of each cell's pose,
    - `poses` `[B, P, K, 2]` (x, y) in input pixels, `scores` `[B, P]` descending and 0
      in empty rows, `keypoint_scores` `[B, P, K]`, `cells` `[B, P, 2]` (x, y),
    - `keypoint_features` and `query_offsets`, from which `compute_loss` regresses the
      poses of the cells it needs; `predict` leaves them out.

    `fit` takes `(images, facts)`; facts are `keypoints` `[B, M, K, 3]` (x, y, v) and
    `area` `[B, M]` in input pixels (area 0: padding), and `ignore`
    `[B, H/4, W/4, 1]`, 1 where the score loss must not look. Compile it with an
    optimizer and no loss: the targets depend on the predictions (Eq. 2).

    Args:
        skeleton: the keypoints, a `Skeleton` or its dict.
        backbone: a name of `models.bodies.named_bodies`, or a functional model with
            maps at strides 4 to 32 (see `models.bodies.build_body`). Its weights are
            taken as they are; `mean` and `std` are what it wants its pixels to have
            had taken off.
        input_size: side of the training crop and short side at inference, pixels.
        keypoint_channels: of each keypoint's representation.
        instance_channels: of the instance feature.
        semantic_points: N of the keypoint query encoding.
        keypoint_query_encoding: False regresses keypoints in one hop (Table 2).
        pose_query: where a cell's score is read, a key of `head.POSE_QUERIES`
            (Table 6; `none` is Table 2's model without PQE).
        quality_branch: estimate the quality beside the score and rank by the product
            (Table 3); adds the output `quality_map` `[B, H/4, W/4, 1]`.
        synchronized_batch_norm: share batch statistics between replicas.
        batch_norm_momentum: of the moving statistics.
        max_detections: rows of poses per image.
        score_threshold: lower scores become empty rows.
        nms_distance: of the pose suppression.
        disc_radius: of Omega in cells.
        instance_label: what the score map is taught in Omega: `cir`, `gaussian` or
            `discrete` (Table 3), see `CIRTargetLayer`.
        gaussian_sigma: of the Gaussian label in cells.
        background_weight: of the score loss outside Omega (Eq. 3).
        score_weight: of the score loss.
        offset_weight: of the displacement loss.
        quality_weight: of the quality branch's loss.
        offset_beta: of its smooth L1, in cells.
        area_weighted: weigh displacements by 1 / sqrt(area in cells).
        score_normaliser: `omega` divides the score loss by the number of cells in
            Omega, `cells` by that of all cells.
        mean: of RGB in 0..255.
        std: of RGB in 0..255.
        name: of the model.
        dtype: a dtype policy or its name; the global one by default.
    """

    def __init__(
        self,
        skeleton: Skeleton | dict,
        backbone: str | keras.Model = "w32",
        input_size: int = 512,
        keypoint_channels: int = 20,
        instance_channels: int = 64,
        semantic_points: int = 9,
        keypoint_query_encoding: bool = True,
        pose_query: str = "queries",
        quality_branch: bool = False,
        synchronized_batch_norm: bool = False,
        batch_norm_momentum: float = 0.9,
        max_detections: int = 30,
        score_threshold: float = 0.01,
        nms_distance: float = 0.05,
        disc_radius: float = 4.0,
        instance_label: str = "cir",
        gaussian_sigma: float | None = None,
        background_weight: float = 0.1,
        score_weight: float = 1.0,
        offset_weight: float = 1.0,
        quality_weight: float = 1.0,
        offset_beta: float = 1.0 / 9.0,
        area_weighted: bool = True,
        score_normaliser: str = "omega",
        mean=MEAN,
        std=STD,
        name: str = "pose_estimator",
        dtype=None,
    ):
        settings = {
            key: value
            for key, value in locals().items()
            if key not in ("self", "__class__", "skeleton", "dtype")
        }
        if isinstance(skeleton, dict):
            skeleton = Skeleton.from_dict(skeleton)
        if score_normaliser not in ("omega", "cells"):
            raise ValueError(
                f"expected score_normaliser omega or cells, got {score_normaliser!r}"
            )
        head.check_head(semantic_points, keypoint_query_encoding, pose_query)
        mean, std = _rgb("mean", mean), _rgb("std", std)
        policy = keras.dtype_policies.get(dtype or keras.config.dtype_policy())

        # Layers
        outer_policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy(policy)
        try:
            norm = {
                "momentum": batch_norm_momentum,
                "synchronized": synchronized_batch_norm,
            }
            body = bodies.build_body(backbone, **norm)
            # Functional graph
            images = keras.Input((None, None, 3), dtype="float32", name="images")
            branches = body(images)
            general = head.general_feature(branches)
            features, offsets, encoding = head.displacements(
                general,
                skeleton.num_keypoints,
                keypoint_channels,
                semantic_points,
                keypoint_query_encoding,
                norm,
            )
            encoded = head.instance_encoding(
                general,
                features,
                offsets,
                encoding,
                pose_query,
                instance_channels,
                branches[0].shape[-1],
                norm,
            )
            maps = {"score_map": head.score(encoded)}
            if quality_branch:
                maps["quality_map"] = head.quality(encoded, norm)
            decoder = PoseDecoder(
                encoding, max_detections, score_threshold, nms_distance, name="decoder"
            )
            detections = decoder(head.ranking(*maps.values()), features, offsets)
        finally:
            keras.config.set_dtype_policy(outer_policy)
        outputs = {
            **maps,
            **detections,
            "keypoint_features": features,
            "query_offsets": offsets,
        }
        super().__init__(images, outputs, name=name)

        # Config
        self.dtype_policy = policy
        self.settings = settings
        self.skeleton = skeleton
        self.input_size = input_size
        self.mean = mean
        self.std = std
        self.body = body
        self.encoding = encoding
        self.cir_target = CIRTargetLayer(
            skeleton.sigmas,
            disc_radius,
            background_weight,
            instance_label,
            gaussian_sigma,
            name="cir_target",
        )
        self.score_loss_tracker = keras.metrics.Mean(name="score_loss")
        self.offset_loss_tracker = keras.metrics.Mean(name="offset_loss")
        self.oks_tracker = keras.metrics.Mean(name="oks")
        self.correlation_tracker = Correlation(name="score_oks_correlation")

    def call(self, inputs, training=None, mask=None):
        """See the class."""
        sides = inputs.shape[1:3]
        if any(side is not None and side % STRIDE_32 for side in sides):
            raise ValueError(
                f"expected image sides that are multiples of {STRIDE_32}, got {sides}"
            )
        return super().call(inputs, training=training, mask=mask)

    def normalise(self, images):
        """RGB in 0..255, any type, to the network's float32 input."""
        mean, std = ops.convert_to_tensor(self.mean), ops.convert_to_tensor(self.std)
        return (ops.cast(images, "float32") - mean) / std

    def compute_loss(
        self,
        x=None,
        y=None,
        y_pred=None,
        sample_weight=None,
        training=True,
        divisors: Divisors | None = None,
    ):
        """Makes the targets from facts and predictions, and returns the loss.

        Args:
            x: not looked at.
            y: facts, see the class.
            y_pred: outputs of this model.
            sample_weight: not looked at.
            training: whether batch statistics are used and moved.
            divisors: of the whole batch on all replicas, where `y` is a part of it;
                None counts them here.
        """
        facts = Facts.of(y)
        omega, poses = self.poses_in_omega(facts, y_pred, training)
        score_map = y_pred["score_map"]
        target, weight, quality = self.cir_target(poses, omega, facts.ignore)
        if divisors is None:
            divisors = self.loss_divisors(omega, ops.size(score_map))
        score_loss = score_loss_sum(score_map, target, weight) / divisors.scores

        offset_weight = omega.owned
        if self.settings["area_weighted"]:
            area = ops.where(omega.area > 0, omega.area, 1.0)
            offset_weight = omega.owned * ops.rsqrt(area)
        offset_loss = offset_loss_sum(
            poses, omega.keypoints, offset_weight, self.settings["offset_beta"]
        )
        offset_loss = offset_loss / divisors.coordinates

        self._update_metrics(
            score_loss, offset_loss, y_pred, omega, quality, divisors.shares
        )
        loss = (
            self.settings["score_weight"] * score_loss
            + self.settings["offset_weight"] * offset_loss
        )
        if "quality_map" in y_pred:
            where = omega.cells, omega.images
            counted = omega.owned * take_cells(1.0 - facts.ignore, *where)[..., 0]
            estimate = take_cells(y_pred["quality_map"], *where)[..., 0]
            quality_loss = quality_loss_sum(estimate, quality, counted)
            quality_loss = quality_loss / divisors.cells
            loss = loss + self.settings["quality_weight"] * quality_loss
        return loss

    def poses_in_omega(
        self, facts: Facts, outputs: dict, training: bool = False
    ) -> tuple[Omega, Any]:
        """Omega of every person and the poses regressed from its cells.

        Args:
            facts: see the class.
            outputs: of this model.
            training: whether batch statistics are used and moved.

        Returns:
            What `CIRTargetLayer.locate` returns, and poses `[B, P, K, 2]` in cells.
        """
        map_hw = ops.shape(outputs["score_map"])[1:3]
        located = facts.keypoints, facts.area, map_hw
        omega = self.cir_target.locate(*located, packed=_PACKED)
        poses = self.encoding(
            outputs["keypoint_features"],
            outputs["query_offsets"],
            omega.cells,
            training=training,
            counted=omega.owned,
            images=omega.images,
        )
        return omega, poses

    def loss_divisors(self, omega: Omega, cells) -> Divisors:
        """`losses.loss_divisors` with this model's settings."""
        only_omega = self.settings["score_normaliser"] == "omega"
        disc = len(disc_offsets(self.settings["disc_radius"])) if only_omega else None
        return loss_divisors(omega, cells, disc)

    def _update_metrics(self, score_loss, offset_loss, outputs, omega, quality, shares):
        # Each share is a part of a sum, and Keras takes the mean over shares.
        self.score_loss_tracker.update_state(score_loss * shares)
        self.offset_loss_tracker.update_state(offset_loss * shares)
        owned = omega.owned
        # Flat: Keras would take the mean of each image's row first, which has no length
        # where nobody is, and another length in every batch.
        self.oks_tracker.update_state(
            ops.reshape(quality, [-1]), sample_weight=ops.reshape(owned, [-1])
        )
        scores = outputs["score_map"]
        if "quality_map" in outputs:
            scores = head.ranking(scores, outputs["quality_map"])
        scores = take_cells(scores, omega.cells, omega.images)[..., 0]
        self.correlation_tracker.update_state(scores, quality, sample_weight=owned)

    def predict_step(self, *args):
        """Drops the training features, which would fill the memory of `predict`."""
        result = super().predict_step(*args)
        outputs, *state = result if isinstance(result, tuple) else (result,)
        outputs = {k: v for k, v in outputs.items() if k not in TRAINING_ONLY}
        return (outputs, *state) if state else outputs

    def get_config(self):
        """Everything that builds this model again."""
        rgb = {key: list(map(float, self.settings[key])) for key in ("mean", "std")}
        return {
            **self.settings,
            **rgb,
            "backbone": bodies.to_config(self.settings["backbone"]),
            "skeleton": self.skeleton.to_dict(),
            "dtype": self.dtype_policy.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The inverse of `get_config`."""
        backbone = bodies.from_config(config["backbone"], custom_objects)
        return cls(**{**config, "backbone": backbone})
