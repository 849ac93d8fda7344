"""Keypoints outside of the box of their person."""

import numpy as np

from qepose_tf.doctor.outside_box import outside_box
from qepose_tf.doctor.people import People
from qepose_tf.skeleton import COCO
from tests.data.coco_files import SKELETON
from tests.doctor.planting import check, chosen, with_keypoints


def test_planted_keypoints_are_found(people):
    rng = np.random.default_rng(0)
    planted = chosen(rng, people.visible.any(axis=-1))
    keypoints = people.keypoints.copy()
    for row in planted:
        k = rng.choice(np.flatnonzero(people.visible[row]))
        box = people.boxes[row]
        axis, sign = rng.integers(2), rng.choice((-1, 1))
        beyond = max(4.0, rng.uniform(0.12, 0.5) * max(box[2:]))
        keypoints[row, k, axis] = box[axis] + box[2 + axis] * (sign > 0) + sign * beyond
    check(outside_box(with_keypoints(people, keypoints), COCO), planted, people)


def one(keypoints, box=(100, 100, 50, 200)):
    return People(
        np.zeros(1, int),
        np.array([keypoints], float),
        np.array([box], float),
        np.array([5000.0]),
        np.array([400.0]),
    )


def test_how_far_is_too_far():
    inside = [[120, 150, 2], [0, 0, 0]]
    # 8 % of the longer side, 200 px, for what is seen; half of it for what is hidden.
    for visible, far, count in ((2, 15, 0), (2, 17, 1), (1, 99, 0), (1, 101, 1)):
        findings = outside_box(one([[100 - far, 150, visible], *inside]), SKELETON)
        assert len(findings) == count, (visible, far)
    assert findings[0].why == "nose: 101 px outside the box"
    assert findings[0].keypoints == (0,)


def test_the_worst_of_several_is_named():
    wrong = [[120, 50, 2], [120, 340, 2], [120, 150, 2]]
    (finding,) = outside_box(one(wrong), SKELETON)
    assert finding.why == "nose and 1 more: 50 px outside the box"
    assert finding.keypoints == (0, 1)


def test_a_person_without_a_box_is_not_judged():
    assert outside_box(one([[9, 9, 2]] * 3, (0, 0, 0, 0)), SKELETON) == []
