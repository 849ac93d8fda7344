"""A COCO file's annotations as checked arrays, people apart from ignore regions."""

import dataclasses
import logging
from typing import Any

import numpy as np

from qepose_tf.data.coco.ignore_regions import (
    Region,
    box_region,
    region_box,
    usable_region,
)
from qepose_tf.data.coco.numbers import MAX_POSITION, Numbers
from qepose_tf.data.coco.person_area import TINY, person_areas
from qepose_tf.data.coco.problems import Problems, shown


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
    numbers: Numbers,
    image_rows: np.ndarray,
    image_hw: np.ndarray,
    everyone: Numbers,
    person_size: float | None,
    problems: Problems,
) -> Annotations:
    """Checks the annotations that are read as one class.

    A person is an annotation that is no crowd and has a labelled keypoint in its
    image. All others are regions in which nothing is learned or scored.

    Args:
        annotations: N entries of a COCO file.
        numbers: What they say in numbers; changed in place.
        image_rows: `[N]`, the row in `image_hw` that each belongs to.
        image_hw: `[I, 2]` heights and widths of the images.
        everyone: As `numbers`, of all annotations of the file; their median stands in
            for areas that nothing tells.
        person_size: See `person_areas`.
        problems: Collects what was mended.

    Raises:
        ValueError: Coordinates look like shares of the picture.
    """
    ids = [shown(annotation.get("id")) for annotation in annotations]
    hw = image_hw[image_rows]  # [N, 2]
    keypoints, boxes, has_box, _ = numbers
    crowd = np.array([bool(a.get("iscrowd")) for a in annotations], bool)
    _refuse_shares(keypoints, hw, ~crowd, problems.source, ids)
    inside = _inside(keypoints, hw, problems, ids)
    person = inside.any(axis=-1) & ~crowd
    scored = _scored(annotations, person, problems, ids)
    area = person_areas(
        annotations,
        numbers,
        inside,
        hw,
        person,
        everyone,
        person_size,
        problems,
    )
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


def _refuse_shares(
    keypoints: np.ndarray,
    hw: np.ndarray,
    rows: np.ndarray,
    source: str,
    ids: list[str],
) -> None:
    """Raises `ValueError` where coordinates are shares of the picture, not pixels.

    All labelled keypoints of such a person lie between 0 and 1, or a little beyond. One
    person with a single keypoint in the first pixel is possible, a data set of them is
    not.
    """
    points, labelled = keypoints[..., :2], keypoints[..., 2] > 0
    with np.errstate(invalid="ignore"):
        in_first_pixel = ((points >= -0.5) & (points <= 1.5)).all(axis=-1)
        whole = (points == np.floor(points)).all(axis=-1)
    posed = labelled.any(axis=-1) & rows & (hw.min(axis=-1) > 8)
    shares = posed & (in_first_pixel | ~labelled).all(axis=-1)
    shares &= (labelled & ~whole).any(axis=-1)
    several = shares & (labelled.sum(axis=-1) > 1)
    if not several.any() and not (shares.any() and shares.sum() == posed.sum()):
        return
    raise ValueError(
        f"{source}: annotation {ids[np.flatnonzero(shares)[0]]}: keypoints: the "
        f"coordinates of {shares.sum()} of {posed.sum()} people lie between 0 and 1 "
        "and look like shares of the picture, expected pixels: multiply x by the "
        "image's width and y by its height, bbox likewise, and area by both"
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
    np.clip(visibility, TINY, 2.0, out=visibility, where=visibility > 0)
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
        region = usable_region(segmentation, *hw[row])
        if region is not None:
            if not has_box[row]:
                boxes[row], has_box[row] = region_box(region, *hw[row]), True
        else:
            # Some files hold an empty list on purpose: labels without outlines.
            if segmentation:
                unusable.append(int(row))
            if boxes[row, 2] * boxes[row, 3] <= 0:
                continue
            region = box_region(boxes[row])
        regions.setdefault(int(image_rows[row]), []).append(region)
    return regions, unusable
