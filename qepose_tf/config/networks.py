"""The sections of a config that describe a network: `model` and `loss`."""

from pathlib import Path
from typing import Annotated, Literal

import pydantic
from pydantic import Field

from qepose_tf.config.values import (
    Count,
    Finite,
    Flag,
    Fraction,
    Natural,
    NonNegative,
    Positive,
    Section,
)


class HeadConfig(Section):
    """`HeadSettings`: what stands behind the body, and the ablations' switches."""

    keypoint_channels: Count = 20
    instance_channels: Count = 64
    semantic_points: Natural = 9
    keypoint_query_encoding: Flag = True
    pose_query: Literal[
        "queries", "keypoints", "semantic_points", "automatic", "none"
    ] = "queries"
    quality_branch: Flag = False


class DecoderConfig(Section):
    """`DecoderSettings`: how the best cells become people."""

    max_detections: Count = 30
    score_threshold: Fraction = 0.01
    nms_distance: NonNegative = 0.05


class BatchNormConfig(Section):
    """`BatchNormSettings`: in a named body and in the head."""

    momentum: Fraction = 0.9
    synchronized: Flag = False


class NetworkConfig(Section):
    """What the networks have in common."""

    network: Literal["pose_estimator", "dekr"] = "pose_estimator"
    backbone: Literal["tiny", "w18", "w32", "w48", "efficientnet_lite0"] = "w32"
    backbone_weights: Path | None = None  # training starts from them
    # Or from a whole model, a preset or a .keras file. Settings of `model` and `loss`
    # that the config does not name are then those of that model.
    start_from: Annotated[str, Field(strict=True)] | None = None
    input_size: Annotated[int, Field(strict=True, ge=64, multiple_of=64)] = 512
    batch_norm: BatchNormConfig = BatchNormConfig()
    mean: tuple[Finite, Finite, Finite] = (123.675, 116.28, 103.53)  # of RGB, 0 to 255
    std: tuple[Positive, Positive, Positive] = (58.395, 57.12, 57.375)

    @pydantic.model_validator(mode="after")
    def _check_start(self) -> "NetworkConfig":
        if self.start_from and self.backbone_weights:
            raise ValueError("expected start_from or backbone_weights, got both")
        return self


class ModelConfig(NetworkConfig):
    """Arguments of `PoseEstimator`."""

    head: HeadConfig = HeadConfig()
    decoder: DecoderConfig = DecoderConfig()


class LossConfig(Section):
    """`LossSettings`: weights and switches of Eq. 3 and Eq. 6."""

    disc_radius: Positive = 4.0
    instance_label: Literal["cir", "gaussian", "discrete"] = "cir"
    gaussian_sigma: Positive | None = None
    background_weight: NonNegative = 0.1
    score_weight: NonNegative = 1.0
    offset_weight: NonNegative = 1.0
    quality_weight: NonNegative = 1.0
    offset_beta: Positive = 1 / 9
    area_weighted: Flag = True
    score_normaliser: Literal["omega", "cells"] = "omega"


class DEKRHeadConfig(Section):
    """`DEKRHeadSettings`: the heatmaps and the branches."""

    heatmap_channels: Count | None = None
    keypoint_channels: Count = 15
    adaptive_blocks: Count = 2


class DEKRDecoderConfig(Section):
    """`DEKRDecoderSettings`: how the best centres become people."""

    max_detections: Count = 30
    score_threshold: Fraction = 0.01
    nms_distance: NonNegative = 0.05
    nms_keypoints: Natural | None = None
    protocol: Literal["dekr", "mmpose"] = "dekr"


class DEKRModelConfig(NetworkConfig):
    """Arguments of `DEKR`."""

    network: Literal["pose_estimator", "dekr"] = "dekr"
    head: DEKRHeadConfig = DEKRHeadConfig()
    decoder: DEKRDecoderConfig = DEKRDecoderConfig()


class DEKRLossConfig(Section):
    """`DEKRLossSettings`: targets and weights."""

    keypoint_sigma: Positive = 2.0
    centre_sigma: Positive = 4.0
    disc_radius: Positive = 4.0
    background_weight: NonNegative = 0.1
    heatmap_weight: NonNegative = 1.0
    offset_weight: NonNegative = 0.03
    offset_beta: Positive = 1 / 9
