"""People who are labelled more than once, and what that tells of the labels."""

import dataclasses

import numpy as np

from qepose_tf.doctor.finding import Finding
from qepose_tf.doctor.people import People
from qepose_tf.skeleton import Skeleton

# Two people of labels agree to about 0.07 of the square root of the area on average
# (COCO's sigmas); two bodies that stand together differ by more.
_ONE_BODY = 0.12
_COMMON = 0.6  # share of their keypoints that both need
_EQUAL = 1e-3  # nearer than this is a copy, which tells nothing of a labeller
FEWEST_GROUPS = 10  # for a sigma


@dataclasses.dataclass(frozen=True, eq=False)
class LabelledAgain:
    """Pairs of annotations of one body.

    Attributes:
        first: `[G]` rows of `People`.
        second: `[G]` rows of `People`, in the same pictures.
        distance: `[G]` mean distance of their keypoints over the root of the area.
    """

    first: np.ndarray
    second: np.ndarray
    distance: np.ndarray


def labelled_again(people: People) -> LabelledAgain:
    """Finds annotations of one body.

    Args:
        people: Of a data set, those of a picture behind each other.
    """
    first, second = _pairs(people.picture)
    both = people.labelled[first] & people.labelled[second]
    either = people.labelled[first] | people.labelled[second]
    apart = np.linalg.norm(
        people.keypoints[first, :, :2] - people.keypoints[second, :, :2], axis=-1
    )
    side = np.sqrt(np.sqrt(people.area[first] * people.area[second]))
    common = both.sum(axis=-1)
    distance = (apart * both).sum(axis=-1) / np.maximum(common, 1) / side
    same = (distance < _ONE_BODY) & (common >= _COMMON * either.sum(axis=-1))
    # A single point says where somebody is, not how large: the sizes have to agree.
    ratio = people.area[first] / people.area[second]
    same &= (common > 1) | ((ratio > 0.5) & (ratio < 2))
    return LabelledAgain(first[same], second[same], distance[same])


def doubled_people(people: People, again: LabelledAgain) -> list[Finding]:
    """One finding for each pair of annotations of one body.

    Args:
        people: Of a data set.
        again: Of `labelled_again`.
    """
    findings = []
    for one, other, distance in zip(
        again.first.tolist(), again.second.tolist(), again.distance, strict=True
    ):
        near = "are equal" if distance < _EQUAL else "lie together"
        common = int((people.labelled[one] & people.labelled[other]).sum())
        why = f"{common} keypoints of two annotations {near}"
        findings.append(
            Finding(
                *("doubled_person", int(people.picture[one]), why),
                *(1 - float(distance), (one, other)),
            )
        )
    return findings


def estimated_sigmas(
    people: People, again: LabelledAgain, skeleton: Skeleton
) -> dict[str, tuple[float, int]]:
    """Each keypoint's sigma, by COCO's definition, from bodies labelled twice.

    COCO takes the standard deviation of the distance between a label and the truth,
    over the root of the area. Two labels of one point have twice that variance
    between them.

    Args:
        people: Of a data set.
        again: Of `labelled_again`; copies are left out.
        skeleton: What the keypoints are.

    Returns:
        By keypoint, the sigma and the number of pairs; keypoints with fewer than
        `FEWEST_GROUPS` pairs are missing.
    """
    apart = again.distance >= _EQUAL
    first, second = again.first[apart], again.second[apart]
    both = people.labelled[first] & people.labelled[second]
    gap = people.keypoints[first, :, :2] - people.keypoints[second, :, :2]
    area = np.sqrt(people.area[first] * people.area[second])[:, None]
    variance = (gap**2).sum(axis=-1) / area / 2
    count = both.sum(axis=0)
    sigma = np.sqrt((variance * both).sum(axis=0) / np.maximum(count, 1))
    return {
        name: (float(sigma[k]), int(count[k]))
        for k, name in enumerate(skeleton.keypoints)
        if count[k] >= FEWEST_GROUPS
    }


def _pairs(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of every two people of one picture; `picture` is sorted."""
    _, start, count = np.unique(picture, return_index=True, return_counts=True)
    first, second = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for size in np.unique(count):
        one, other = np.triu_indices(size, 1)
        begin = start[count == size][:, None]
        first.append((begin + one).ravel())
        second.append((begin + other).ravel())
    one, other = np.concatenate(first), np.concatenate(second)
    order = np.lexsort((other, one))
    return one[order], other[order]
