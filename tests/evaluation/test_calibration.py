"""Score against OKS: figures worked out by hand, and what an oracle's ranking is."""

import itertools
import json
import logging

import numpy as np
import pytest

from qepose_tf.evaluation.calibration import Bin, calibrate
from qepose_tf.evaluation.evaluate import coco_metrics, score_oks_rank_correlation
from qepose_tf.skeleton import COCO
from tests.evaluation.data_sets import data_set
from tests.evaluation.test_evaluate import (
    detection,
    labelled,
    noisy_detections,
    person,
    truth,
)
from tests.real_coco import LABELS, needs_labels

SIGMA = (0.1,)
HALF = 51 / 101  # precision 1 at the recalls up to 0.5 of COCO's 101
FAR = 1e4


def shift_of(oks):
    """How far one keypoint of a person of 10,000 px^2 stands off at an OKS.

    OKS = exp(-d^2 / (2 * 10,000 * (2 * 0.1)^2)) = exp(-d^2 / 800)
    """
    return np.sqrt(-800 * np.log(oks))


def someone(image_id, x=10.0, **changes):
    return person(image_id, x, k=1, **changes)


def found(annotation, score, oks):
    return detection(annotation, score, shift=shift_of(oks) if oks else FAR)


def measured(people, results, **changes):
    images = tuple({p["image_id"] for p in people} | {1})
    coco = labelled(truth(*people, images=images, k=1), SIGMA)
    return calibrate(coco, results, **changes)


def four():
    """Two detections in the bin [0.2, 0.4), two in [0.8, 1]."""
    people = [someone(i) for i in (1, 2, 3, 4)]
    pairs = ((0.95, 0.9), (0.85, 0.6), (0.25, 0.5), (0.21, 0.3))
    return people, [found(p, *pair) for p, pair in zip(people, pairs, strict=True)]


def test_bins_and_errors_by_hand():
    people, results = four()
    calibration = measured(people, results, num_bins=5)
    near = pytest.approx
    assert [entry.count for entry in calibration.bins] == [0, 2, 0, 0, 2]
    assert calibration.bins[0] == Bin(0.0, 0.2, 0, None, None)
    low, high = calibration.bins[1], calibration.bins[4]
    assert (low.low, low.high, high.low, high.high) == (0.2, 0.4, 0.8, 1.0)
    assert (low.mean_score, low.mean_oks) == (near(0.23), near(0.4))
    assert (high.mean_score, high.mean_oks) == (near(0.9), near(0.75))
    # half of |0.23 - 0.4| and half of |0.9 - 0.75|
    assert calibration.calibration_error == near(0.16)
    assert calibration.max_calibration_error == near(0.17)
    # (0.95 + 0.85 + 0.25 + 0.21) / 4 - (0.9 + 0.6 + 0.5 + 0.3) / 4
    assert calibration.bias == near(0.565 - 0.575)
    # the scores rank as the OKS do
    assert calibration.rank_correlation == near(1.0)
    scores, oks = np.array([[0.95, 0.85, 0.25, 0.21], [0.9, 0.6, 0.5, 0.3]])
    assert calibration.pearson == near(
        np.mean((scores - scores.mean()) * (oks - oks.mean()))
        / scores.std()
        / oks.std()
    )


@pytest.mark.parametrize(
    ("score", "place"), [(0.0, 0), (0.3, 3), (0.7, 7), (1.0, 9), (1.4, 9), (-0.1, 0)]
)
def test_a_score_on_an_edge_is_in_the_upper_bin(score, place):
    calibration = measured([someone(1)], [found(someone(1), score, 0.8)])
    assert [entry.count for entry in calibration.bins].index(1) == place
    assert calibration.bins[place].mean_score == pytest.approx(score)
    assert calibration.calibration_error == pytest.approx(abs(score - 0.8))


def test_strays_count_but_not_among_the_matched():
    people, results = four()
    # the scores of those with a person rank as their OKS; strays score in between
    strays = [found(people[0], 0.5, 0), found(people[1], 0.4, 0.0999)]
    calibration = measured(people, [*results, *strays])
    assert (calibration.detections, calibration.matched) == (6, 4)
    assert calibration.rank_correlation_matched == pytest.approx(1.0)
    # ranks of the scores 6 5 2 1 4 3, of the OKS 6 5 4 3 1 2
    assert calibration.rank_correlation == pytest.approx(1 - 6 * (4 + 4 + 9 + 1) / 210)


def test_the_wrong_order_of_two():
    one = someone(1)
    results = [found(one, 0.4, 0.97), found(one, 0.9, 0.72)]
    calibration = measured([one], results)
    # to 0.7 the poor pose is right and comes first; from 0.75 on it is a false
    # positive before the right one
    assert calibration.ap == pytest.approx((5 * 1 + 5 * 0.5) / 10)
    assert calibration.ap_oracle_ranking == pytest.approx(1.0)
    assert calibration.ap_lost_to_ranking == pytest.approx(0.25)


def test_an_oracle_ranks_second_poses_of_a_person_last():
    first, second = someone(1), someone(2)
    results = [
        found(first, 0.9, 0.97),
        found(second, 0.5, 0.82),
        found(first, 0.3, 0.9),
    ]
    calibration = measured([first, second], results)
    # 0.5 to 0.8: both people before the second pose; 0.85 to 0.95: one of them only
    assert calibration.ap == pytest.approx((7 + 3 * HALF) / 10)
    assert calibration.ap_oracle_ranking == calibration.ap
    # the best OKS with anybody would put the second pose before the other person
    perfect = [
        {**r, "score": s} for r, s in zip(results, (0.97, 0.82, 0.9), strict=True)
    ]
    assert measured([first, second], perfect).ap < calibration.ap


def test_in_a_crowd_an_oracle_may_lose_and_is_not_clipped():
    """The better pose fits both people, the other only one that the better takes."""
    first = someone(1, 100.0)
    second = someone(1, 100.0 + shift_of(0.92) + shift_of(0.82))
    between, outside = found(first, 0.8, 0.92), detection(first, 0.9, -shift_of(0.87))
    calibration = measured([first, second], [between, outside])
    # to 0.8 both are right; 0.85: the first alone; 0.9: the second alone, after it
    assert calibration.ap == pytest.approx((7 + HALF + HALF / 2) / 10)
    # "between" takes the first person up to 0.9, and "outside" finds nobody left
    assert calibration.ap_oracle_ranking == pytest.approx(9 * HALF / 10)
    assert calibration.ap_lost_to_ranking < -0.2


def apart(rng, most):
    """People far from one another, ignored ones among them; poses good and bad."""
    people, results = [], []
    for image_id in (1, 2, 3):
        for place in range(rng.integers(0, 4)):
            ignored = {"num_keypoints": 0} if rng.random() < 0.2 else {}
            people.append(someone(image_id, 1000.0 * place, **ignored))
    for _ in range(rng.integers(0, most + 1) if people else 0):
        chosen = people[rng.integers(len(people))]
        oks = rng.choice([0.0, *rng.uniform(0.3, 1.0, 4)])
        results.append(found(chosen, round(rng.random(), 1), oks))
    return people, results


@pytest.mark.parametrize("seed", range(25))
def test_no_random_ranking_beats_the_oracle(seed):
    people, results = apart(np.random.default_rng(seed), most=70)
    calibration = measured(people, results)
    if calibration.people:
        assert calibration.ap_lost_to_ranking >= -1e-12
    else:
        assert calibration.ap_lost_to_ranking is None


@pytest.mark.parametrize("seed", range(4))
def test_the_oracle_is_the_best_of_all_rankings(seed):
    rng = np.random.default_rng(seed)
    people = [someone(1), someone(2)]
    pairs = zip(rng.choice(people, 4), rng.uniform(0.5, 1.0, 4), strict=True)
    results = [found(p, 0.0, oks) for p, oks in pairs]
    coco = labelled(truth(*people, images=(1, 2), k=1), SIGMA)

    def ap(order):
        ranked = [{**r, "score": s} for r, s in zip(results, order, strict=True)]
        return coco_metrics(coco, ranked)["AP"]

    best = max(ap(order) for order in itertools.permutations((0.1, 0.2, 0.3, 0.4)))
    oracle = calibrate(coco, results).ap_oracle_ranking
    assert oracle == pytest.approx(best, abs=1e-12)


def test_ignored_regions_are_left_out():
    people, results = four()
    crowd = someone(1, 5000.0, iscrowd=1)
    tiny = someone(2, 5000.0, area=900.0)
    extra = [found(crowd, 0.7, 0.9), detection(tiny, 0.9)]
    calibration = measured([*people, crowd, tiny], [*results, *extra], min_area=1000)
    assert calibration == measured(people, results, min_area=1000)
    assert (calibration.people, calibration.detections) == (4, 4)
    assert measured([*people, tiny], results).people == 5


def test_image_ids_choose():
    people, results = four()
    calibration = measured(people, results, image_ids=[1, 3])
    assert (calibration.people, calibration.detections) == (2, 2)
    with pytest.raises(ValueError, match="num_bins: expected at least 1, got 0"):
        measured(people, results, num_bins=0)


def test_no_detections(caplog):
    caplog.set_level(logging.INFO)
    calibration = measured([someone(1)], [])
    assert (calibration.ap, calibration.ap_oracle_ranking) == (0.0, 0.0)
    assert calibration.ap_lost_to_ranking == 0.0
    assert calibration.rank_correlation is calibration.pearson is None
    assert calibration.calibration_error is calibration.bias is None
    assert calibration.sample == ()
    assert len(caplog.records) == 1
    assert "there are no detections" in caplog.text


def test_no_people(caplog):
    caplog.set_level(logging.INFO)
    calibration = measured([], [found(someone(1), 0.3, 0.9)] * 2)
    assert calibration.ap is calibration.ap_oracle_ranking is None
    assert calibration.ap_lost_to_ranking is None
    assert calibration.calibration_error == pytest.approx(0.3)  # their OKS is 0
    (said,) = [r for r in caplog.records if "evaluation" in r.name]
    assert "no person that counts is labelled" in said.getMessage()


def test_all_unmatched_and_one(caplog):
    caplog.set_level(logging.INFO)
    one = someone(1)
    strays = [found(one, 0.2, 0), found(one, 0.6, 0)]
    calibration = measured([one], strays)
    assert (calibration.ap, calibration.ap_oracle_ranking) == (0.0, 0.0)
    assert calibration.rank_correlation is None  # all of one OKS
    assert calibration.bias == pytest.approx(0.4)
    assert "0 of 2 met a person (OKS > 0.1)" in caplog.text
    single = measured([one], [found(one, 0.7, 0.9)])
    assert single.rank_correlation is None
    assert single.bias == pytest.approx(-0.2)
    assert single.sample == ((0.7, 0.9),)


def test_the_sample_is_of_the_detections_and_of_the_seed():
    one = someone(1)
    oks = np.linspace(0.2, 1.0, 2500)
    results = [found(one, float(o) / 2, o) for o in oks]
    calibration = measured([one], results)
    assert len(set(calibration.sample)) == 2000
    scores, values = np.array(calibration.sample).T
    np.testing.assert_allclose(scores, values / 2, atol=1e-4)
    assert calibration == measured([one], results)
    assert calibration.sample != measured([one], results, seed=1).sample


def test_arguments_are_not_changed():
    people, results = four()
    before = json.dumps([people, results])
    measured(people, results)
    assert json.dumps([people, results]) == before


@pytest.mark.slow
@needs_labels
@pytest.mark.parametrize("min_area", [0.0, 5000.0])
def test_figures_are_those_of_evaluate(min_area):
    labels = json.loads(LABELS.read_text())
    results = noisy_detections(labels, np.random.default_rng(0))
    arguments = (data_set(labels, COCO), results)
    images = [image["id"] for image in labels["images"][:200]]
    scope = {"min_area": min_area, "image_ids": images}
    calibration = calibrate(*arguments, **scope)
    assert calibration.ap == coco_metrics(*arguments, **scope)["AP"]
    expected = score_oks_rank_correlation(*arguments, **scope)
    assert calibration.rank_correlation == expected
    # noisy_detections scores by chance: the order is worth much, and the
    # correlation's standard deviation is 1 / sqrt(n)
    assert 0.05 < calibration.ap_lost_to_ranking < 0.6
    assert abs(calibration.rank_correlation_matched) < 4 / calibration.matched**0.5
