"""A COCO file's annotations as checked arrays, people apart from ignore regions."""

import dataclasses
import logging
from typing import Any

import numpy as np

from qepose_tf.data.coco.content import shown
from qepose_tf.data.coco.ignore_regions import (
    MAX_POSITION,
    Region,
    box_region,
    region_box,
    usable_region,
)
from qepose_tf.data.coco.person_area import BOX_SHARE, estimated_area
from qepose_tf.data.coco.problems import Problems

MAX_AREA = 1e10  # pycocotools' upper bound of every area range
_TINY = float(np.finfo(np.float32).tiny)  # the records are of float32


@dataclasses.dataclass(frozen=True)
class Annotations:
    """All annotations that are used, N in a row, as exact as the file.

    Attributes:
        image: `[N]` int, the row of each one's image.
        keypoints: `[N, K, 3]` (x, y, v), of float64 unless float32 holds the same
            numbers; zeros where nothing is labelled.
        inside: `[N, K]` bool, labelled keypoints that lie in their image.
        area: `[N]` float64, pixels squared, positive for people.
        boxes: `[N, 4]` float64 (x, y, width, height).
        has_box: `[N]` bool; the box is zeros where False.
        crowd: `[N]` bool.
        person: `[N]` bool, False for those that are ignored.
        scored: `[N]` bool, the people whom figures count, see `_scored`.
        regions: By image row, what the ignored ones cover.
    """

    image: np.ndarray
    keypoints: np.ndarray
    inside: np.ndarray
    area: np.ndarray
    boxes: np.ndarray
    has_box: np.ndarray
    crowd: np.ndarray
    person: np.ndarray
    scored: np.ndarray
    regions: dict[int, list[Region]]


def read_annotations(
    annotations: list[dict[str, Any]],
    image_rows: np.ndarray,
    image_hw: np.ndarray,
    num_keypoints: int,
    problems: Problems,
) -> Annotations:
    """Checks the annotations of one category.

    A person is an annotation that is no crowd and has a labelled keypoint in its
    image. All others are regions in which nothing is learned or scored.

    Args:
        annotations: N entries of a COCO file.
        image_rows: `[N]`, the row in `image_hw` that each belongs to.
        image_hw: `[I, 2]` heights and widths of the images.
        num_keypoints: K.
        problems: Collects what was mended.
    """
    ids = [shown(annotation.get("id")) for annotation in annotations]
    hw = image_hw[image_rows]  # [N, 2]
    keypoints = _keypoints(annotations, num_keypoints, problems, ids)
    inside = _inside(keypoints, hw, problems, ids)
    boxes, has_box = _boxes(annotations)
    crowd = np.array([bool(a.get("iscrowd")) for a in annotations], bool)
    person = inside.any(axis=-1) & ~crowd
    scored = _scored(annotations, person, problems, ids)
    area = _areas(annotations, keypoints, inside, boxes, person, problems, ids)
    regions, unusable = _regions(
        annotations, np.flatnonzero(~person), image_rows, boxes, has_box, hw
    )
    problems.add(
        len(unusable),
        "segmentations that fit neither their image nor COCO's forms; "
        "the box is ignored instead",
        f"annotation {ids[unusable[0]]}" if unusable else None,
    )
    return Annotations(
        image_rows,
        *(_compact(keypoints), inside, area, boxes, has_box, crowd),
        *(person, scored, regions),
    )


def _compact(numbers: np.ndarray) -> np.ndarray:
    """The same numbers in half the memory, where that is possible."""
    small = numbers.astype(np.float32)
    return small if np.array_equal(small, numbers) else numbers


def _scored(
    annotations: list[dict[str, Any]],
    person: np.ndarray,
    problems: Problems,
    ids: list[str],
) -> np.ndarray:
    """The people without those of whom the file says that no keypoint counts.

    COCO's evaluator ignores them, and CrowdPose uses that for a head or neck alone.
    """
    uncounted = np.array([a.get("num_keypoints") == 0 for a in annotations], bool)
    rows = np.flatnonzero(person & uncounted)
    if len(rows):
        problems.remark(
            logging.WARNING,
            f"{len(rows)} people with num_keypoints 0 although keypoints are labelled; "
            "they are learned, and ignored in figures as by pycocotools "
            f"(first: annotation {ids[rows[0]]})",
        )
    return person & ~uncounted


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
        together = np.array([values[i] for i in fits])
        if fits and together.shape != (len(fits), length):
            raise ValueError("nested")
        rows[fits] = together.reshape(-1, length)
        unusable = set(range(len(values))).difference(fits)
    except (TypeError, ValueError, OverflowError):
        parsed = [_numbers(value, length) for value in values]
        unusable = {i for i, row in enumerate(parsed) if row is None}
        for i, row in enumerate(parsed):
            if row is not None:
                rows[i] = row
    return rows, sorted(unusable)


def _keypoints(
    annotations: list[dict[str, Any]], count: int, problems: Problems, ids: list[str]
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


def _inside(
    keypoints: np.ndarray, hw: np.ndarray, problems: Problems, ids: list[str]
) -> np.ndarray:
    """Which keypoints are labelled and in their image `[N, K]`.

    What is labelled but nowhere loses its label in place. A keypoint that is merely
    outside stays for COCO's figures, as pycocotools counts it; nothing learns it.
    """
    visibility = keypoints[..., 2]
    finite = (np.abs(keypoints[..., :2]) <= MAX_POSITION).all(axis=-1)
    finite &= ~np.isnan(visibility) & (visibility < np.inf)
    labelled = ~(visibility <= 0)
    keypoints[~(labelled & finite)] = 0.0
    # 2 is COCO's highest, and the least that float32 holds is more than 0.
    np.clip(visibility, _TINY, 2.0, out=visibility, where=visibility > 0)
    inside = (keypoints[..., :2] >= 0).all(axis=-1) & (visibility > 0)
    inside &= (keypoints[..., :2] <= hw[:, None, ::-1]).all(axis=-1)
    for bad, what in (
        (
            labelled & ~finite,
            "keypoints that are NaN or infinite, or far beyond any image; "
            "taken as unlabelled",
        ),
        (
            labelled & finite & ~inside,
            "keypoints outside their image; taken as unlabelled in training",
        ),
    ):
        rows = np.flatnonzero(bad.any(axis=-1))
        first = f"annotation {ids[rows[0]]}" if len(rows) else None
        problems.add(int(bad.sum()), what, first)
    return inside


def _boxes(annotations: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Boxes `[N, 4]`, zeros where there is no usable one, and whether there is."""
    given = [annotation.get("bbox") for annotation in annotations]
    boxes, unusable = _number_rows(given, 4)
    has_box = (np.abs(boxes) <= MAX_POSITION).all(axis=-1)
    has_box[unusable] = False
    boxes[~has_box] = 0.0
    boxes[:, 2:] = np.maximum(boxes[:, 2:], 0.0)
    return boxes, has_box


def _areas(
    annotations: list[dict[str, Any]],
    keypoints: np.ndarray,
    inside: np.ndarray,
    boxes: np.ndarray,
    person: np.ndarray,
    problems: Problems,
    ids: list[str],
) -> np.ndarray:
    """The annotated areas; an estimate where there is none."""
    rows, _ = _number_rows([[a.get("area")] for a in annotations], 1)
    area = rows[:, 0]
    usable = (area >= _TINY) & (area <= MAX_AREA)
    missing = np.flatnonzero(~usable & person)
    if len(missing) and not any("area" in a for a in annotations):
        # The format has none (CrowdPose): nothing to mend, nothing for `strict`.
        line = f"no person has an area; {BOX_SHARE:g} of the box stands in"
        problems.remark(logging.INFO, line)
    else:
        problems.add(
            len(missing),
            f"people without a positive area; {BOX_SHARE:g} of their box is used, "
            "else their keypoints' extent",
            f"annotation {ids[missing[0]]}" if len(missing) else None,
        )
    for i in np.flatnonzero(~usable):
        estimate = estimated_area(boxes[i], keypoints[i, inside[i], :2])
        area[i] = min(estimate, MAX_AREA)
    area[person] = np.maximum(area[person], _TINY)
    return area


def _regions(
    annotations: list[dict[str, Any]],
    rows: np.ndarray,
    image_rows: np.ndarray,
    boxes: np.ndarray,
    has_box: np.ndarray,
    hw: np.ndarray,
) -> tuple[dict[int, list[Region]], list[int]]:
    """Regions by image row, and the rows of unusable segmentations.

    A region without a box gets one, in place: COCO's figures ignore by boxes.
    """
    regions: dict[int, list[Region]] = {}
    unusable = []
    for row in rows:
        segmentation = annotations[row].get("segmentation")
        if usable_region(segmentation, *hw[row]):
            if not has_box[row]:
                boxes[row], has_box[row] = region_box(segmentation, *hw[row]), True
        else:
            # Some files hold an empty list on purpose: labels without outlines.
            if segmentation:
                unusable.append(int(row))
            if boxes[row, 2] * boxes[row, 3] <= 0:
                continue
            segmentation = box_region(boxes[row])
        regions.setdefault(int(image_rows[row]), []).append(segmentation)
    return regions, unusable
