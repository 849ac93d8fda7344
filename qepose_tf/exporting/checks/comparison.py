"""Compares the poses of two runtimes that were regressed from the same cells."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Detections = dict[str, np.ndarray]


@dataclass(frozen=True)
class Tolerance:
    """The differences that a precision may have.

    Attributes:
        max_pose_difference_px: The largest distance of a keypoint, px.
        median_pose_difference_px: The median distance of a keypoint, px.
        max_score_difference: The largest difference of a score.
        unmatched: The number of unmatched people as a share of all people. It is not 0,
            because rounding may decide a tie or a threshold.
    """

    max_pose_difference_px: float = math.inf
    median_pose_difference_px: float = math.inf
    max_score_difference: float = math.inf
    unmatched: float = math.inf


# These tolerances detect broken files and do not tell how accurate a precision is: a
# network may magnify rounding on images that it was not trained for. The accuracy of
# eight-bit files can only be measured on annotated images. If coordinates were computed
# in bfloat16, the median difference would be a pixel.
TOLERANCES = {
    "fp32": Tolerance(0.5, 0.01, 0.01, 0.1),
    "fp16": Tolerance(3.0, 0.1, 0.02),
    "bf16": Tolerance(median_pose_difference_px=0.5),
    "dynamic": Tolerance(),
    "int8": Tolerance(),
}


@dataclass(frozen=True)
class Comparison:
    """The differences between an exported model and the Keras model.

    Poses are compared if both models regressed them from the same cell.

    Attributes:
        max_pose_difference_px: The largest distance of a keypoint in x or y, in px.
            Rows that are empty because of a low score count, too.
        median_pose_difference_px: The median of these distances, in px.
        max_score_difference: The largest difference of scores, among people that both
            models found at the same cell.
        matched: The number of rows with the same cell.
        unmatched: The number of people (score > 0) that only one model found at their
            cell.
        people: The number of people that the Keras model found.
    """

    max_pose_difference_px: float
    median_pose_difference_px: float
    max_score_difference: float
    matched: int
    unmatched: int
    people: int

    def check(self, name: str, precision: str = "fp32") -> None:
        """Raises an error if the two models do not give the same poses.

        Args:
            name: The name of the exported model, for the message.
            precision: A key of `TOLERANCES`.

        Raises:
            ValueError: A difference is larger than its tolerance, or a pose is NaN.
        """
        most, faults = TOLERANCES[precision], []
        if not self.matched and most != Tolerance():
            faults.append("no cell in common")
        # `not found <= limit` is true for NaN.
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
    """Compares the detections of two runtimes on the same batches.

    Args:
        expected: The detections of the Keras model, by batch.
        actual: The detections of the exported model, by batch.

    Returns:
        The differences.
    """
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
        # If they differ, one of the two models has suppressed the pose.
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
