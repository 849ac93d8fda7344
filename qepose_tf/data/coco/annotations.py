"""A COCO file's annotations as checked arrays, people apart from ignore regions."""

import dataclasses
import logging
from typing import Any

import numpy as np

from qepose_tf.data.coco.ignore_regions import Region, box_region, usable_region
from qepose_tf.data.coco.person_area import BOX_SHARE, estimated_area
from qepose_tf.data.coco.problems import Problems

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class People:
    """All people of a data set that have a labelled keypoint, N in a row.

    Attributes:
        image: `[N]` int, the row of each person's image.
        keypoints: `[N, K, 3]` float32 (x, y, v).
        area: `[N]` float32, pixels squared.
        boxes: `[N, 4]` float32 (x, y, width, height).
    """

    image: np.ndarray
    keypoints: np.ndarray
    area: np.ndarray
    boxes: np.ndarray


def read_annotations(
    annotations: list[dict[str, Any]],
    image_rows: np.ndarray,
    image_hw: np.ndarray,
    num_keypoints: int,
    problems: Problems,
) -> tuple[People, dict[int, list[Region]]]:
    """Checks the annotations of one category.

    A person is an annotation that is no crowd and has a labelled keypoint. Crowds and
    people without a labelled keypoint are regions in which nothing is learned.

    Args:
        annotations: N entries of a COCO file.
        image_rows: `[N]`, the row in `image_hw` that each belongs to.
        image_hw: `[I, 2]` heights and widths of the images.
        num_keypoints: K.
        problems: Collects what was mended.

    Returns:
        The people, and the ignore regions by image row.
    """
    ids = [annotation.get("id") for annotation in annotations]
    hw = image_hw[image_rows]  # [N, 2]
    keypoints = _keypoints(annotations, num_keypoints, problems, ids)
    _unlabel_impossible(keypoints, hw, problems, ids)
    boxes = _boxes(annotations)
    labelled = (keypoints[..., 2] > 0).any(axis=-1)
    crowd = np.array([bool(a.get("iscrowd")) for a in annotations], bool)
    person = labelled & ~crowd
    area = _areas(annotations, keypoints, boxes, person, problems, ids)
    regions = _regions(annotations, np.flatnonzero(~person), image_rows, boxes, hw)
    regions, unusable = regions
    problems.add(
        len(unusable),
        "segmentations that fit neither their image nor COCO's forms; "
        "the box is ignored instead",
        f"annotation {ids[unusable[0]]}" if unusable else None,
    )
    people = People(
        image_rows[person],
        keypoints[person].astype(np.float32),
        area[person].astype(np.float32),
        boxes[person].astype(np.float32),
    )
    return people, regions


def _numbers(values: Any, length: int) -> np.ndarray | None:
    """A list of numbers as an array; None where it is not that."""
    if not isinstance(values, list) or len(values) != length:
        return None
    try:
        row = np.array(values, np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    return row if row.shape == (length,) else None


def _number_rows(values: list[Any], length: int) -> tuple[np.ndarray, list[int]]:
    """Rows of equal length `[N, length]`, zeros where unusable, and those rows."""
    fits = [i for i, v in enumerate(values) if isinstance(v, list) and len(v) == length]
    rows = np.zeros((len(values), length))
    try:  # All at once: a data set has millions of numbers.
        rows[fits] = np.array([values[i] for i in fits]).reshape(-1, length)
        unusable = set(range(len(values))).difference(fits)
    except (TypeError, ValueError, OverflowError):
        parsed = [_numbers(value, length) for value in values]
        unusable = {i for i, row in enumerate(parsed) if row is None}
        for i, row in enumerate(parsed):
            if row is not None:
                rows[i] = row
    return rows, sorted(unusable)


def _keypoints(
    annotations: list[dict[str, Any]], count: int, problems: Problems, ids: list[Any]
) -> np.ndarray:
    values = [annotation.get("keypoints") for annotation in annotations]
    rows, wrong = _number_rows(values, 3 * count)
    problems.add(
        len(wrong),
        f"annotations whose keypoints are not {3 * count} numbers; "
        "their region is ignored",
        f"annotation {ids[wrong[0]]}" if wrong else None,
    )
    return rows.reshape(-1, count, 3)


def _unlabel_impossible(
    keypoints: np.ndarray, hw: np.ndarray, problems: Problems, ids: list[Any]
) -> None:
    """Takes the label from keypoints that cannot be where the file says; in place."""
    x, y, visibility = keypoints[..., 0], keypoints[..., 1], keypoints[..., 2]
    finite = np.isfinite(keypoints).all(axis=-1)
    with np.errstate(invalid="ignore"):
        labelled = ~(visibility <= 0)
        inside = (x >= 0) & (y >= 0) & (x <= hw[:, 1:]) & (y <= hw[:, :1])
    for bad, what in (
        (labelled & ~finite, "keypoints that are NaN or infinite; taken as unlabelled"),
        (
            labelled & finite & ~inside,
            "keypoints outside their image; taken as unlabelled",
        ),
    ):
        rows = np.flatnonzero(bad.any(axis=-1))
        first = f"annotation {ids[rows[0]]}" if len(rows) else None
        problems.add(int(bad.sum()), what, first)
    keypoints[~(labelled & finite & inside)] = 0.0


def _boxes(annotations: list[dict[str, Any]]) -> np.ndarray:
    boxes, _ = _number_rows([annotation.get("bbox") for annotation in annotations], 4)
    boxes[~np.isfinite(boxes).all(axis=-1)] = 0.0
    boxes[:, 2:] = np.maximum(boxes[:, 2:], 0.0)
    return boxes


def _areas(
    annotations: list[dict[str, Any]],
    keypoints: np.ndarray,
    boxes: np.ndarray,
    person: np.ndarray,
    problems: Problems,
    ids: list[Any],
) -> np.ndarray:
    """The annotated areas; for people without one an estimate."""
    rows, _ = _number_rows([[a.get("area")] for a in annotations], 1)
    area = rows[:, 0]
    area[~np.isfinite(area) | (area <= 0)] = 0.0
    missing = np.flatnonzero(person & (area <= 0))
    if len(missing) and not any("area" in a for a in annotations):
        # The format has none (CrowdPose): nothing to mend, nothing for `strict`.
        logger.info("no person has an area; %g of the box stands in", BOX_SHARE)
    else:
        problems.add(
            len(missing),
            f"people without a positive area; {BOX_SHARE:g} of their box is used, "
            "else their keypoints' extent",
            f"annotation {ids[missing[0]]}" if len(missing) else None,
        )
    for i in missing:
        area[i] = estimated_area(boxes[i], keypoints[i, keypoints[i, :, 2] > 0, :2])
    return area


def _regions(
    annotations: list[dict[str, Any]],
    rows: np.ndarray,
    image_rows: np.ndarray,
    boxes: np.ndarray,
    hw: np.ndarray,
) -> tuple[dict[int, list[Region]], list[int]]:
    regions: dict[int, list[Region]] = {}
    unusable = []
    for row in rows:
        segmentation = annotations[row].get("segmentation")
        if not usable_region(segmentation, *hw[row]):
            # Some files hold an empty list on purpose: labels without outlines.
            if segmentation:
                unusable.append(int(row))
            if boxes[row, 2] * boxes[row, 3] <= 0:
                continue
            segmentation = box_region(boxes[row])
        regions.setdefault(int(image_rows[row]), []).append(segmentation)
    return regions, unusable
