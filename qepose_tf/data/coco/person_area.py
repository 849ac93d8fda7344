"""The area of a person whose annotation gives none."""

import logging
from typing import Any

import numpy as np

from qepose_tf.data.coco.numbers import Numbers
from qepose_tf.data.coco.problems import Problems, shown

MAX_AREA = 1e10  # pycocotools' upper bound of every area range
TINY = float(np.finfo(np.float32).tiny)  # the records are of float32

# CrowdPose's evaluator and its descendants (xtcocotools, mmpose) take this share of
# the box for the area in OKS. COCO's outlines fill 0.525 of their boxes on average
# (1,354 people of val2017 with keypoints).
BOX_SHARE = 0.53
# Keypoints on a line span no area, a body along them does: its narrow side is taken to
# be at least this share of its long side.
_NARROWEST = 1 / 3
# Where nobody's size is known, a person is as large as this share of the picture's
# short side.
_PICTURE_SHARE = 0.25


def measured_area(
    boxes: np.ndarray, points: np.ndarray, labelled: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What stands in for annotated areas, in OKS and in targets alike.

    Args:
        boxes: `[N, 4]` (x, y, width, height); zeros where there is none.
        points: `[N, K, 2]`.
        labelled: `[N, K]` bool.

    Returns:
        `[N]` `BOX_SHARE` of the box; without a box that covers anything the area that
        the labelled keypoints span; 0 where they are fewer than two places. And `[N]`
        bool, whether the box was used.
    """
    of_box = BOX_SHARE * boxes[:, 2] * boxes[:, 3]
    there = labelled[..., None]
    low = np.where(there, points, np.inf).min(axis=1)
    high = np.where(there, points, -np.inf).max(axis=1)
    spread = np.where(labelled.any(axis=1, keepdims=True), high - low, 0.0)
    # Points are pixels' centres: one pixel more than their distance is covered.
    sides = spread + 1.0
    sides = np.maximum(sides, _NARROWEST * sides.max(axis=1, keepdims=True))
    of_points = np.where(spread.max(axis=1) > 0, sides.prod(axis=1), 0.0)
    return np.where(of_box > 0, of_box, of_points), of_box > 0


def typical_area(numbers: Numbers) -> float | None:
    """The median area of the people in a file; None where nobody has a size.

    Args:
        numbers: Of all annotations of the file that may be people.
    """
    points, visibility = numbers.keypoints[..., :2], numbers.keypoints[..., 2]
    with np.errstate(invalid="ignore", over="ignore"):
        labelled = (visibility > 0) & np.isfinite(points).all(axis=-1)
        measured, _ = measured_area(numbers.boxes, points, labelled)
    given = _usable(numbers.area)
    areas = np.where(given, numbers.area, measured)
    areas = areas[labelled.any(axis=1) & _usable(areas)]
    return float(np.median(areas)) if len(areas) else None


def person_areas(
    annotations: list[dict[str, Any]],
    numbers: Numbers,
    inside: np.ndarray,
    hw: np.ndarray,
    person: np.ndarray,
    everyone: Numbers,
    person_size: float | None,
    problems: Problems,
) -> np.ndarray:
    """The annotated areas; an estimate where there is none.

    Args:
        annotations: N entries of a COCO file.
        numbers: Of these.
        inside: `[N, K]` bool, labelled keypoints that lie in their image.
        hw: `[N, 2]` height and width of each one's image.
        person: `[N]` bool, those whose area must be positive.
        everyone: Of all annotations of the file, for `typical_area`.
        person_size: Side in pixels of the square that a person without an area and a
            box covers; None estimates it.
        problems: Collects what was estimated.

    Returns:
        `[N]` float64, positive for people.
    """
    points = numbers.keypoints[..., :2]
    measured, boxed = measured_area(numbers.boxes, points, inside)
    missing = ~_usable(numbers.area)
    # A size that was set is used for everyone without a box, whatever is labelled.
    known = boxed if person_size is not None else measured > 0
    assumed = (_PICTURE_SHARE * hw.min(axis=1)) ** 2
    what = "the square of a quarter of the picture's short side"
    if person_size is not None:
        assumed[:] = person_size**2
        what = f"data.person_size {person_size:g}"
    elif (missing & ~known & person).any():
        typical = typical_area(everyone)
        if typical is not None:
            assumed[:] = typical
            what = f"the median of the data set, {typical:.0f} px^2"
    area = np.where(missing, np.where(known, measured, assumed), numbers.area)
    area[person] = np.clip(area[person], TINY, MAX_AREA)
    sources = {
        f"{BOX_SHARE:g} of the box": missing & boxed,
        "the extent of the keypoints": missing & known & ~boxed,
        what: missing & ~known,
    }
    counts = {name: int((rows & person).sum()) for name, rows in sources.items()}
    rows = np.flatnonzero(missing & person)
    if len(rows):
        _tell(annotations, int(rows[0]), counts, person_size is not None, problems)
    return area


def _usable(area: np.ndarray) -> np.ndarray:
    return (area >= TINY) & (area <= MAX_AREA)


def _tell(
    annotations: list[dict[str, Any]],
    first: int,
    counts: dict[str, int],
    size_is_set: bool,
    problems: Problems,
) -> None:
    """Says what stands in for the areas that are missing."""
    count = sum(counts.values())
    used = ", ".join(f"{name} ({n})" for name, n in counts.items() if n)
    line = f"people without a positive area; used instead: {used}"
    without_box = count - next(iter(counts.values()))
    if without_box and not size_is_set:
        line += "; data.person_size sets the side of those without a box"
    # Some formats have no areas (CrowdPose): nothing to mend, nothing for `strict`.
    if size_is_set or not any("area" in annotation for annotation in annotations):
        level = logging.WARNING if without_box and not size_is_set else logging.INFO
        problems.remark(level, f"{count} {line}")
    else:
        problems.add(count, line, f"annotation {shown(annotations[first].get('id'))}")
