"""Scores paired with OKS: against a plain numpy twin, in crowds and on nothing."""

import numpy as np
import pytest

from qepose_tf.evaluation.coco_evaluator import coco_evaluator
from qepose_tf.evaluation.score_quality import (
    correlation,
    rank_correlation,
    scored_detections,
)
from qepose_tf.skeleton import COCO
from tests.evaluation.test_evaluate import detection, labelled, person, truth


def crowded(rng, most):
    """People who stand in one another, ignored ones and strays among them."""
    people, results = [], []
    for image_id in (1, 2):
        for _ in range(rng.integers(0, most + 1)):
            changes = rng.choice([{}, {}, {"iscrowd": 1}, {"num_keypoints": 0}])
            area = float(rng.choice([800.0, 9000.0]))
            x = float(rng.uniform(10, 60))
            people.append(person(image_id, x, area=area, **changes))
    for chosen in people:
        for _ in range(rng.integers(0, 3)):
            shift = float(rng.normal(0, 15))
            results.append(detection(chosen, round(rng.random(), 1), shift))
    return people, results


def slow_oks(annotation, result):
    """pycocotools' OKS, keypoint by keypoint; all are labelled here."""
    similarity = 0.0
    truth_points = np.reshape(annotation["keypoints"], (-1, 3))
    points = np.reshape(result["keypoints"], (-1, 3))
    for (x, y, _), (u, v, _), sigma in zip(
        truth_points, points, COCO.sigmas, strict=True
    ):
        squared = (x - u) ** 2 + (y - v) ** 2
        similarity += np.exp(-squared / (2 * annotation["area"] * (2 * sigma) ** 2))
    return similarity / len(truth_points)


def slow_twin(people, results, min_area):
    """{index: (best OKS, own OKS, judged)}, one detection and person at a time."""
    expected = {}
    pairs = []
    for index, result in enumerate(results):
        best = ignored_best = 0.0
        for number, annotation in enumerate(people):
            if annotation["image_id"] != result["image_id"]:
                continue
            oks = slow_oks(annotation, result)
            out = annotation["iscrowd"] or not annotation["num_keypoints"]
            if out or annotation["area"] < min_area:
                ignored_best = max(ignored_best, oks)
            else:
                best = max(best, oks)
                pairs.append((oks, index, number))
        judged = not (ignored_best >= 0.5 and ignored_best > best)
        expected[index] = [best, 0.0, judged]
    taken, given = set(), set()
    for oks, index, number in sorted(pairs, reverse=True):
        if index not in given and number not in taken:
            expected[index][1] = oks
            given.add(index)
            taken.add(number)
    return expected


@pytest.mark.parametrize("min_area", [0.0, 1000.0])
@pytest.mark.parametrize("seed", range(10))
def test_pairs_are_those_of_a_plain_twin(seed, min_area):
    rng = np.random.default_rng(seed)
    people, results = crowded(rng, most=5)
    evaluator = coco_evaluator(labelled(truth(*people)), results)
    before = dict(vars(evaluator.params))
    found = scored_detections(evaluator, min_area)
    assert vars(evaluator.params) == before
    expected = slow_twin(people, results, min_area)
    assert sorted(found.ids - 1) == sorted(expected)
    for row, number in enumerate(found.ids):
        best, own, judged = expected[number - 1]
        assert found.scores[row] == results[number - 1]["score"]
        assert found.oks[row] == pytest.approx(best, abs=1e-9)
        assert found.own_oks[row] == pytest.approx(own, abs=1e-9)
        assert found.judged[row] == judged
    counts = [
        not p["iscrowd"] and p["num_keypoints"] and p["area"] >= min_area
        for p in people
    ]
    assert found.people == sum(map(bool, counts))


def test_nothing_at_all():
    found = scored_detections(coco_evaluator(labelled(truth()), []))
    assert found.people == 0
    for column in (found.ids, found.scores, found.oks, found.own_oks, found.judged):
        assert column.shape == (0,)


def test_correlations_by_hand():
    first, second = np.array([1.0, 2.0, 3.0]), np.array([1.0, 4.0, 9.0])
    assert rank_correlation(first, second) == pytest.approx(1.0)
    # deviations -1 0 1 and -11/3 -2/3 13/3: 8 / sqrt(2 * 294 / 9)
    assert correlation(first, second) == pytest.approx(8 / np.sqrt(2 * 294 / 9))
    # equal values share rank 1.5: deviations -.5 -.5 1 and -1 0 1
    tied = np.array([5.0, 5.0, 6.0])
    assert rank_correlation(tied, first) == pytest.approx(1.5 / np.sqrt(1.5 * 2))
    for undefined in (rank_correlation, correlation):
        assert np.isnan(undefined(first, np.ones(3)))
        assert np.isnan(undefined(first[:1], second[:1]))
        assert np.isnan(undefined(first[:0], second[:0]))
