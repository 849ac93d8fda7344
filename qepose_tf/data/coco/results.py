"""Poses in COCO's form of keypoint results."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def coco_results(
    image_ids: Sequence[int],
    poses: np.ndarray,
    scores: np.ndarray,
    keypoint_scores: np.ndarray,
    category_id: int,
) -> list[dict[str, Any]]:
    """Poses in COCO's form of keypoint results, as pycocotools loads them.

    Coordinates are rounded to 2 decimals, scores to 4.

    Args:
        image_ids: N ids, one per pose.
        poses: `[N, K, 2]` (x, y) in original pixels.
        scores: `[N]`.
        keypoint_scores: `[N, K]`.
        category_id: Of the people.

    Raises:
        ValueError: The shapes do not belong together, or a number is not finite.
    """
    count = len(image_ids)
    poses = np.asarray(poses, np.float64)
    keypoint_scores = np.asarray(keypoint_scores, np.float64)
    scores = np.asarray(scores, np.float64)
    if poses.ndim != 3 or poses.shape[::2] != (count, 2):
        raise ValueError(f"expected poses [{count}, K, 2], got {list(poses.shape)}")
    if scores.shape != (count,) or keypoint_scores.shape != poses.shape[:2]:
        raise ValueError(
            f"expected scores [{count}] and keypoint scores {list(poses.shape[:2])}, "
            f"got {list(scores.shape)} and {list(keypoint_scores.shape)}"
        )
    flat = np.concatenate([poses.round(2), keypoint_scores.round(4)[..., None]], -1)
    if not (np.isfinite(flat).all() and np.isfinite(scores).all()):
        raise ValueError("expected finite poses and scores, got NaN or infinity")
    return [
        {
            "image_id": int(image_id),
            "category_id": int(category_id),
            "keypoints": keypoints,
            "score": score,
        }
        for image_id, keypoints, score in zip(
            image_ids,
            flat.reshape(count, 3 * poses.shape[1]).tolist(),
            scores.round(4).tolist(),
            strict=True,
        )
    ]
