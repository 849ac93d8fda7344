"""Object keypoint similarity (Eq. 1)."""

from keras import ops


def oks(poses, keypoints, area, sigmas):
    """OKS of predicted poses with labelled ones (Eq. 1).

    `s^2` is the area and `k_i = 2 * sigma_i`, as in pycocotools.

    Args:
        poses: predicted `[..., K, 2]`.
        keypoints: labelled `[..., K, 3]` (x, y, v) in the poses' units; keypoints
            with `v > 0` count.
        area: `[...]` of the labelled person, in the poses' units squared.
        sigmas: `[K]`.

    Returns:
        `[...]` float32 in [0, 1]; 0 where no keypoint is labelled or the area is 0.
    """
    poses = ops.cast(poses, "float32")
    keypoints = ops.cast(keypoints, "float32")
    area = ops.cast(area, "float32")
    labelled = ops.cast(keypoints[..., 2] > 0, "float32")
    distance2 = ops.sum(ops.square(poses - keypoints[..., :2]), axis=-1)
    falloff2 = ops.square(2.0 * ops.convert_to_tensor(sigmas, "float32"))
    # A padded person has area 0: the division must stay finite, also its gradient.
    scale = 2.0 * ops.expand_dims(ops.where(area > 0, area, 1.0), -1) * falloff2
    # An unlabelled keypoint may hold anything, NaN too, which 0 times would keep.
    similarity = ops.where(labelled > 0, ops.exp(-distance2 / scale), 0.0)
    count = ops.sum(labelled, axis=-1)
    mean = ops.sum(similarity, axis=-1) / ops.maximum(count, 1.0)
    return ops.where(area > 0, mean, 0.0)
