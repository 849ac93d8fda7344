"""Annotation files as people's tools write them, and what must become of each."""

import json
import logging
import os
from pathlib import Path

import numpy as np
import pytest

from qepose_tf.data.coco.dataset import read_coco
from qepose_tf.data.tfrecord.dataset import read_tfrecords
from qepose_tf.data.tfrecord.prepare import prepare
from qepose_tf.evaluation.calibration import calibrate
from qepose_tf.evaluation.evaluate import coco_metrics
from qepose_tf.skeleton import Skeleton
from tests.data.pipelines import passes, same, train

_BESIDE = Path(__file__).resolve().parents[4] / "shared/cases"
FOLDER = Path(os.environ.get("QEPOSE_CASES", _BESIDE))
pytestmark = pytest.mark.skipif(
    not (FOLDER / "good.json").is_file(), reason=f"no annotation files in {FOLDER}"
)
NAMES = ("nose", "left_shoulder", "right_shoulder", "left_hip")
ANIMAL = Skeleton("animal", NAMES, (NAMES[1:3],), (), (0.05,) * 4)
NOSE = Skeleton("animal", NAMES[:1], (), (), (0.05,))
EQUAL = (
    *("image_ids_text", "iscrowd_text", "keypoints_nested", "bbox_text"),
    *("limbs_from_0", "one_file_two_ids", "three_species_one_skeleton"),
)


def read(name, skeleton=ANIMAL, **options):
    return read_coco(FOLDER / f"{name}.json", FOLDER / "images", skeleton, **options)


def batches(coco):
    return passes(train(coco, batch_size=4, input_size=128), count=1)[0]


def detections(coco):
    """Each person a little aside, and a stray in each image."""
    draw = np.random.default_rng(0)
    found = []
    for record in coco.records:
        for person in [*record.keypoints, record.keypoints[0] + 60]:
            moved = person + draw.normal(0, 4, person.shape)
            found.append(
                {
                    "image_id": record.image_id,
                    "category_id": coco.category_id,
                    "keypoints": moved.ravel(),
                    "score": draw.random(),
                }
            )
    return found


def said(caplog, level):
    return [r.getMessage() for r in caplog.records if r.levelname == level]


@pytest.fixture(scope="module")
def good():
    return read("good", strict=True)


@pytest.fixture(scope="module")
def good_batches(good):
    return batches(good)


def test_good_has_all_people_and_nothing_to_say(good, caplog):
    read("good", strict=True)
    assert not caplog.records
    assert len(good) == 12
    assert sum(len(record.area) for record in good.records) == 22
    good.check_learnable(1024.0)


@pytest.mark.parametrize("name", EQUAL)
def test_equal_forms_train_and_score_as_the_good_one(name, good, good_batches):
    coco = read(name)
    assert same(batches(coco), good_batches)
    one, other = (data.ground_truth["annotations"] for data in (coco, good))
    assert one == other
    found = detections(good)
    figures = coco_metrics(good, found)
    assert coco_metrics(coco, found) == figures
    assert 0 < figures["AP"] < 1
    assert calibrate(coco, found) == calibrate(good, found)


@pytest.mark.parametrize("name", EQUAL)
def test_equal_forms_are_prepared_as_the_good_one(name, good, tmp_path):
    file = FOLDER / f"{name}.json"
    prepare(file, FOLDER / "images", tmp_path / "records", ANIMAL, 2)
    coco = read_tfrecords(tmp_path / "records", ANIMAL)
    assert coco.ground_truth["annotations"] == good.ground_truth["annotations"]
    for one, other in zip(coco.records, good.records, strict=True):
        np.testing.assert_array_equal(one.keypoints, other.keypoints)
        np.testing.assert_array_equal(one.area, other.area)


@pytest.mark.parametrize(
    "name, level, line",
    [
        ("image_ids_text", "WARNING", "read as numbers: 12 x image id"),
        ("iscrowd_text", "WARNING", "read as numbers: 22 x iscrowd"),
        ("bbox_text", "WARNING", "read as numbers: 22 x bbox"),
        ("one_file_two_ids", "WARNING", "4 images listed more than once, merged by"),
        (
            "three_species_one_skeleton",
            "INFO",
            "3 categories with the same keypoints are read as one class: "
            "horse, zebra, cow; data.categories",
        ),
    ],
)
def test_what_is_read_otherwise_is_said_in_one_line(caplog, name, level, line):
    caplog.set_level(logging.INFO)
    read(name)
    (message,) = said(caplog, level)
    assert line in message and f"{name}.json" in message


def test_categories_can_be_chosen(good):
    coco = read("three_species_one_skeleton", categories=["zebra"])
    content = json.loads((FOLDER / "three_species_one_skeleton.json").read_text())
    zebras = [a for a in content["annotations"] if a["category_id"] == 2]
    assert len(coco.ground_truth["annotations"]) == len(zebras) < 22
    assert coco.category_id == 2


def test_limbs_from_0_are_those_from_1(caplog):
    with pytest.warns(UserWarning, match="no sigmas"):
        skeleton = Skeleton.load(FOLDER / "limbs_from_0.json")
    assert skeleton.limb_indices == ((0, 1), (0, 2), (1, 3))
    assert "counted from 0" in said(caplog, "WARNING")[0]


def test_coordinates_from_0_to_1_are_refused():
    with pytest.raises(ValueError) as error:
        read("coordinates_0_to_1")
    text = str(error.value)
    assert "shares of the picture" in text and "multiply x by the image's" in text
    assert "22 of 22 people" in text and "\n" not in text


def test_one_keypoint_without_area_and_box(caplog):
    coco = read("one_keypoint_area_0", NOSE)
    coco.check_learnable(1024.0)
    (line,) = said(caplog, "WARNING")
    assert "22 people without a positive area; used instead: the square of a" in line
    assert "data.person_size" in line
    areas = np.concatenate([record.area for record in coco.records])
    np.testing.assert_array_equal(areas, np.full(22, 64.0**2))
    truth = coco.ground_truth["annotations"]
    np.testing.assert_array_equal([person["area"] for person in truth], areas)
    assert 0 < coco_metrics(coco, detections(coco))["AP"] < 1
    _, facts = next(iter(train(coco, batch_size=4, input_size=128)))
    assert (facts["area"].numpy() > 0).sum() >= 4
    caplog.clear()
    set_by_hand = read("one_keypoint_area_0", NOSE, person_size=40.0, strict=True)
    assert not said(caplog, "WARNING")
    areas = np.concatenate([record.area for record in set_by_hand.records])
    np.testing.assert_array_equal(areas, np.full(22, 1600.0))


def test_one_keypoint_prepared_has_the_same_sizes(tmp_path):
    file, images = FOLDER / "one_keypoint_area_0.json", FOLDER / "images"
    prepare(file, images, tmp_path, NOSE, 1, person_size=40.0)
    coco = read_tfrecords(tmp_path, NOSE)
    truth = coco.ground_truth["annotations"]
    assert {person["area"] for person in truth} == {1600.0}
    assert {float(a) for record in coco.records for a in record.area} == {1600.0}
    with pytest.raises(ValueError, match="person_size 40.0, expected 30.0; prepare"):
        read_tfrecords(tmp_path, NOSE, person_size=30.0)


def test_everyone_below_min_area_is_nothing_to_learn_from():
    coco = read("everyone_below_min_area")
    with pytest.raises(ValueError) as error:
        coco.check_learnable(1024.0)
    text = str(error.value)
    areas = np.concatenate([record.area for record in coco.records])
    assert "all 22 people" in text and "data.min_area=1024" in text
    assert f"{areas.min():.4g} to {areas.max():.4g} px^2" in text
    assert "\n" not in text
    coco.check_learnable(areas.max())
