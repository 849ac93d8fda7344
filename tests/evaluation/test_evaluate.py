"""The ten COCO figures: hand-built cases, and pycocotools run directly."""

import contextlib
import copy
import io
import json
import logging

import numpy as np
import pytest
from pycocotools.coco import COCO as PyCOCO
from pycocotools.cocoeval import COCOeval

from qepose_tf.data.coco.dataset import read_coco
from qepose_tf.evaluation.evaluate import (
    FIGURES,
    coco_metrics,
    score_oks_rank_correlation,
    write_results,
)
from qepose_tf.skeleton import COCO, CROWDPOSE
from tests.evaluation.data_sets import data_set, plain_skeleton
from tests.real_coco import LABELS, needs_labels

SCORES = (0.9, 0.8, 0.7)
# pycocotools divides by (true + false positives + epsilon)
ONE = pytest.approx(1.0, abs=1e-12)


def person(image_id, x, *, k=17, area=10_000.0, size=100.0, **changes):
    """A person whose keypoints stand on a diagonal from (x, 50)."""
    steps = np.linspace(0.0, size, k)
    keypoints = np.stack([x + steps, 50.0 + steps, np.full(k, 2.0)], -1)
    return {
        "image_id": image_id,
        "category_id": 1,
        "keypoints": keypoints.reshape(-1).tolist(),
        "num_keypoints": k,
        "bbox": [x, 50.0, size, size],
        "area": area,
        "iscrowd": 0,
        **changes,
    }


def truth(*people, images=(1, 2), k=17):
    return {
        "images": [
            {"id": i, "file_name": f"{i}.jpg", "width": 10_000, "height": 480}
            for i in images
        ],
        "categories": [
            {"id": 1, "name": "person", "keypoints": [f"k{i}" for i in range(k)]}
        ],
        "annotations": [{"id": i, **p} for i, p in enumerate(people)],  # ids from 0
    }


def detection(annotation, score, shift=0.0):
    keypoints = np.array(annotation["keypoints"], float).reshape(-1, 3)
    keypoints[:, 0] += shift
    return {
        "image_id": annotation["image_id"],
        "category_id": 1,
        "keypoints": keypoints.reshape(-1).tolist(),
        "score": score,
    }


def labelled(labels, sigmas=COCO.sigmas):
    return data_set(labels, plain_skeleton(sigmas))


def metrics(labels, results, sigmas=COCO.sigmas, **changes):
    return coco_metrics(labelled(labels, sigmas), results, **changes)


@pytest.mark.parametrize(
    "sigmas", [COCO.sigmas, CROWDPOSE.sigmas, (0.05,)], ids=["17", "14", "1"]
)
def test_perfect_poses_score_one(sigmas):
    k = len(sigmas)
    people = [person(1, 10.0, k=k), person(1, 300.0, k=k), person(2, 10.0, k=k)]
    results = [detection(p, score) for p, score in zip(people, SCORES, strict=True)]
    figures = metrics(truth(*people, k=k), results, sigmas)
    assert list(figures) == list(FIGURES)
    assert figures.pop("APM") == -1  # 10,000 px^2 is large: nobody is of medium size
    assert figures.pop("ARM") == -1
    assert list(figures.values()) == [ONE] * 8


def test_one_of_two_missed():
    people = [person(1, 10.0), person(1, 300.0)]
    figures = metrics(truth(*people), [detection(people[0], 0.9)])
    # precision 1 at the 51 of 101 recalls up to 0.5
    assert figures["AP"] == pytest.approx(51 / 101)
    assert figures["AR"] == 0.5


def test_the_order_of_scores_counts():
    people = [person(1, 10.0), person(2, 10.0)]
    stray = detection(people[0], 0.0, shift=400.0)
    results = [detection(p, 0.9) for p in people]
    assert metrics(truth(*people), [*results, {**stray, "score": 0.1}])["AP"] == ONE
    # first the stray: precision is 2/3 up to full recall
    first = metrics(truth(*people), [*results, {**stray, "score": 1.0}])
    assert first["AP"] == pytest.approx(2 / 3)
    assert first["AR"] == ONE


def test_the_skeletons_sigmas_count():
    someone = person(1, 10.0, k=1)
    labels = truth(someone, k=1)
    # OKS = exp(-d^2 / (2 area (2 sigma)^2)): d = 8 gives 0.726 at 0.1, 0.278 at 0.05
    results = [detection(someone, 0.9, shift=8.0)]
    assert metrics(labels, results, (0.1,))["AP50"] == pytest.approx(1.0)
    wide = np.exp(-64 / (2 * 10_000 * 0.2**2))
    thresholds = np.linspace(0.5, 0.95, 10)
    assert metrics(labels, results, (0.1,))["AP"] == pytest.approx(
        np.mean(wide >= thresholds)
    )
    tight = (0.02,)
    assert np.exp(-64 / (2 * 10_000 * 0.04**2)) < 0.5
    assert metrics(labels, results, tight)["AP"] == 0.0


def test_no_detections_score_zero():
    figures = metrics(truth(person(1, 10.0)), [])
    assert [figures[name] for name in ("AP", "AP50", "APL", "AR")] == [0.0] * 4


def test_no_people_is_minus_one_and_said(caplog):
    caplog.set_level(logging.INFO)
    figures = metrics(truth(), [])
    assert set(figures.values()) == {-1.0}
    assert "APM and ARM are -1: no person of medium size" in caplog.text


def test_min_area_ignores_smaller_people():
    large = person(1, 10.0)
    small = person(1, 300.0, area=500.0, size=20.0)
    labels = truth(large, small)
    found = [detection(large, 0.9)]
    assert metrics(labels, found)["AP"] == pytest.approx(51 / 101)
    assert metrics(labels, found, min_area=1024.0)["AP"] == ONE
    # a detection of the ignored person is no false positive, however it scores
    both = [*found, detection(small, 0.99)]
    assert metrics(labels, both, min_area=1024.0)["AP"] == ONE
    # a large stray one is
    stray = [*found, detection(large, 0.99, shift=400.0)]
    assert metrics(labels, stray, min_area=1024.0)["AP"] == pytest.approx(0.5)
    # exactly at the bound counts
    assert metrics(labels, found, min_area=500.0)["AP"] == pytest.approx(51 / 101)


def test_min_area_with_one_keypoint_warns(caplog):
    metrics(truth(person(1, 10.0, k=1), k=1), [], (0.05,), min_area=1.0)
    assert "AP reads high" in caplog.text


def test_images_may_be_a_subset():
    people = [person(1, 10.0), person(2, 10.0)]
    found = [detection(people[0], 0.9)]
    assert metrics(truth(*people), found, image_ids=[1])["AP"] == ONE
    assert metrics(truth(*people), found, image_ids=[2])["AP"] == 0.0
    with pytest.raises(ValueError, match=r"expected ids of its images, got \[7\]"):
        metrics(truth(*people), found, image_ids=[1, 7])
    with pytest.raises(ValueError, match="at least one image"):
        metrics(truth(*people), found, image_ids=[])


def test_at_most_twenty_detections_count():
    someone = person(1, 10.0)
    strays = [detection(someone, 0.9, shift=400.0 + i) for i in range(20)]
    assert metrics(truth(someone), [*strays, detection(someone, 0.1)])["AR"] == 0.0
    assert metrics(truth(someone), [*strays[1:], detection(someone, 0.1)])["AR"] == ONE


@pytest.mark.parametrize("missing", ["iscrowd", "num_keypoints", "area", "bbox", "id"])
def test_fields_left_out(missing):
    people = [person(1, 10.0), person(2, 10.0)]
    labels = truth(*people)
    for annotation in labels["annotations"]:
        del annotation[missing]
    assert metrics(labels, [detection(p, 0.9) for p in people])["AP"] == ONE


def test_images_and_annotations_listed_twice(caplog):
    labels = truth(person(1, 10.0), person(2, 10.0))
    found = [detection(a, 0.9) for a in labels["annotations"]]
    for part in ("images", "annotations"):
        labels[part] = labels[part] + copy.deepcopy(labels[part])
    assert metrics(labels, found)["AP"] == ONE
    assert "2 images listed more than once" in caplog.text
    assert "2 annotations listed more than once" in caplog.text


def test_broken_annotations_are_ignored_and_counted(caplog):
    good = person(1, 10.0)
    nan = person(2, 10.0)
    nan["keypoints"][0] = float("nan")
    labels = truth(good, nan, person(1, 300.0, k=5), person(9, 10.0))
    found = [detection(good, 0.9), detection(person(2, 10.0), 0.8)]
    assert metrics(labels, found)["AP"] == ONE
    assert "1 annotations whose keypoints are not 51 numbers" in caplog.text
    assert "1 annotations of images that are not listed" in caplog.text
    assert "1 keypoints that are NaN or infinite" in caplog.text


def test_arguments_are_not_changed():
    labels = truth(person(1, 10.0))
    found = [detection(labels["annotations"][0], 0.9)]
    coco = labelled(labels)
    before = copy.deepcopy((coco.ground_truth, found))
    coco_metrics(coco, found)
    score_oks_rank_correlation(coco, found)
    assert (coco.ground_truth, found) == before


def test_nothing_is_printed(capsys):
    metrics(truth(person(1, 10.0)), [])
    assert capsys.readouterr().out == ""


def test_bad_results():
    someone = person(1, 10.0)
    labels, good = truth(someone), detection(someone, 0.5)
    with pytest.raises(ValueError, match=r"got image ids \[5\]"):
        metrics(labels, [{**good, "image_id": 5}])
    with pytest.raises(ValueError, match="expected 51 numbers in keypoints, got 3"):
        metrics(labels, [{**good, "keypoints": [1.0, 2.0, 1.0]}])
    with pytest.raises(ValueError, match="expected finite"):
        metrics(labels, [{**good, "score": float("nan")}])


def test_rank_correlation_by_hand():
    people = [person(1, 10.0), person(2, 10.0)]
    labels = truth(*people)

    def correlation(*found, **changes):
        return score_oks_rank_correlation(labelled(labels), found, **changes)

    best, good, stray = (
        detection(people[0], 0.9),
        detection(people[1], 0.6, shift=5.0),
        detection(people[1], 0.1, shift=500.0),
    )
    assert correlation(best, good, stray) == pytest.approx(1.0)
    # ranks of scores 2, 3, 1 against 3, 2, 1: 1 - 6 * (1 + 1) / (3 * 8)
    assert correlation({**best, "score": 0.5}, good, stray) == pytest.approx(0.5)
    assert np.isnan(correlation())
    assert np.isnan(correlation(best))
    assert np.isnan(correlation({**best, "score": 0.6}, good))


def test_rank_correlation_leaves_ignored_people_out():
    people = [person(1, 10.0), person(1, 300.0, num_keypoints=0), person(2, 10.0)]
    labels = truth(*people)
    found = [detection(people[0], 0.6), detection(people[2], 0.5, shift=5.0)]
    ignored = detection(people[1], 0.55, shift=9.0)
    for results in (found, [*found, ignored]):
        value = score_oks_rank_correlation(labelled(labels), results)
        assert value == pytest.approx(1.0)


def test_rank_correlation_counts_more_than_twenty_detections():
    someone = person(1, 10.0)
    found = [detection(someone, 0.9 - 0.01 * i, shift=float(i)) for i in range(25)]
    value = score_oks_rank_correlation(labelled(truth(someone)), found)
    assert value == pytest.approx(1.0)


def test_results_file(tmp_path):
    path = tmp_path / "runs" / "results.json"
    found = [detection(person(1, 10.0), 0.9)]
    write_results(found, path)
    assert json.loads(path.read_text()) == found
    with pytest.raises(TypeError):
        write_results([{"score": object()}], path)
    assert [p.name for p in path.parent.iterdir()] == ["results.json"]
    assert json.loads(path.read_text()) == found


def noisy_detections(labels, rng):
    """One moved copy of most people and some strays, as a detector's results."""
    results = []
    for annotation in labels["annotations"]:
        keypoints = np.array(annotation["keypoints"], float).reshape(-1, 3)
        if annotation["num_keypoints"] == 0 or rng.random() < 0.2:
            keypoints[:, :2] = rng.uniform(0, 640, (17, 2))
        noise = rng.exponential(0.06) * np.sqrt(annotation["area"])
        keypoints[:, :2] += rng.normal(0, noise, (17, 2))
        found = detection(annotation, rng.random())
        results.append({**found, "keypoints": keypoints.reshape(-1).tolist()})
    return results


def pycocotools_figures(path, results):
    with contextlib.redirect_stdout(io.StringIO()):
        ground_truth = PyCOCO(path)
        direct = COCOeval(
            ground_truth, ground_truth.loadRes(copy.deepcopy(results)), "keypoints"
        )
        direct.evaluate()
        direct.accumulate()
        direct.summarize()
    return direct.stats.tolist()


@pytest.mark.slow
@needs_labels
def test_ten_figures_are_those_of_pycocotools():
    labels = json.loads(LABELS.read_text())
    results = noisy_detections(labels, np.random.default_rng(0))
    direct = pycocotools_figures(LABELS, results)
    coco = read_coco(LABELS, LABELS.parent, COCO, require_images=False)
    figures = coco_metrics(coco, results)
    assert list(figures.values()) == direct
    assert 0.1 < figures["AP"] < 0.9
