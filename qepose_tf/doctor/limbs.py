"""Limbs that are longer than the rest of their person allows."""

import numpy as np

from qepose_tf.doctor.finding import Finding
from qepose_tf.doctor.people import People
from qepose_tf.skeleton import Skeleton

_FEWEST_PEOPLE = 20  # below which nothing is known of a limb's length
_FEWEST_LIMBS = 3  # that a person's size is told from
_SPREAD = 3.0  # times what nine of ten people have above the median
_LEAST = 0.45  # log: a limb that is not 1.6 times its usual length is not judged
_LEAST_EXCESS = 0.15  # of the square root of the area


def impossible_limbs(people: People, skeleton: Skeleton) -> list[Finding]:
    """People with a limb that is far longer than their other limbs allow.

    A limb may be short, for it may point at the camera, so only long ones are
    judged: against what the data set's people of the same size have.

    Args:
        people: Of a data set.
        skeleton: Its limbs are judged; without limbs, each keypoint's nearest others.
    """
    if len(people) < _FEWEST_PEOPLE:
        return []
    limbs = np.array(skeleton.limb_indices or _nearest(people), np.int64).reshape(-1, 2)
    if len(limbs) < _FEWEST_LIMBS:
        return []
    ends = people.keypoints[:, limbs]  # [N, L, 2, 3]
    length = np.linalg.norm(ends[:, :, 0, :2] - ends[:, :, 1, :2], axis=-1)
    length[~(ends[..., 2] > 0).all(axis=-1)] = np.nan
    length[~(length > 0)] = np.nan
    side = np.sqrt(people.area)[:, None]
    usual = _quantile(length / side, 0.5, axis=0)  # of a person of area 1
    known = np.isfinite(length).sum(axis=-1) >= _FEWEST_LIMBS
    # The median over a person's limbs: one wrong keypoint moves few of them. Of a
    # person with fewer limbs, an arm at the border, nobody can tell the size.
    size = np.where(known, _quantile(length / usual, 0.5, axis=1), np.nan)
    longer = np.log(length / usual / size[:, None])  # [N, L]
    middle, high = (_quantile(longer, q, axis=0) for q in (0.5, 0.9))
    limit = np.maximum(middle + _SPREAD * (high - middle), _LEAST)
    excess = length - np.exp(limit) * usual * size[:, None]
    enough = np.isfinite(length).sum(axis=0) >= _FEWEST_PEOPLE
    with np.errstate(invalid="ignore"):
        bad = (longer > limit) & (excess > _LEAST_EXCESS * size[:, None]) & enough
    findings = []
    for row in np.flatnonzero(bad.any(axis=-1)):
        found = np.flatnonzero(bad[row])
        worst = found[np.argmax((longer - limit)[row, found])]
        first, last = (skeleton.keypoints[end] for end in limbs[worst])
        times = float(np.exp(longer[row, worst] - middle[worst]))
        why = f"{first} to {last}: {times:.1f} times as long as this size has"
        findings.append(
            Finding(
                *("impossible_limb", int(people.picture[row]), why),
                *(float((longer - limit)[row, worst]), (int(row),)),
                _blamed(limbs[found]),
            )
        )
    return findings


def _blamed(limbs: np.ndarray) -> tuple[int, ...]:
    """The keypoint that all of these limbs share, or all of their keypoints."""
    points, counts = np.unique(limbs, return_counts=True)
    shared = points[counts == len(limbs)] if len(limbs) > 1 else points
    return tuple((shared if len(shared) else points).tolist())


def _nearest(people: People) -> list[tuple[int, int]]:
    """Pairs of each keypoint and the two others that are usually nearest."""
    points = np.where(people.labelled[..., None], people.keypoints[..., :2], np.nan)
    points = points / np.sqrt(people.area)[:, None, None]
    count = points.shape[1]
    away = np.full((count, count), np.inf)
    for k in range(count):
        apart = np.linalg.norm(points - points[:, k : k + 1], axis=-1)
        away[k] = np.nan_to_num(_quantile(apart, 0.5, axis=0), nan=np.inf)
    np.fill_diagonal(away, np.inf)
    near = np.argsort(away, axis=1)[:, : min(2, count - 1)]
    pairs = {
        (min(k, int(j)), max(k, int(j)))
        for k in range(count)
        for j in near[k]
        if np.isfinite(away[k, j])
    }
    return sorted(pairs)


def _quantile(values: np.ndarray, q: float, axis: int) -> np.ndarray:
    """NumPy's, of the numbers alone; NaN where there are none, and no warning."""
    kept = np.isfinite(values).any(axis=axis)
    shape = [1, 1]
    shape[1 - axis] = -1
    filled = np.where(kept.reshape(shape), values, 0.0)
    return np.where(kept, np.nanquantile(filled, q, axis=axis), np.nan)
