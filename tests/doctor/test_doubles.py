"""People who are labelled twice, and the sigmas that this gives."""

import dataclasses

import numpy as np
import pytest

from qepose_tf.doctor.doubles import doubled_people, estimated_sigmas, labelled_again
from qepose_tf.doctor.people import People
from qepose_tf.skeleton import COCO, Skeleton
from tests.doctor.planting import FOUND, check, chosen


def together(people, copies):
    """Both groups, by picture."""
    fields = [field.name for field in dataclasses.fields(people)]
    both = [np.concatenate([getattr(p, f) for p in (people, copies)]) for f in fields]
    order = np.argsort(both[0], kind="stable")
    return People(*(values[order] for values in both)), order


def copies_of(people, rows, noise, rng):
    values = {f.name: getattr(people, f.name)[rows] for f in dataclasses.fields(people)}
    side = np.sqrt(values["area"])[:, None, None]
    moved = values["keypoints"].copy()
    shift = rng.normal(0, noise, moved[..., :2].shape) * side
    moved[..., :2] += shift * (moved[..., 2:] > 0)
    return People(**{**values, "keypoints": moved})


@pytest.mark.parametrize("noise", [0.0, 0.04])
def test_planted_doubles_are_found(people, noise):
    rng = np.random.default_rng(0)
    planted = chosen(rng, people.labelled.any(axis=-1))
    both, order = together(people, copies_of(people, planted, noise, rng))
    findings = doubled_people(both, labelled_again(both))
    rows = np.flatnonzero(np.isin(order, planted) | (order >= len(people)))
    check(findings, rows, both)
    named = {frozenset(order[list(finding.people)] % 10**9) for finding in findings}
    wanted = {frozenset((row, len(people) + i)) for i, row in enumerate(planted)}
    assert len(named & wanted) >= FOUND * len(planted)
    assert {finding.why.endswith("are equal") for finding in findings} == {noise == 0}


def test_people_as_they_were_drawn_are_no_doubles(people):
    assert doubled_people(people, labelled_again(people)) == []


def points(places, area=100.0):
    """People of one keypoint each, in one picture."""
    count = len(places)
    keypoints = np.array([[[x, y, 2]] for x, y in places], float)
    area = np.broadcast_to(np.array(area, float), count)
    boxes = np.zeros((count, 4))
    return People(np.zeros(count, int), keypoints, boxes, area, np.full(count, 64.0))


def test_one_keypoint_is_enough():
    again = labelled_again(points([(10, 10), (11, 10), (30, 30)]))
    assert (again.first.tolist(), again.second.tolist()) == ([0], [1])
    assert again.distance[0] == pytest.approx(0.1)  # 1 px of a root of 10 px
    # A small object on a large one is none of them twice.
    assert not len(labelled_again(points([(10, 10), (10, 10)], [100, 400])).first)


def test_sigmas_of_two_labellers():
    """Each is off by `sigma` times the root of the area, in distance."""
    rng = np.random.default_rng(0)
    sigma, area, pairs = 0.05, 1e4, 4000
    truth = np.repeat(rng.uniform(0, 1000, (pairs, 1, 2)), 2, axis=1)
    off = rng.normal(0, sigma * np.sqrt(area / 2), truth.shape)  # of x and of y
    labels = np.concatenate([truth + off, np.full((pairs, 2, 1), 2.0)], axis=-1)
    people = People(
        np.repeat(np.arange(pairs), 2),
        labels.reshape(-1, 1, 3),
        np.zeros((2 * pairs, 4)),
        np.full(2 * pairs, area),
        np.full(2 * pairs, 1000.0),
    )
    skeleton = Skeleton("point", ("tip",), (), (), (0.1,))
    again = labelled_again(people)
    (found,) = estimated_sigmas(people, again, skeleton).values()
    # Those who disagree by more than a body's breadth are not known to be one.
    kept = again.distance[again.distance >= 1e-3] ** 2  # no copies
    assert found[1] == len(kept) > 0.8 * pairs
    assert found[0] == pytest.approx(np.sqrt(kept.mean() / 2))
    assert 0.8 * sigma < found[0] < sigma


def test_copies_and_few_pairs_give_no_sigma(people):
    rng = np.random.default_rng(0)
    for rows, noise in ((np.arange(50), 0.0), (np.arange(5), 0.03)):
        both, _ = together(people, copies_of(people, rows, noise, rng))
        again = labelled_again(both)
        assert len(again.first) == len(rows)
        assert estimated_sigmas(both, again, COCO) == {}
