"""How many people, how large, and which of their keypoints are labelled."""

import dataclasses

import numpy as np

from qepose_tf.doctor.people import People

STRIDE = 4  # px at the input size that one cell of the score map covers
FEW_CELLS = 4  # a person of so many cells in each direction is hard to learn
_PEOPLE = (0, 1, 2, 3, 4, 5, 10, 20)
_SIDES_PX = (0, 8, 16, 32, 64, 128, 256)


@dataclasses.dataclass(frozen=True)
class Counts:
    """Figures of a data set.

    Attributes:
        pictures: How many.
        with_people: How many of them show a labelled person.
        people: How many.
        people_per_picture: Numbers of pictures by how many people are in them.
        sizes_px: Numbers of people by the square root of their area at the input size.
        median_side_px: The median of that; None without people.
        below_min_area: People who are too small to be taught.
        few_cells: People of less than `FEW_CELLS` cells in each direction.
        visible: Per keypoint, how often it is labelled and visible.
        hidden: Per keypoint, how often it is labelled and hidden.
    """

    pictures: int
    with_people: int
    people: int
    people_per_picture: dict[str, int]
    sizes_px: dict[str, int]
    median_side_px: float | None
    below_min_area: int
    few_cells: int
    visible: list[int]
    hidden: list[int]


def count(people: People, pictures: int, input_size: int, min_area: float) -> Counts:
    """Counts what is in a data set.

    Args:
        people: Of it.
        pictures: How many it has.
        input_size: The short side that a model sees a picture at, in pixels.
        min_area: Below which people are not taught, in pixels of the picture.
    """
    in_picture = np.bincount(people.picture, minlength=pictures)
    side = np.sqrt(people.area) * input_size / people.short_side
    hidden = people.labelled & ~people.visible
    return Counts(
        pictures,
        int((in_picture > 0).sum()),
        len(people),
        _ranges(in_picture, _PEOPLE, whole=True),
        _ranges(side, _SIDES_PX, whole=False),
        float(np.median(side)) if len(side) else None,
        int((people.area < min_area).sum()),
        int((side < FEW_CELLS * STRIDE).sum()),
        people.visible.sum(axis=0).tolist(),
        hidden.sum(axis=0).tolist(),
    )


def _ranges(values: np.ndarray, starts: tuple[int, ...], whole: bool) -> dict[str, int]:
    """Counts by range; the last has no end, and empty ones at the end are left out."""
    numbers, _ = np.histogram(values, [*starts, np.inf])
    names = []
    for start, end in zip(starts, starts[1:], strict=False):
        last = end - 1 if whole else end
        names.append(f"{start}" if whole and last == start else f"{start}-{last}")
    names.append(f"{starts[-1]} or more")
    kept = int(np.flatnonzero(numbers).max(initial=-1)) + 1
    return dict(zip(names[:kept], numbers[:kept].tolist(), strict=True))
