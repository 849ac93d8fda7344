"""The losses of the score map (Eq. 3), the displacements (Eq. 6) and the quality.

Each function returns a sum. The caller divides it by a count over the whole batch,
which may lie on several devices.
"""

from keras import ops

from qepose_tf.ops.facts import Divisors, Omega, Tensor
from qepose_tf.ops.replicas import replica_sum


def score_loss_sum(predicted: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Computes the weighted squared error of the score map (Eq. 3), summed.

    Args:
        predicted: The predicted score map, `[B, H, W, 1]`.
        target: The label of each cell, for example the CIR, `[B, H, W, 1]`.
        weight: The weight of each cell, `[B, H, W, 1]`: 1 in Omega, 0.1 outside, 0 in
            ignored cells.

    Returns:
        A float32 scalar.
    """
    error = ops.cast(predicted, "float32") - ops.stop_gradient(target)
    return ops.sum(weight * ops.square(error))


def quality_loss_sum(predicted: Tensor, quality: Tensor, weight: Tensor) -> Tensor:
    """Computes the squared error of the quality branch in Omega (Table 3), summed.

    Args:
        predicted: The output of the quality branch at the cells of Omega, `[B, P]`.
        quality: The OKS of the poses that are regressed from these cells, `[B, P]`.
        weight: The weight of each cell, `[B, P]`, 1 where it counts.

    Returns:
        A float32 scalar.
    """
    error = ops.cast(predicted, "float32") - ops.stop_gradient(quality)
    return ops.sum(weight * ops.square(error))


def smooth_l1(error: Tensor, beta: float = 1.0 / 9.0) -> Tensor:
    """Computes `0.5 e^2 / beta` for `|e| < beta`, else `|e| - 0.5 beta` (Eq. 6).

    Args:
        error: A tensor of any shape.
        beta: The magnitude at which the loss turns linear, in the error's unit.

    Returns:
        A tensor of the shape of `error`.
    """
    size = ops.abs(error)
    return ops.where(size < beta, 0.5 * size * size / beta, size - 0.5 * beta)


def offset_loss_sum(
    poses: Tensor, keypoints: Tensor, weight: Tensor, beta: float = 1.0 / 9.0
) -> Tensor:
    """Computes the smooth L1 loss of regressed poses (Eq. 6), summed.

    A displacement is a keypoint minus its cell. The cell is the same in the prediction
    and the ground truth, so the error of the displacement is that of the keypoint.

    Args:
        poses: The regressed poses, `[..., K, 2]` (x, y) in cells.
        keypoints: The ground truth, `[..., K, 3]` (x, y, labelled) in cells.
        weight: The weight of each pose, `[...]`.
        beta: The error at which the loss turns linear, in cells.

    Returns:
        The float32 sum over labelled coordinates.
    """
    labelled = keypoints[..., 2:] > 0
    error = ops.where(labelled, ops.cast(poses, "float32") - keypoints[..., :2], 0.0)
    return ops.sum(smooth_l1(error, beta) * weight[..., None, None])


def loss_divisors(
    omega: Omega, cells: Tensor, disc_cells: int | None = None
) -> Divisors:
    """Counts, over all replicas, what the sums of the losses are divided by.

    Args:
        omega: Omega of the whole batch, padded or packed.
        cells: The number of cells in the score maps of the batch.
        disc_cells: The number of cells in the disc of one person. The score loss is
            divided by the number of cells in Omega, but at least by this number, so
            that a batch without people does not weigh its background as if Omega had
            a single cell. With None, the score loss is divided by `cells`.

    Returns:
        The divisors, float32 scalars.
    """
    in_omega = replica_sum(ops.sum(omega.owned))
    labelled = ops.sum(omega.keypoints[..., 2], axis=-1) * omega.owned
    coordinates = replica_sum(2.0 * ops.sum(labelled))
    if disc_cells is None:
        scores = replica_sum(ops.cast(cells, "float32"))
    else:
        scores = ops.maximum(in_omega, float(disc_cells))
    return Divisors(
        scores=scores,
        coordinates=ops.maximum(coordinates, 1.0),
        cells=ops.maximum(in_omega, 1.0),
        shares=replica_sum(ops.ones(())),
    )
