"""Builds the head at stride 4, which predicts displacements and their score.

The paper's ablations switch parts of it off or replace them (Tables 2, 3 and 6).
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import KerasTensor, layers, ops

from qepose_tf.layers.keypoint_query import KeypointQuery, KeypointQueryEncoding
from qepose_tf.layers.keypoint_regression import KeypointRegression
from qepose_tf.layers.pose_points import (
    AutomaticOffsets,
    KeypointOffsets,
    SemanticPointOffsets,
)
from qepose_tf.layers.pose_query import PoseQueryEncoding
from qepose_tf.layers.upsample import Upsample
from qepose_tf.models.hrnet import Builder
from qepose_tf.models.settings import HeadSettings
from qepose_tf.ops.facts import Tensor


def build_head(
    branches: Sequence[KerasTensor],
    num_keypoints: int,
    settings: HeadSettings,
    norm: dict[str, Any],
) -> tuple[dict[str, KerasTensor], KerasTensor, KerasTensor, keras.Layer]:
    """Builds the head on the maps of a body.

    Args:
        branches: The maps at strides 4, 8, 16 and 32.
        num_keypoints: K.
        settings: The settings of the head.
        norm: The settings of batch normalisation.

    Returns:
        The maps that rank cells by name, each `[B, H, W, 1]`; `keypoint_features` and
        `query_offsets`, see `displacements`; and the layer from these and cells to
        poses.
    """
    general = general_feature(branches)
    features, offsets, encoding = displacements(
        general,
        num_keypoints,
        settings.keypoint_channels,
        settings.semantic_points,
        settings.keypoint_query_encoding,
        norm,
    )
    encoded = instance_encoding(
        general,
        features,
        offsets,
        encoding,
        settings.pose_query,
        settings.instance_channels,
        branches[0].shape[-1],
        norm,
    )
    maps = {"score_map": score(encoded)}
    if settings.quality_branch:
        maps["quality_map"] = quality(encoded, norm)
    return maps, features, offsets, encoding


def general_feature(branches: Sequence[KerasTensor]) -> KerasTensor:
    """Resizes all maps of the body to the size of the first and concatenates them.

    Args:
        branches: `[B, H / s, W / s, C]`, each of half the size of the one before.

    Returns:
        The general feature, `[B, H, W, C]`.
    """
    upsampled = [
        Upsample(2**i, "bilinear", name=f"upsample_{i}")(branch)
        for i, branch in enumerate(branches[1:], start=1)
    ]
    return layers.Concatenate(name="general_feature")([branches[0], *upsampled])


def displacements(
    general: KerasTensor,
    num_keypoints: int,
    channels: int,
    semantic_points: int,
    kqe: bool,
    norm: dict[str, Any],
) -> tuple[KerasTensor, KerasTensor, keras.Layer]:
    """Predicts the first hop at every cell, and makes the layer of the second hop.

    Args:
        general: The general feature, `[B, H, W, C]`.
        num_keypoints: K.
        channels: The channels of each keypoint's representation.
        semantic_points: N.
        kqe: Whether there is a second hop, the keypoint query encoding.
        norm: The settings of batch normalisation.

    Returns:
        `keypoint_features` `[B, H, W, K, channels]`, `query_offsets`
        `[B, H, W, K, 2]`, and the layer from these and cells to poses.
    """
    query = KeypointQuery(num_keypoints, channels, **norm, name="keypoint_query")
    features, offsets = query(general)
    if kqe:
        encoding = KeypointQueryEncoding(
            semantic_points, **norm, name="keypoint_query_encoding"
        )
    else:
        encoding = KeypointRegression(name="keypoint_regression")
    return features, offsets, encoding


def instance_encoding(
    general: KerasTensor,
    features: KerasTensor,
    offsets: KerasTensor,
    encoding: keras.Layer,
    pose_query: str,
    channels: int,
    units: int,
    norm: dict[str, Any],
) -> KerasTensor:
    """Computes the feature that a cell is scored by.

    Args:
        general: The general feature, `[B, H, W, C]`.
        features: The keypoint features of `displacements`.
        offsets: The query offsets of `displacements`.
        encoding: The layer of `displacements`.
        pose_query: A key of `settings.POSE_QUERIES`.
        channels: The channels of the instance feature.
        units: The channels of the result.
        norm: The settings of batch normalisation.

    Returns:
        `[B, H, W, units]`.
    """
    build = Builder(**norm)
    instance = build.conv_norm_relu(
        general, channels, 1, "instance_conv", "instance_bn"
    )
    instance = build.basic_block(instance, "instance_block")
    if pose_query == "none":
        return build.conv_norm_relu(
            instance, units, 1, "cell_encoding_conv", "cell_encoding_bn"
        )
    if pose_query == "automatic":
        points = AutomaticOffsets(offsets.shape[-2], name="automatic")(instance)
    elif pose_query == "keypoints":
        points = KeypointOffsets(encoding, name="keypoints")(features, offsets)
    elif pose_query == "semantic_points":
        points = SemanticPointOffsets(encoding, name="semantic")(features, offsets)
    else:
        points = offsets
    return PoseQueryEncoding(units, **norm, name="pose_query_encoding")(
        instance, points
    )


def score(encoded: KerasTensor, name: str = "score") -> KerasTensor:
    """Predicts a linear float32 map `[B, H, W, 1]`, which starts near zero."""
    return layers.Dense(
        1,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
        dtype="float32",
        name=name,
    )(encoded)


def quality(encoded: KerasTensor, norm: dict[str, Any]) -> KerasTensor:
    """Predicts the map of the quality branch, with one more layer (Table 3)."""
    build = Builder(**norm)
    hidden = build.conv_norm_relu(
        encoded, encoded.shape[-1], 1, "quality_conv", "quality_bn"
    )
    return score(hidden, "quality")


def ranking(score_map: Tensor, quality_map: Tensor | None = None) -> Tensor:
    """Computes the ranking of cells: the score, times the quality if it is estimated.

    The paper says that "the estimated instance score and pose regression quality score
    are multiplied to select pose candidates". Both are clipped to [0, 1] before.

    Args:
        score_map: `[B, H, W, 1]`.
        quality_map: `[B, H, W, 1]`, or None without a quality branch.

    Returns:
        `[B, H, W, 1]` in [0, 1].
    """
    clipped = ops.clip(score_map, 0.0, 1.0)
    if quality_map is None:
        return clipped
    return clipped * ops.clip(quality_map, 0.0, 1.0)
