"""How far the poses of two runtimes are from each other, row by row of a cell."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Detections = dict[str, np.ndarray]

# Greatest pose difference in pixels and greatest score difference by precision. What
# eight-bit integers cost is accuracy, which only annotated images can tell.
TOLERANCES = {"fp32": (0.1, 0.01), "fp16": (0.5, 0.01), "bf16": (1.0, 0.05)}
# Of the people found: a tie or a threshold may fall otherwise.
UNMATCHED_TOLERANCE = 0.1


@dataclass(frozen=True)
class Comparison:
    """How far an exported model is from the Keras model.

    Attributes:
        max_pose_difference_px: greatest distance in x or y of a keypoint, in rows of
            the same cell; the rows that are empty for their low score count, too.
        median_pose_difference_px: of the same distances.
        max_score_difference: greatest difference of scores in rows of the same cell.
        matched: rows of the same cell.
        unmatched: people (score > 0) whose cell only one of the two found.
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
            precision: says what may differ, see `TOLERANCES`; without a row there,
                poses must only be numbers.
        """
        faults = []
        pose_px, score = TOLERANCES.get(precision, (np.inf, np.inf))
        if not self.matched and precision in TOLERANCES:
            faults.append("no cell in common")
        # written so that NaN is a fault
        if not self.max_pose_difference_px <= pose_px:
            faults.append(
                f"poses differ by {self.max_pose_difference_px:.3g} px "
                f"(at most {pose_px:g})"
            )
        if not self.max_score_difference <= score:
            faults.append(
                f"scores differ by {self.max_score_difference:.3g} (at most {score:g})"
            )
        lost = self.unmatched > max(1, UNMATCHED_TOLERANCE * self.people)
        if lost and precision in TOLERANCES:
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
        for name in ("scores", "keypoint_scores"):
            score.append(first[name][image, row] - second[name][image, other])
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
