"""OKS between every pair of poses in NumPy, for tracks and their figures."""

import numpy as np

# COCO's area divided by the variance of the keypoints: the median of those 598 people
# of 538 val2017 images with 12 keypoints or more (10 % to 90 %: 1.8 to 4.5).
_AREA_OF_VARIANCE = 2.7


def pose_scales(poses: np.ndarray, min_scale: float = 0.0) -> np.ndarray:
    """The size of each pose, which plays the part of the root of COCO's area.

    The scale is `sqrt(2.7 (var x + var y))` over the known keypoints. Unlike a box it
    does not depend on how the pose is turned, and one keypoint that is far off changes
    it little. For people who stand upright it is about half of their height.

    Args:
        poses: `[..., K, 2]` in px; keypoints that are not finite are unknown.
        min_scale: The least scale in px, also that of a pose with fewer than two
            known keypoints.

    Returns:
        `[...]` in px.

    Example:
        >>> pose_scales(np.array([[0.0, 0.0], [0.0, 10.0], [np.nan, 3.0]])).round(3)
        np.float64(8.216)
    """
    known = np.asarray(np.isfinite(poses).all(axis=-1))  # [..., K]
    count = np.maximum(known.sum(axis=-1), 1)[..., None]
    points = np.where(known[..., None], poses, 0.0)
    middle = points.sum(axis=-2) / count  # [..., 2]
    offsets = np.where(known[..., None], points - middle[..., None, :], 0.0)
    variance = np.square(offsets).sum(axis=-2) / count  # [..., 2]
    scales = np.sqrt(_AREA_OF_VARIANCE * variance.sum(axis=-1))
    return np.maximum(scales, min_scale)


def pairwise_oks(
    first: np.ndarray,
    second: np.ndarray,
    scales: np.ndarray,
    sigmas: np.ndarray,
    variances: np.ndarray | float = 0.0,
) -> np.ndarray:
    """OKS of all poses of one group with all of another.

    `OKS = mean_k exp(-d_k^2 / (2 (s^2 (2 sigma_k)^2 + variance_k)))`, the mean taken
    over the keypoints that both poses have. Without variances this is COCO's OKS with
    the area `s^2`.

    Args:
        first: `[T, K, 2]` in px; keypoints that are not finite are unknown.
        second: `[N, K, 2]` in px.
        scales: The scale `s` of each pair in px, a shape that fits `[T, N]`.
        sigmas: `[K]`.
        variances: How uncertain the positions of `first` are, `[T, K]` in px^2.

    Returns:
        `[T, N]` in [0, 1]; 0 for a pair that shares no keypoint or has no scale.

    Example:
        >>> pose = np.array([[[3.0, 4.0]]])
        >>> pairwise_oks(pose, pose + [[[0.0, 1.0]]], np.ones((1, 1)), np.array([0.5]))
        array([[0.60653066]])
    """
    difference = first[:, None] - second  # [T, N, K, 2]
    distance2 = np.square(difference).sum(axis=-1)
    known = np.isfinite(distance2)
    spread = np.square(np.asarray(scales)[..., None] * (2.0 * np.asarray(sigmas)))
    spread = (
        spread + np.asarray(variances)[..., None, :]
        if np.ndim(variances)
        else (spread + variances)
    )
    usable = known & (spread > 0)
    exponent = np.where(usable, distance2, 0.0) / np.where(spread > 0, spread, 1.0)
    similarity = np.where(usable, np.exp(-0.5 * exponent), 0.0)
    return similarity.sum(axis=-1) / np.maximum(known.sum(axis=-1), 1)
