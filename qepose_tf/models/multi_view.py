"""An image seen several ways: also mirrored, and at several sizes.

Cell `i` of a map stands at input pixel `4 i`, so the last cell stands 4 px before the
width W, and a plain mirror (`x` to `W - 1 - x`) would put cells between cells. The
mirror here is `x` to `W - 4 - x`: a plain mirror and a shift to the left by 3 px.
Then cell `i` of one image is cell `W/4 - 1 - i` of the other.
"""

from collections.abc import Sequence

from keras import ops

from qepose_tf.models import head
from qepose_tf.ops import decode
from qepose_tf.ops.geometry import STRIDE

MIRROR_SHIFT = STRIDE - 1


def ranking_map(outputs: dict):
    """What a `PoseEstimator` ranks its cells by: `[B, H, W, 1]` in [0, 1]."""
    return head.ranking(outputs["score_map"], outputs.get("quality_map"))


def mirror_images(images, fill):
    """Mirrored images on the same grid of cells.

    The three columns at the right that are new have the colour of padding; those that
    were there fall off. The letterbox's padding comes to stand at the left, where
    training crops have it, too.

    Args:
        images: `[B, H, W, 3]`, RGB in 0..255.
        fill: `[3]`, the colour of padding.

    Returns:
        `[B, H, W, 3]`: the pixel at `x` is the one that was at `W - 4 - x`.
    """
    mirrored = ops.flip(images, axis=2)
    nothing = ops.zeros_like(images[:, :, :MIRROR_SHIFT]) + fill
    return ops.concatenate([mirrored[:, :, MIRROR_SHIFT:], nothing], axis=2)


def mirror_points(points, width):
    """Points or whole cells in the mirrored map.

    Args:
        points: `[..., 2]` (x, y) in cells.
        width: of the map, W/4.
    """
    return ops.stack([width - 1 - points[..., 0], points[..., 1]], axis=-1)


def mirror_poses(poses, width, flip_permutation: Sequence[int]):
    """Poses in the mirrored map, where a left hand is a right one.

    Args:
        poses: `[..., K, 2]` (x, y) in cells.
        width: of the map, W/4.
        flip_permutation: of the skeleton.
    """
    mirrored = mirror_points(poses, ops.cast(width, poses.dtype))
    return ops.take(mirrored, list(flip_permutation), axis=-2)


def detect(
    model,
    images,
    *,
    flip: bool,
    max_detections: int,
    score_threshold: float,
    nms_distance: float,
) -> dict:
    """The people of each image, as `PoseDecoder` finds them.

    With `flip` the network sees each image and its mirror image, in one batch. The
    two ranking maps are averaged; at the best cells of the average both halves are
    asked for poses, which are averaged, too. Nothing dense is mirrored but a map.

    Args:
        model: a `PoseEstimator`.
        images: `[B, H, W, 3]`, RGB in 0..255.
        flip: whether to look at the mirror image, too.
        max_detections: P.
        score_threshold: rows with a lower or equal score are emptied.
        nms_distance: of `ops.decode.pose_nms`.

    Returns:
        `poses` `[B, P, K, 2]` in input pixels, `scores` `[B, P]`, `keypoint_scores`
        `[B, P, K]` and `cells` `[B, P, 2]`, see `PoseDecoder`.
    """
    both = images
    if flip:
        both = ops.concatenate([images, mirror_images(images, model.mean)])
    outputs = model(both, training=False)
    ranking = ranking_map(outputs)
    width = ops.shape(ranking)[2]
    if flip:
        plain, mirrored = ops.split(ranking, 2)
        ranking = (plain + ops.flip(mirrored, axis=2)) / 2.0
    scores, cells = decode.top_cells(decode.local_maxima(ranking), max_detections)
    asked = ops.concatenate([cells, mirror_points(cells, width)]) if flip else cells
    poses = model.encoding(
        outputs["keypoint_features"], outputs["query_offsets"], asked, training=False
    )
    if flip:
        plain, mirrored = ops.split(poses, 2)
        back = mirror_poses(mirrored, width, model.skeleton.flip_permutation)
        poses = (plain + back) / 2.0
    return decode.people(scores, poses, cells, score_threshold, nms_distance)


def merge(
    poses,
    scores,
    keypoint_scores,
    cells_px=float(STRIDE),
    *,
    max_detections: int,
    nms_distance: float,
) -> tuple:
    """One list of people from those found in several views of an image.

    Scores are compared as they are: each estimates the OKS of its own pose, at
    whatever size the network saw the person. DEKR, whose scores are heatmap values,
    brings those of other scales to the maximum of scale 1 and times 0.9.

    Args:
        poses: `[B, P, K, 2]`, all views' one behind the other, in one pixel grid.
        scores: `[B, P]`, 0 in empty rows; of equal ones the earlier is the better.
        keypoint_scores: `[B, P, K]`.
        cells_px: the side of a cell of the view that a pose was found in, in the
            pixels of the poses: a number, or `[B, P]`.
        max_detections: the best so many are kept.
        nms_distance: of `ops.decode.pose_nms`.

    Returns:
        Poses `[B, D, K, 2]`, scores `[B, D]` and keypoint scores `[B, D, K]`,
        D the smaller of P and `max_detections`, by descending score, 0 in empty rows.
    """
    cells_px = ops.zeros_like(scores) + cells_px
    rows = (poses, keypoint_scores, ops.expand_dims(cells_px, 2))
    scores, *rows = decode.rank(scores, scores > 0, *rows)
    keep = decode.pose_nms(rows[0], scores, nms_distance, rows[2][..., 0])
    scores, poses, keypoint_scores = decode.rank(scores, keep, *rows[:2])
    keypoint_scores = ops.where(scores[..., None] > 0, keypoint_scores, 0.0)
    rows = (poses, scores, keypoint_scores)
    return tuple(row[:, :max_detections] for row in rows)
