"""Detects people in an image and its mirror image, and merges several views.

Cell `i` of a map lies at pixel `4 i` of the input. A plain mirror image (`x` becomes
`W - 1 - x`) would move cells to positions between cells. Here, `x` becomes `W - 4 - x`:
a plain mirror image that is shifted to the left by 3 px. Cell `i` of the image is then
cell `W/4 - 1 - i` of the mirror image.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from keras import ops

from qepose_tf.models import head
from qepose_tf.ops import decode
from qepose_tf.ops.facts import Tensor
from qepose_tf.ops.geometry import STRIDE

MIRROR_SHIFT = STRIDE - 1


def ranking_map(outputs: Mapping[str, Tensor]) -> Tensor:
    """Returns the ranking of cells, `[B, H, W, 1]` in [0, 1], see `head.ranking`."""
    return head.ranking(outputs["score_map"], outputs.get("quality_map"))


def mirror_images(images: Tensor, fill: Tensor) -> Tensor:
    """Mirrors images so that cells stay on the grid of cells.

    The shift removes three columns and adds three at the right in the colour of the
    padding. The padding of the letterbox moves to the left, where training crops have
    padding, too.

    Args:
        images: `[B, H, W, 3]`, RGB in 0..255.
        fill: `[3]`, the colour of the padding.

    Returns:
        `[B, H, W, 3]`, where the pixel at `x` was at `W - 4 - x` before.
    """
    mirrored = ops.flip(images, axis=2)
    nothing = ops.zeros_like(images[:, :, :MIRROR_SHIFT]) + fill
    return ops.concatenate([mirrored[:, :, MIRROR_SHIFT:], nothing], axis=2)


def mirror_points(points: Tensor, width: Tensor) -> Tensor:
    """Mirrors points, or cells, in a map.

    Args:
        points: `[..., 2]` (x, y) in cells.
        width: The width of the map in cells.

    Returns:
        `[..., 2]` (x, y) in cells.
    """
    return ops.stack([width - 1 - points[..., 0], points[..., 1]], axis=-1)


def mirror_poses(
    poses: Tensor, width: Tensor, flip_permutation: Sequence[int]
) -> Tensor:
    """Mirrors poses in a map, and swaps left and right keypoints.

    Args:
        poses: `[..., K, 2]` (x, y) in cells.
        width: The width of the map in cells.
        flip_permutation: The flip permutation of the skeleton.

    Returns:
        `[..., K, 2]` (x, y) in cells.
    """
    mirrored = mirror_points(poses, ops.cast(width, poses.dtype))
    return ops.take(mirrored, list(flip_permutation), axis=-2)


def detect(
    model: Any, images: Tensor, *, flip: bool, **decoding: Any
) -> dict[str, Tensor]:
    """Detects the people of each image, as the model's decoder does.

    With `flip`, the network computes each image and its mirror image in one batch.

    Args:
        model: A `PoseEstimator` or a `DEKR`.
        images: `[B, H, W, 3]`, RGB in 0..255.
        flip: Whether the mirror image is used.
        **decoding: The settings of the model's decoder.

    Returns:
        `poses` `[B, P, K, 2]` in input pixels, `scores` `[B, P]`, `keypoint_scores`
        `[B, P, K]` and `cells` `[B, P, 2]`, see `PoseDecoder`.
    """
    both = images
    if flip:
        both = ops.concatenate([images, mirror_images(images, model.mean)])
    return model.decode(model(both, training=False), flip=flip, **decoding)


def mean_of_views(maps: Tensor) -> Tensor:
    """Averages maps of images and of their mirror images.

    Args:
        maps: `[2 B, H, W, C]`, those of the images first.

    Returns:
        `[B, H, W, C]`, as the images lie.
    """
    plain, mirrored = ops.split(maps, 2)
    return (plain + ops.flip(mirrored, axis=2)) / 2.0


def mean_poses(poses: Tensor, width: Tensor, flip_permutation: Sequence[int]) -> Tensor:
    """Averages poses of images and of their mirror images.

    Args:
        poses: `[2 B, P, K, 2]` (x, y) in cells, those of the images first.
        width: The width of the map in cells.
        flip_permutation: The flip permutation of the skeleton.

    Returns:
        `[B, P, K, 2]`, as the images lie.
    """
    plain, mirrored = ops.split(poses, 2)
    return (plain + mirror_poses(mirrored, width, flip_permutation)) / 2.0


def cells_of_views(cells: Tensor, width: Tensor, flip: bool) -> Tensor:
    """Returns cells of images, and with `flip` the same of their mirror images.

    Args:
        cells: `[B, P, 2]` (x, y).
        width: The width of the map in cells.
        flip: Whether there are mirror images.
    """
    return ops.concatenate([cells, mirror_points(cells, width)]) if flip else cells


def decode_quality(
    model: Any,
    outputs: Mapping[str, Tensor],
    *,
    flip: bool,
    max_detections: int,
    score_threshold: float,
    nms_distance: float,
) -> dict[str, Tensor]:
    """Decodes the outputs of a `PoseEstimator`.

    With `flip`, the two ranking maps are averaged, and so are the two poses at the best
    cells of the average. Apart from the ranking map, nothing dense has to be mirrored
    back.

    Args:
        model: The `PoseEstimator`.
        outputs: Its outputs; with `flip`, of images and then of their mirror images.
        flip: Whether there are mirror images.
        max_detections: P, the rows of each image.
        score_threshold: Rows with a lower or equal score become empty.
        nms_distance: The distance of `ops.decode.pose_nms`.

    Returns:
        What `detect` returns.
    """
    ranking = ranking_map(outputs)
    width = ops.shape(ranking)[2]
    if flip:
        ranking = mean_of_views(ranking)
    scores, cells = decode.top_cells(decode.local_maxima(ranking), max_detections)
    poses = model.encoding(
        outputs["keypoint_features"],
        outputs["query_offsets"],
        cells_of_views(cells, width, flip),
        training=False,
    )
    if flip:
        poses = mean_poses(poses, width, model.skeleton.flip_permutation)
    return decode.people(scores, poses, cells, score_threshold, nms_distance)


def merge(
    poses: Tensor,
    scores: Tensor,
    keypoint_scores: Tensor,
    cells_px: Tensor | float = float(STRIDE),
    *,
    max_detections: int,
    nms_distance: float,
) -> tuple[Tensor, ...]:
    """Merges the people found in several views of an image.

    Scores of different scales are compared without a correction, because each predicts
    the OKS of its own pose. (DEKR's scores are heatmap values. It scales those of other
    scales to the maximum of scale 1 and multiplies them by 0.9.)

    Args:
        poses: `[B, P, K, 2]`, the poses of all views in the same px.
        scores: `[B, P]`, 0 in empty rows. Of equal scores the first is kept.
        keypoint_scores: `[B, P, K]`.
        cells_px: The side of a cell of the view in which a pose was found, in the px
            of the poses: a number, or `[B, P]`.
        max_detections: The largest number of people that are kept.
        nms_distance: The distance of `ops.decode.pose_nms`.

    Returns:
        Poses `[B, D, K, 2]`, scores `[B, D]` and keypoint scores `[B, D, K]` by
        descending score, 0 in empty rows. D is the smaller of P and `max_detections`.
    """
    cells_px = ops.zeros_like(scores) + cells_px
    rows = (poses, keypoint_scores, ops.expand_dims(cells_px, 2))
    scores, *rows = decode.rank(scores, scores > 0, *rows)
    keep = decode.pose_nms(rows[0], scores, nms_distance, rows[2][..., 0])
    scores, poses, keypoint_scores = decode.rank(scores, keep, *rows[:2])
    keypoint_scores = ops.where(scores[..., None] > 0, keypoint_scores, 0.0)
    rows = (poses, scores, keypoint_scores)
    return tuple(row[:, :max_detections] for row in rows)
