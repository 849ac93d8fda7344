"""How far the poses of two runtimes are from each other, row by row of a cell."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Detections = dict[str, np.ndarray]


@dataclass(frozen=True)
class Tolerance:
    """How far poses may be apart; the attributes are those of `Comparison`.

    Attributes:
        unmatched: as a share of the people: a tie or a threshold may fall otherwise.
    """

    max_pose_difference_px: float = math.inf
    median_pose_difference_px: float = math.inf
    max_score_difference: float = math.inf
    unmatched: float = math.inf


# They tell a broken file, not how good a precision is: single poses on images that the
# network was not trained for may magnify rounding. What eight-bit integers cost is
# accuracy, which only annotated images can tell. Coordinates in bfloat16 would be a
# pixel off in the median.
TOLERANCES = {
    "fp32": Tolerance(0.5, 0.01, 0.01, 0.1),
    "fp16": Tolerance(3.0, 0.1, 0.02),
    "bf16": Tolerance(median_pose_difference_px=0.5),
    "dynamic": Tolerance(),
    "int8": Tolerance(),
}


@dataclass(frozen=True)
class Comparison:
    """How far an exported model is from the Keras model.

    Attributes:
        max_pose_difference_px: greatest distance in x or y of a keypoint, in rows of
            the same cell; the rows that are empty for their low score count, too.
        median_pose_difference_px: of the same distances.
        max_score_difference: greatest difference of scores of people whom both found
            at the same cell.
        matched: rows of the same cell.
        unmatched: people (score > 0) whom only one of the two found at their cell.
        people: people that the Keras model found.
    """

    max_pose_difference_px: float
    median_pose_difference_px: float
    max_score_difference: float
    matched: int
    unmatched: int
    people: int

    def check(self, name: str, precision: str = "fp32") -> None:
        """Raises `ValueError` where the two do not give the same poses.

        Args:
            name: of what was compared, for the message.
            precision: a key of `TOLERANCES`; poses must be numbers in any.
        """
        most, faults = TOLERANCES[precision], []
        if not self.matched and most != Tolerance():
            faults.append("no cell in common")
        # written so that NaN is a fault
        for which, unit in (
            ("max_pose_difference_px", " px"),
            ("median_pose_difference_px", " px in the median"),
            ("max_score_difference", " of score"),
        ):
            found, limit = getattr(self, which), getattr(most, which)
            if not found <= limit:
                faults.append(f"{found:.3g}{unit} apart (at most {limit:g})")
        if self.unmatched > max(1, most.unmatched * self.people):
            faults.append(
                f"{self.unmatched} people found by one only, of {self.people}"
            )
        if faults:
            raise ValueError(
                f"{name} does not give the Keras model's poses: {'; '.join(faults)}"
            )


def compare(expected: Sequence[Detections], actual: Sequence[Detections]) -> Comparison:
    """Compares two runtimes' detections on the same batches, row by row of a cell."""
    pose, score, matched, unmatched, people = [], [], 0, 0, 0
    for first, second in zip(expected, actual, strict=True):
        people += int(np.sum(first["scores"] > 0))
        same = np.all(
            first["cells"][:, :, None] == second["cells"][:, None, :], axis=-1
        )  # [B, P, P]
        image, row, other = np.nonzero(same)
        matched += len(image)
        pose.append(first["poses"][image, row] - second["poses"][image, other])
        seen, seen_too = first["scores"][image, row], second["scores"][image, other]
        # Where they differ, one of the two has suppressed the pose.
        unmatched += int(np.sum((seen > 0) != (seen_too > 0)))
        for name in ("scores", "keypoint_scores"):
            difference = first[name][image, row] - second[name][image, other]
            score.append(difference[(seen > 0) & (seen_too > 0)])
        for detections, axis in ((first, 2), (second, 1)):
            alone = ~same.any(axis=axis)
            unmatched += int(np.sum(alone & (detections["scores"] > 0)))
    apart = _flat(pose)
    return Comparison(
        max_pose_difference_px=float(apart.max(initial=0.0)),
        median_pose_difference_px=float(np.median(apart)) if apart.size else 0.0,
        max_score_difference=float(_flat(score).max(initial=0.0)),
        matched=matched,
        unmatched=unmatched,
        people=people,
    )


def _flat(differences: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.abs(d).ravel() for d in differences])
