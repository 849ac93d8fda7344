"""From maps to people: local maxima, the best cells, pose suppression.

Every shape is static, for TFLite: an image always has `count` rows, sorted by score,
and a row without a person has score 0.
"""

import numpy as np
from keras import ops

from qepose_tf.ops.geometry import STRIDE
from qepose_tf.ops.sampling import take_cells

PEAK_WINDOW = 5  # cells: of peaks nearer than three cells only one is a candidate
# A pose whose box diagonal is shorter is a point: keypoints that coincide, or a single
# one, say nothing of a person's size, and the error of a pose does not shrink with
# them. It is less than that of anybody who is large enough to be learned by default.
LEAST_EXTENT = 12.0  # cells
# A point counts as this large, so that at the usual distance of 0.05 it reaches two
# cells: as far as one peak of the score map rules out the next.
POINT_EXTENT = 40.0  # cells


def local_maxima(score_map, window: int = PEAK_WINDOW):
    """Keeps the scores that are the greatest of their window; the others become 0.

    Args:
        score_map: `[B, H, W, 1]`.
        window: The odd side of the window in cells.

    Returns:
        `[B, H, W, 1]`.
    """
    greatest = ops.max_pool(score_map, window, strides=1, padding="same")
    return ops.where(score_map >= greatest, score_map, ops.zeros_like(score_map))


def top_cells(score_map, count: int):
    """Returns the cells with the highest scores.

    Args:
        score_map: `[B, H, W, 1]`.
        count: The number of cells to return.

    Returns:
        scores: `[B, count]`, descending, and
        cells: `[B, count, 2]` int32 (x, y). Where the map has fewer cells, the rows
        that are left have score 0 and the last cell.
    """
    batch, height, width, _ = ops.shape(score_map)
    size = height * width
    flat = ops.reshape(score_map, [batch, size])
    if isinstance(size, int) and size >= count:
        scores, rows = ops.top_k(flat, count)
    else:
        nothing = ops.full([batch, count], -np.inf, flat.dtype)
        scores, rows = ops.top_k(ops.concatenate([flat, nothing], axis=1), count)
        scores = ops.where(rows < size, scores, 0.0)
        rows = ops.minimum(rows, size - 1)
    rows = ops.cast(rows, "int32")
    return scores, ops.stack([rows % width, rows // width], axis=-1)


def extents(poses, cell=1.0):
    """Returns how large poses are, by which their nearness is judged.

    The extent is the diagonal of the box around the keypoints. A pose whose diagonal is
    shorter than `LEAST_EXTENT` cells is a point and counts as `POINT_EXTENT` cells.

    Args:
        poses: `[B, P, K, 2]`.
        cell: The side of a cell of the score map in the poses' unit: a number, or
            `[B, P]`.

    Returns:
        The squared extents `[B, P]`, in the poses' unit squared, and `[B, P]` bool,
        which poses are points.
    """
    size = ops.max(poses, axis=2) - ops.min(poses, axis=2)  # [B, P, 2]
    diagonal2 = ops.sum(ops.square(size), axis=-1)
    cell = ops.cast(cell, diagonal2.dtype)
    point = diagonal2 < ops.square(LEAST_EXTENT * cell)
    return ops.where(point, ops.square(POINT_EXTENT * cell), diagonal2), point


def same_person(poses, distance: float, cell=1.0):
    """Tells which poses describe the same person as another pose.

    Two poses do so if more than half of their keypoints coincide. Of two points (see
    `extents`) one keypoint is enough: a keypoint that no label has taught stands
    wherever its cell stands, and those that were taught agree.

    Args:
        poses: `[B, P, K, 2]`.
        distance: Two keypoints coincide if they are at most this fraction of the
            extent apart; the extent is that of the pose in the row.
        cell: The side of a cell of the score map in the poses' unit: a number, or
            `[B, P]`. By default the poses are in cells.

    Returns:
        `[B, P, P]` bool; row `i`, column `j`: pose `j` repeats pose `i`.
    """
    batch, count = poses.shape[:2]
    if batch == 0:  # Keras takes no maximum of nothing
        return ops.zeros([0, count, count], "bool")
    extent2, point = extents(poses, cell)
    reach2 = distance**2 * extent2
    gap = ops.expand_dims(poses, 2) - ops.expand_dims(poses, 1)  # [B, P, P, K, 2]
    gap2 = ops.sum(ops.square(gap), axis=-1)
    near = ops.cast(gap2 <= ops.expand_dims(reach2, (2, 3)), "float32")
    points = ops.logical_and(ops.expand_dims(point, 2), ops.expand_dims(point, 1))
    too_few = ops.where(points, 0.0, poses.shape[2] / 2)
    return ops.sum(near, axis=-1) > too_few


def pose_nms(poses, scores, distance: float = 0.05, cell=1.0):
    """Suppresses, greedily, poses that repeat a pose of a higher score.

    Greedy order is the fixed point of "kept if no kept better pose is the same
    person"; each pass settles at least the next pose, so as many passes as poses
    always suffice.

    Args:
        poses: `[B, P, K, 2]`, by descending score.
        scores: `[B, P]`; a score of 0 is an empty row: neither kept nor counted.
        distance: See `same_person`.
        cell: See `same_person`.

    Returns:
        `[B, P]` bool: the poses to keep.
    """
    count = poses.shape[1]
    better = ops.triu(ops.ones([count, count], "float32"), k=1)
    present = ops.cast(scores > 0, "float32")
    repeats = ops.cast(same_person(poses, distance, cell), "float32") * better

    def settle(_, kept):
        suppressed = ops.squeeze(ops.matmul(ops.expand_dims(kept, 1), repeats), 1) > 0
        return ops.where(suppressed, 0.0, present)

    return ops.fori_loop(0, count, settle, present) > 0


def people(scores, poses, cells, threshold: float, distance: float) -> dict:
    """Returns the detections among the poses regressed from the best cells.

    Args:
        scores: `[B, P]`, descending.
        poses: `[B, P, K, 2]` in cells.
        cells: `[B, P, 2]` (x, y), where each pose was regressed from.
        threshold: Rows whose score is not above it are emptied.
        distance: of `pose_nms`.

    Returns:
        `poses` in input pixels, `scores`, `keypoint_scores` `[B, P, K]` (a pose's score
        for each of its keypoints) and `cells`, by descending score.
    """
    scores = ops.where(scores > threshold, scores, 0.0)
    keypoints = poses.shape[2]
    keep = pose_nms(poses, scores, distance)
    scores, poses, cells = rank(scores, keep, poses * STRIDE, cells)
    return {
        "poses": poses,
        "scores": scores,
        "keypoint_scores": ops.expand_dims(scores, 2) * ops.ones([keypoints]),
        "cells": cells,
    }


def rank(scores, keep, *rows):
    """Sorts kept rows to the front by score; the others' scores become 0.

    Args:
        scores: `[B, P]`.
        keep: `[B, P]` bool.
        *rows: tensors `[B, P, ...]` to put into the same order.

    Returns:
        The scores, then each of `rows`.
    """
    count = scores.shape[1]
    scores, order = ops.top_k(ops.where(keep, scores, 0.0), count)
    # The rows as a map of one line: a flat gather, which every mobile runtime has. A
    # product with one-hot rows would round coordinates to ten bits (a quarter of a
    # pixel at 1000 px) on GPUs that multiply float32 as TensorFloat-32.
    at = ops.stack([order, ops.zeros_like(order)], axis=-1)
    return scores, *(take_cells(ops.expand_dims(row, 1), at) for row in rows)
