"""From DEKR's maps to people: its peaks, its scores and its pose suppression.

The published decoders of HRNet/DEKR and of mmpose differ in three points, which the
rows of `PROTOCOLS` name. Every shape is static, for TFLite: an image always has as many
rows as cells were asked for, and a row without a person has score 0.
"""

import dataclasses

from keras import ops

from qepose_tf.ops.decode import local_maxima, rank
from qepose_tf.ops.geometry import STRIDE
from qepose_tf.ops.sampling import sample_per_point


@dataclasses.dataclass(frozen=True)
class Protocol:
    """One published decoder.

    Attributes:
        peak_window: The side of the window in which a centre is the greatest, in cells;
            None chooses 3, 5 or 7 by the size of the map.
        half_pixel: Whether keypoint heatmaps are sampled by half-pixel coordinates at
            the keypoint itself, instead of at its whole pixel of the image.
        heat_order: Whether suppression begins with the highest mean of the keypoint
            heatmaps, instead of the highest centre.
    """

    peak_window: int | None
    half_pixel: bool
    heat_order: bool


PROTOCOLS = {
    # lib/core/inference.py (hierarchical_pool), lib/core/nms.py, lib/config/default.py
    "dekr": Protocol(peak_window=None, half_pixel=False, heat_order=False),
    # mmpose/codecs/spr.py, mmpose/evaluation/functional/nms.py
    "mmpose": Protocol(peak_window=5, half_pixel=True, heat_order=True),
}
# Above these means of a map's sides, in cells, DEKR's window has 5 and 7 cells.
WIDER_WINDOWS = (200.0, 300.0)


def peaks(score_map, window: int | None = None):
    """Keeps the scores that are the greatest of their window; the others become 0.

    Args:
        score_map: `[B, H, W, 1]`.
        window: See `Protocol.peak_window`.

    Returns:
        `[B, H, W, 1]`.
    """
    if window is not None:
        return local_maxima(score_map, window)
    height, width = ops.shape(score_map)[1:3]
    side = (height + width) / 2
    small, middle, large = (local_maxima(score_map, size) for size in (3, 5, 7))
    if isinstance(height, int) and isinstance(width, int):
        wide, wider = (side > limit for limit in WIDER_WINDOWS)
        return large if wider else middle if wide else small
    side = ops.cast(side, score_map.dtype)
    chosen = ops.where(side > WIDER_WINDOWS[0], middle, small)
    return ops.where(side > WIDER_WINDOWS[1], large, chosen)


def heat_at(heatmaps, poses, half_pixel: bool = False):
    """Samples every keypoint's heatmap at that keypoint.

    DEKR enlarges the heatmaps to the size of the image and reads the whole pixel at or
    before the keypoint; enlarging is bilinear, so the small map has the same value at
    a quarter of this pixel.

    Args:
        heatmaps: `[B, H, W, K]`.
        poses: `[B, P, K, 2]` (x, y) in cells.
        half_pixel: See `Protocol`.

    Returns:
        `[B, P, K]`.
    """
    if half_pixel:
        height, width = ops.shape(heatmaps)[1:3]
        side = ops.cast(ops.stack([width, height]), "float32")
        points = poses * side / (side - 1.0) - 0.5
    else:
        points = ops.floor(poses * STRIDE) / STRIDE
    features = ops.expand_dims(ops.cast(heatmaps, "float32"), -1)  # [B, H, W, K, 1]
    sampled = sample_per_point(features, ops.expand_dims(points, 3))
    return ops.squeeze(sampled, (3, 4))


def same_person(poses, present, distance: float, keypoints: int):
    """Tells which poses belong to the group of another pose.

    Args:
        poses: `[B, P, K, 2]`.
        present: `[B, P]` bool, the rows with a pose.
        distance: Keypoints nearer than this fraction of the diagonal of the row's pose
            coincide.
        keypoints: Poses with more coinciding keypoints than this are the same person.

    Returns:
        `[B, P, P]` float32; row `i`, column `j`: pose `j` is in the group of pose `i`.
    """
    size = ops.max(poses, axis=2) - ops.min(poses, axis=2)
    reach2 = distance**2 * ops.sum(ops.square(size), axis=-1)  # [B, P]
    gap = ops.expand_dims(poses, 2) - ops.expand_dims(poses, 1)  # [B, P, P, K, 2]
    near = ops.sum(ops.square(gap), axis=-1) < ops.expand_dims(reach2, (2, 3))
    group = ops.cast(ops.sum(ops.cast(near, "float32"), -1) > keypoints, "float32")
    # A pose without extent is near nothing, itself included.
    rows = ops.arange(poses.shape[1])
    itself = ops.cast(ops.expand_dims(rows, 1) == rows, "float32")
    group = ops.maximum(group, itself)
    there = ops.cast(present, "float32")
    return group * ops.expand_dims(there, 1) * ops.expand_dims(there, 2)


def suppress(group, heat, present):
    """Keeps the pose of the highest heat of each group, group after group.

    Groups are those of the rows in their order. A row that stood in the group of an
    earlier one makes no group; if the best pose of a group stood in an earlier group,
    nothing of it is kept and its other poses may make groups of their own.

    Args:
        group: The result of `same_person`.
        heat: `[B, P]`, the mean of the keypoint heatmaps at each pose.
        present: `[B, P]` bool.

    Returns:
        `[B, P]` bool: the poses to keep.
    """
    count = group.shape[1]
    rows = ops.arange(count)
    lowest = ops.min(heat, axis=1, keepdims=True) - 1.0
    within = ops.where(group > 0, ops.expand_dims(heat, 1), ops.expand_dims(lowest, 1))
    # Not argmax: Keras' treats -0.0 by an operation that ONNX does not have.
    _, best = ops.top_k(within, 1)  # [B, P, 1]
    best = ops.cast(ops.cast(best, "int32") == rows, "float32")  # [B, P, P]

    def settle(index, state):
        ignored, kept = state
        turn = ops.cast(rows == index, "float32")  # [P]
        own_group = ops.sum(group * ops.expand_dims(turn, -1), axis=1)
        own_best = ops.sum(best * ops.expand_dims(turn, -1), axis=1)
        seen = ops.maximum(turn, own_best) * ignored
        free = ops.sum(seen, axis=1, keepdims=True) == 0
        free = ops.cast(free, "float32")
        return (
            ops.maximum(ignored, free * own_group),
            ops.maximum(kept, free * own_best),
        )

    nothing = ops.zeros_like(heat)
    _, kept = ops.fori_loop(0, count, settle, (nothing, nothing))
    return (kept > 0) & present


def people(
    centre,
    poses,
    cells,
    heatmaps,
    *,
    score_threshold: float,
    nms_distance: float,
    nms_keypoints: int | None,
    protocol: str,
) -> dict:
    """Returns the people among the poses regressed from the best cells.

    The score of a keypoint is the centre's score times the keypoint's heat, and the
    score of a pose is the mean of its keypoints' scores. A pose whose mean is not above
    0 is dropped.

    Args:
        centre: `[B, P]`, the scores of the cells, descending.
        poses: `[B, P, K, 2]` in cells.
        cells: `[B, P, 2]` (x, y), where each pose was regressed from.
        heatmaps: `[B, H, W, K]`.
        score_threshold: Rows whose centre is not above it are dropped.
        nms_distance: The distance of `same_person`.
        nms_keypoints: The keypoints of `same_person`; None is half of them, rounded
            down.
        protocol: A key of `PROTOCOLS`.

    Returns:
        `poses` in input pixels, `scores`, `keypoint_scores` `[B, P, K]` and `cells`, by
        descending score.
    """
    if nms_keypoints is None:
        nms_keypoints = poses.shape[2] // 2
    row = PROTOCOLS[protocol]
    heat = heat_at(heatmaps, poses, row.half_pixel)
    if row.heat_order:
        # Rows below the threshold come last, so they take no turn before others.
        mean = ops.mean(heat, axis=-1)
        first = mean - ops.min(mean) + 1.0
        _, centre, poses, heat, cells = rank(
            first, centre > score_threshold, centre, poses, heat, cells
        )
    present = centre > score_threshold
    group = same_person(poses, present, nms_distance, nms_keypoints)
    keep = suppress(group, ops.mean(heat, axis=-1), present)
    keypoint_scores = ops.expand_dims(centre, -1) * heat
    scores = ops.mean(keypoint_scores, axis=-1)
    scores, poses, keypoint_scores, cells = rank(
        scores, keep & (scores > 0), poses * STRIDE, keypoint_scores, cells
    )
    there = ops.cast(scores > 0, keypoint_scores.dtype)
    return {
        "poses": poses,
        "scores": scores,
        "keypoint_scores": keypoint_scores * ops.expand_dims(there, -1),
        "cells": cells,
    }
