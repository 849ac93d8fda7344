"""Limbs that are longer than their person allows."""

import dataclasses

import numpy as np

from qepose_tf.doctor.limbs import impossible_limbs
from qepose_tf.skeleton import COCO
from tests.doctor.planting import check, chosen, with_keypoints


def jumped(people, seed=0):
    """Keypoints of some people that landed far away, and these people's rows."""
    rng = np.random.default_rng(seed)
    planted = chosen(rng, people.labelled.sum(axis=-1) >= 8)
    keypoints = people.keypoints.copy()
    for row in planted:
        k = rng.choice(np.flatnonzero(people.labelled[row]))
        angle = rng.uniform(0, 2 * np.pi)
        far = np.sqrt(people.area[row]) * rng.uniform(1.5, 3)
        keypoints[row, k, :2] += far * np.array([np.cos(angle), np.sin(angle)])
    return with_keypoints(people, keypoints), planted


def test_planted_jumps_are_found(people):
    wrong, planted = jumped(people)
    check(impossible_limbs(wrong, COCO), planted, people)


def test_a_skeleton_without_limbs_is_judged_by_its_nearest_keypoints(people):
    wrong, planted = jumped(people, seed=1)
    check(impossible_limbs(wrong, dataclasses.replace(COCO, limbs=())), planted, people)


def test_the_keypoint_that_all_long_limbs_share_is_meant(people):
    row = int(np.flatnonzero(people.labelled.all(axis=-1))[0])
    keypoints = people.keypoints.copy()
    elbow = COCO.keypoints.index("left_elbow")
    keypoints[row, elbow, :2] += 5 * np.sqrt(people.area[row])
    findings = impossible_limbs(with_keypoints(people, keypoints), COCO)
    (found,) = (finding for finding in findings if finding.people == (row,))
    assert found.keypoints == (elbow,)
    assert found.picture == people.picture[row]
    assert "left_elbow" in found.why and "times as long" in found.why


def test_an_arm_at_the_border_has_no_size_to_be_judged_by(people):
    row = int(np.flatnonzero(people.labelled.all(axis=-1))[0])
    keypoints = people.keypoints.copy()
    arm = [COCO.keypoints.index(f"left_{joint}") for joint in ("elbow", "wrist")]
    others = np.setdiff1d(np.arange(17), arm)
    keypoints[row, others] = 0
    area = people.area.copy()
    area[row] /= 100
    alone = dataclasses.replace(people, keypoints=keypoints, area=area)
    assert not any(f.people == (row,) for f in impossible_limbs(alone, COCO))
