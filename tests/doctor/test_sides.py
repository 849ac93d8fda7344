"""Poses whose left and right were exchanged."""

import dataclasses

import numpy as np

from qepose_tf.doctor.people import People
from qepose_tf.doctor.pose_kernel import antisymmetric, described
from qepose_tf.doctor.sides import sides_swapped
from qepose_tf.skeleton import COCO
from tests.doctor.planting import check_sum, chosen, with_keypoints

SWAP = np.array(COCO.flip_permutation)


def some(people, rows):
    fields = dataclasses.fields(people)
    return People(*(getattr(people, field.name)[rows] for field in fields))


def test_planted_swaps_are_found(people):
    # Of half a person, such as two legs from behind, nobody can tell.
    whole = people.labelled.mean(axis=-1) >= 0.7
    runs = []
    for seed, share in ((0, 0.03), (1, 0.1), (2, 0.06)):
        planted = chosen(np.random.default_rng(seed), whole, share)
        keypoints = people.keypoints.copy()
        keypoints[planted] = keypoints[planted][:, SWAP]
        sides = sides_swapped(with_keypoints(people, keypoints), COCO)
        assert sides.unclear == ""
        assert sides.judged > 0.9 * len(people)
        runs.append((sides.findings, planted))
    check_sum(runs, people)


def test_the_kernel_changes_its_sign_with_the_sides(people):
    few = some(people, np.arange(40))
    exchanged = with_keypoints(few, few.keypoints[:, SWAP])
    one, other = described(few, SWAP), described(exchanged, SWAP)
    # Exchanging sides permutes a description, and the turn upright is the same.
    np.testing.assert_allclose(other, one[:, SWAP], atol=1e-5)
    kernel = antisymmetric(one, one[:10], SWAP)
    assert np.abs(kernel).max() > 0.1
    np.testing.assert_allclose(antisymmetric(other, one[:10], SWAP), -kernel, atol=1e-5)


def test_a_mirrored_pose_is_as_right_as_the_pose(people):
    few = some(people, np.arange(40))
    mirrored = few.keypoints[:, SWAP] * [-1, 1, 1]
    one = described(few, SWAP)
    other = described(with_keypoints(few, mirrored), SWAP)
    # Places alone: the turn upright depends on the average of the poses at hand.
    plain = [0, 1, 4, 5]
    np.testing.assert_allclose(
        other[..., plain], one[:, SWAP][..., plain] * [-1, 1, 1, 1], atol=1e-5
    )


def test_place_and_size_do_not_matter(people):
    few = some(people, np.arange(40))
    moved = few.keypoints * [3, 3, 1] + [50, -20, 0]
    np.testing.assert_allclose(
        described(with_keypoints(few, moved), SWAP), described(few, SWAP), atol=1e-4
    )


def test_nobody_is_accused_where_front_and_back_look_alike(people):
    """Twelve joints without a face, seen from both sides alike: as in sports."""
    whole = people.labelled.all(axis=-1)
    body = people.keypoints[whole].copy()
    body[:, :5] = 0
    body[..., 2] = np.minimum(body[..., 2], 1)
    body[::2] = body[::2][:, SWAP]  # an orthographic view from behind
    sides = sides_swapped(with_keypoints(some(people, whole), body), COCO)
    assert sides.findings == []
    assert "tell left from right" in sides.unclear


def test_few_people_and_no_pairs_are_not_judged(people):
    few = sides_swapped(some(people, np.arange(12)), COCO)
    assert few.findings == [] and "40 are needed" in few.unclear
    unpaired = dataclasses.replace(COCO, flip_pairs=())
    none = sides_swapped(people, unpaired)
    assert none.findings == [] and none.unclear == "the skeleton has no flip pairs"
    empty = sides_swapped(some(people, np.arange(0)), COCO)
    assert empty.findings == [] and empty.judged == 0
