"""AP by crowd index: by hand, at the limits, and beside CrowdPose's evaluator."""

import contextlib
import io
import json
import logging

import pytest

from qepose_tf.evaluation.coco_evaluator import coco_evaluator
from qepose_tf.evaluation.crowd_index import CROWD_FIGURES, crowd_bands, crowd_precision
from qepose_tf.skeleton import COCO, CROWDPOSE
from tests.evaluation.crowdpose_files import (
    content,
    detection,
    image,
    person,
    random_labels_and_results,
)
from tests.evaluation.data_sets import data_set

# pycocotools divides by (true + false positives + epsilon)
ONE = pytest.approx(1.0, abs=1e-12)

# `random_labels_and_results()` scored by xtcocotools 1.14.3, type "keypoints_crowd",
# use_area=False (`reference` below). Its wheel needs numpy < 2; built from source
# (`pip install --no-binary xtcocotools xtcocotools`) it runs on NumPy 2 and gives the
# same figures, and so does faster-coco-eval 1.8.0. They round the bands to 4 places.
XTCOCOTOOLS = {
    "AP": 0.45997433526900766,
    "AP50": 0.5926691934736111,
    "AP75": 0.48929780490629377,
    "AR": 0.5798611111111112,
    "AR50": 0.7291666666666666,
    "AR75": 0.6041666666666666,
    "AP_easy": 0.4487,
    "AP_medium": 0.5777,
    "AP_hard": 0.365,
}


def standing(annotation_id, image_id, x=50.0):
    """A person whose 14 keypoints stand on a diagonal."""
    keypoints = [(x + 10.0 * i, 50.0 + 20.0 * i, 2) for i in range(14)]
    return person(annotation_id, image_id, keypoints, [x, 50.0, 130.0, 260.0])


def figures(labels, results, **choice):
    evaluator = coco_evaluator(data_set(labels, CROWDPOSE), results, **choice)
    return crowd_precision(evaluator, "labels.json")


def three_images():
    indices = {1: 0.05, 2: 0.5, 3: 0.9}
    images = [image(image_id, index) for image_id, index in indices.items()]
    return content(images, [standing(i, i) for i in indices])


def test_perfect_in_one_image_missed_in_another():
    labels = three_images()
    easy, medium, _ = labels["annotations"]
    stray = detection(medium, 0.9, shift=400.0)
    # The medium image: first a stray, then the person. Precision is 1/2 throughout.
    results = [detection(easy, 0.3), stray, detection(medium, 0.5)]
    assert figures(labels, results) == {
        "AP_easy": ONE,
        "AP_medium": pytest.approx(0.5),
        "AP_hard": 0.0,
    }
    assert figures(labels, []) == dict.fromkeys(CROWD_FIGURES, 0.0)


def test_scores_of_other_bands_do_not_matter():
    labels = three_images()
    good = [detection(a, 0.1 * a["id"]) for a in labels["annotations"]]
    strays = [detection(labels["annotations"][2], 0.9, shift=400.0)]
    found = figures(labels, [*good, *strays])
    assert (found["AP_easy"], found["AP_medium"]) == (ONE, ONE)
    assert found["AP_hard"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    "index, band",
    [
        (0, "AP_easy"),
        (0.0, "AP_easy"),
        (0.1, "AP_easy"),
        (0.19, "AP_easy"),
        (0.2, "AP_medium"),
        (0.79, "AP_medium"),
        (0.8, "AP_hard"),
        (1.0, "AP_hard"),
        (1, "AP_hard"),
    ],
)
def test_limits(index, band):
    bands = crowd_bands([image(7, index)], "labels.json")
    assert bands == {**dict.fromkeys(CROWD_FIGURES, []), band: [7]}


def test_only_chosen_images_count():
    labels = three_images()
    results = [detection(a, 0.9) for a in labels["annotations"]]
    found = figures(labels, results, image_ids=[1, 3])
    assert found == {"AP_easy": ONE, "AP_medium": -1.0, "AP_hard": ONE}


def test_a_band_without_anybody_is_minus_one_and_said(caplog):
    caplog.set_level(logging.INFO)
    labels = three_images()
    labels["annotations"] = labels["annotations"][:1]
    found = figures(labels, [detection(standing(1, 3), 0.9)])
    assert found == {"AP_easy": 0.0, "AP_medium": -1.0, "AP_hard": -1.0}
    assert "AP_hard is -1: nobody is labelled in its 1 images" in caplog.text


def test_no_crowd_index_no_split(caplog):
    labels = content([image(1), image(2)], [standing(1, 1)])
    assert figures(labels, []) == {}
    assert not caplog.records or "crowdIndex" not in caplog.text
    assert crowd_bands([image(1) | {"crowdIndex": None}], "labels.json") is None


def test_crowd_index_on_some_images_warns_with_counts(caplog):
    images = [image(1, 0.5), image(2), image(3), image(4, 0.9)]
    bands = crowd_bands(images, "labels.json")
    assert [len(ids) for ids in bands.values()] == [0, 1, 1]
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "labels.json: 2 of 4 images have no crowdIndex" in record.getMessage()


@pytest.mark.parametrize("index", [-0.01, 1.01, float("nan"), "0.5", True, [0.5]])
def test_impossible_crowd_index_names_the_image(index):
    with pytest.raises(ValueError) as error:
        crowd_bands([image(1, 0.5), image(42, index)], "labels.json")
    assert str(error.value) == (
        f"labels.json: image 42: expected a crowdIndex from 0 to 1, got {index!r}"
    )


def test_evaluator_is_not_changed():
    labels = three_images()
    evaluator = coco_evaluator(data_set(labels, CROWDPOSE), [])
    evaluator.params.areaRng[0] = [400.0, 1e10]
    crowd_precision(evaluator, "labels.json")
    assert evaluator.params.imgIds == [1, 2, 3]
    assert evaluator.params.areaRng[0] == [400.0, 1e10]
    assert len(evaluator.params.areaRng) == 3


def test_the_smallest_area_counts_in_the_bands():
    labels = three_images()
    labels["annotations"][0]["area"] = 500.0
    evaluator = coco_evaluator(data_set(labels, CROWDPOSE), [])
    evaluator.params.areaRng[0] = [1024.0, 1e10]
    assert crowd_precision(evaluator, "labels.json")["AP_easy"] == -1.0


def ours(labels, results):
    evaluator = coco_evaluator(data_set(labels, CROWDPOSE), results)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    names = ("AP", "AP50", "AP75", "AR", "AR50", "AR75")
    stats = [evaluator.stats[i] for i in (0, 1, 2, 5, 6, 7)]
    figures = dict(zip(names, map(float, stats), strict=True))
    return figures | crowd_precision(evaluator, "labels.json")


def assert_equal_figures(found, expected):
    assert list(found) == list(expected)
    for name, figure in expected.items():
        tolerance = 5.001e-5 if name in CROWD_FIGURES else 1e-12
        assert found[name] == pytest.approx(figure, abs=tolerance), name


def test_figures_are_those_of_crowdposes_evaluator():
    assert_equal_figures(ours(*random_labels_and_results()), XTCOCOTOOLS)


def test_the_comparison_would_notice_another_area_or_limit(monkeypatch):
    labels, results = random_labels_and_results()
    for annotation in labels["annotations"]:
        annotation["area"] = annotation["bbox"][2] * annotation["bbox"][3]
    assert ours(labels, results)["AP"] - XTCOCOTOOLS["AP"] > 0.01
    monkeypatch.setattr("qepose_tf.evaluation.crowd_index.EASY_BELOW", 0.1)
    easy = ours(*random_labels_and_results())["AP_easy"]
    assert abs(easy - XTCOCOTOOLS["AP_easy"]) > 0.01


def reference(folder, labels, results):
    """The same by xtcocotools, as mmpose and the like run it."""
    try:
        from xtcocotools.coco import COCO as XtCoco
        from xtcocotools.cocoeval import COCOeval as XtEval
    except (ImportError, ValueError) as error:  # ValueError: built for numpy < 2
        pytest.skip(f"no working xtcocotools: {error}")
    import numpy as np

    (folder / "labels.json").write_text(json.dumps(labels))
    (folder / "results.json").write_text(json.dumps(results))
    with contextlib.redirect_stdout(io.StringIO()):
        truth = XtCoco(str(folder / "labels.json"))
        found = truth.loadRes(str(folder / "results.json"))
        sigmas = np.array(CROWDPOSE.sigmas)
        evaluator = XtEval(truth, found, "keypoints_crowd", sigmas, use_area=False)
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return dict(zip(XTCOCOTOOLS, map(float, evaluator.stats), strict=True))


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # theirs
@pytest.mark.parametrize("seed", range(3))
def test_figures_are_those_of_xtcocotools(tmp_path, seed):
    labels, results = random_labels_and_results(seed, num_images=60)
    assert_equal_figures(ours(labels, results), reference(tmp_path, labels, results))


def test_any_skeleton_may_have_a_crowd_index():
    keypoints = [20.0, 30.0, 2] * 17
    someone = {"id": 1, "image_id": 1, "category_id": 1, "keypoints": keypoints}
    labels = {
        "images": [image(1, 0.9)],
        "annotations": [someone | {"area": 900.0, "bbox": [0, 0, 30, 30]}],
        "categories": [{"id": 1, "name": "person", "keypoints": COCO.keypoints}],
    }
    evaluator = coco_evaluator(data_set(labels, COCO), [detection(someone, 0.9)])
    assert crowd_precision(evaluator, "labels.json")["AP_hard"] == ONE
