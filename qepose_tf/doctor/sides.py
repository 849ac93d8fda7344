"""Poses whose left and right were exchanged, by the data set's own poses."""

import dataclasses

import numpy as np

from qepose_tf.doctor.finding import Finding
from qepose_tf.doctor.people import People
from qepose_tf.doctor.pose_kernel import antisymmetric, described
from qepose_tf.skeleton import Skeleton

_FEWEST_PEOPLE = 40
_FEWEST_PAIRS = 2  # that a person needs to be compared
_MOST_LANDMARKS = 1500  # poses that all others are compared with
_RIDGE = 0.2
_ROUNDS = 3
_DROPPED = -0.5  # what looks exchanged teaches the next round nothing
_ENDLESS = 1e3
# A pose with most of its keypoints, and one that is half cut off or covered: of the
# back of two legs nothing tells that it is no front.
_WHOLE, _LIMIT_OF_WHOLE = 0.7, -0.25
_HALF, _LIMIT_OF_HALF = 0.5, -0.45
# Where fewer poses than this can be told from their exchanged ones, none is accused:
# twelve joints without a face look alike from the front and from behind.
_CLEAR, _FEWEST_CLEAR = 0.35, 0.66


@dataclasses.dataclass(frozen=True)
class Sides:
    """What was found out about left and right.

    Attributes:
        findings: Of the poses that look exchanged.
        judged: How many people were compared with the others.
        unclear: Why nobody is accused; empty where the poses tell left from right.
    """

    findings: list[Finding]
    judged: int
    unclear: str = ""


def sides_swapped(people: People, skeleton: Skeleton) -> Sides:
    """Compares each pose, and the same with left and right exchanged, with all others.

    A kernel that changes its sign under the exchange is fitted so that every pose
    scores 1; what a pose scores when it is left out says which of its two readings is
    like the rest. The score of a pose that was left out has a closed form.

    Args:
        people: Of a data set.
        skeleton: Its flip pairs are exchanged.
    """
    permutation = np.array(skeleton.flip_permutation, np.int64)
    paired = permutation != np.arange(len(permutation))
    both = people.labelled & people.labelled[:, permutation] & paired
    rows = np.flatnonzero(both.sum(axis=-1) >= 2 * min(_FEWEST_PAIRS, paired.sum() / 2))
    if not paired.any():
        return Sides([], 0, "the skeleton has no flip pairs")
    if len(rows) < _FEWEST_PEOPLE:
        few = f"only {len(rows)} people have both sides labelled"
        return Sides([], len(rows), f"{few}, and {_FEWEST_PEOPLE} are needed")
    poses = described(_some(people, rows), permutation)
    clear, score = _scores(poses, permutation)
    if clear < _FEWEST_CLEAR:
        why = (
            f"only {clear:.0%} of the poses tell left from right: seen from behind, "
            "they look like others with exchanged sides"
        )
        return Sides([], len(rows), why)
    share = people.labelled[rows].mean(axis=-1)
    bad = (share >= _WHOLE) & (score < _LIMIT_OF_WHOLE)
    bad |= (share >= _HALF) & (score < _LIMIT_OF_HALF)
    why = "the other way round, this pose is like the rest of the data set"
    findings = [
        Finding(
            *("sides_swapped", int(people.picture[row]), why),
            *(float(-of_row), (int(row),)),
            tuple(np.flatnonzero(both[row]).tolist()),
        )
        for row, of_row in zip(rows[bad], score[bad], strict=True)
    ]
    return Sides(findings, len(rows))


def _some(people: People, rows: np.ndarray) -> People:
    values = (getattr(people, field.name)[rows] for field in dataclasses.fields(people))
    return People(*values)


def _scores(poses: np.ndarray, permutation: np.ndarray) -> tuple[float, np.ndarray]:
    """The share of poses that tell left from right, and each one's score `[N]`.

    A score near 1 is like the others, one near -1 like the others when exchanged.
    """
    step = max(1.0, len(poses) / _MOST_LANDMARKS)
    landmarks = np.arange(0, len(poses), step).astype(np.int64)
    kernel = antisymmetric(poses, poses[landmarks], permutation)
    own = kernel[landmarks]
    scale = 2 / max(float(np.diag(own).mean()), 1e-9)
    kernel, own = kernel * scale, own * scale
    ridge = np.full(len(landmarks), _RIDGE)
    clear, score = 0.0, np.ones(len(poses))
    for turn in range(_ROUNDS):
        inverse = np.linalg.inv(own + np.diag(ridge))
        weights = inverse.sum(axis=1)
        score = kernel @ weights
        # Left out: the residual of ridge regression over its leverage.
        score[landmarks] = 1 - weights / np.diag(inverse)
        if turn == 0:  # later rounds believe what the first has dropped
            clear = float((np.abs(score) > _CLEAR).mean())
        ridge = np.where(score[landmarks] < _DROPPED, _RIDGE * _ENDLESS, _RIDGE)
    return clear, score
