"""What figures are measured against: the reader's people, ignored ones and ids."""

import json
import logging

import numpy as np
import pytest

from qepose_tf.data.batches.mixture import mixture
from qepose_tf.data.coco.dataset import read_coco
from tests.data.coco_files import CAR, CATEGORY, KEYPOINTS, SKELETON, image, person


def read(images, annotations, categories=(CATEGORY, CAR), **options):
    content = {"images": images, "annotations": annotations}
    content = json.dumps({**content, "categories": list(categories)}).encode()
    options = {"require_images": False, "content": content} | options
    return read_coco("people.json", ".", SKELETON, **options)


def test_people_and_ignored_ones_in_pycocotools_form():
    crowd = {"iscrowd": 1, "keypoints": [0] * 9, "bbox": [1, 2, 3, 4], "area": 12}
    coco = read(
        [image(7, crowdIndex=0.5), image(3)],
        [
            person(9, 7, area=900.1, keypoints=KEYPOINTS),
            person(0, 3, **crowd),
            person(2, 3, category_id=9),
        ],
    )
    truth = coco.ground_truth
    assert truth["images"] == [image(7, crowdIndex=0.5), image(3)]
    assert truth["categories"] == [{"id": 1}]
    first, second = truth["annotations"]
    assert first == {
        "id": 1,
        "image_id": 7,
        "category_id": 1,
        "keypoints": KEYPOINTS,
        "num_keypoints": 2,
        "bbox": [10, 20, 60, 50],
        "area": 900.1,
        "iscrowd": 0,
    }
    assert (second["num_keypoints"], second["iscrowd"]) == (0, 1)
    assert (second["bbox"], second["area"], second["id"]) == ([1, 2, 3, 4], 12, 2)
    assert coco.ground_truth is truth


def test_keypoints_outside_stay_for_the_figures_and_make_no_person():
    outside = [20, 30, 2, 101, 50, 2, 0, 0, 0]
    coco = read(
        [image()], [person(1, keypoints=outside), person(2, keypoints=[-5] * 9)]
    )
    first, second = coco.ground_truth["annotations"]
    assert first["keypoints"] == outside
    assert first["num_keypoints"] == 1
    assert (second["keypoints"], second["num_keypoints"]) == ([0] * 9, 0)
    (record,) = coco.records
    np.testing.assert_array_equal(record.keypoints[:, :, 2], [[2, 0, 0]])


def test_people_of_whom_no_keypoint_counts_are_learned_and_not_scored(caplog):
    coco = read([image()], [person(1, num_keypoints=0), person(2)], strict=True)
    (record,) = coco.records
    assert (len(record.area), len(record.ignore)) == (2, 0)
    counts = [a["num_keypoints"] for a in coco.ground_truth["annotations"]]
    assert counts == [0, 2]
    (said,) = caplog.records
    assert said.getMessage() == (
        "people.json: 1 people with num_keypoints 0 although keypoints are labelled; "
        "they are learned, and ignored in figures as by pycocotools "
        "(first: annotation 1)"
    )


def test_only_labelled_says_everything_once(caplog):
    caplog.set_level(logging.INFO)
    without = [person(1), person(2, num_keypoints=0), person(3, 2, keypoints=[0] * 9)]
    for annotation in without:
        del annotation["area"]
    coco = read([image(1), image(2)], without, only_labelled=True)
    assert [record.image_id for record in coco.records] == [1]
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2 and all(m.startswith("people.json: ") for m in messages)


def test_a_region_without_a_box_is_ignored_by_its_outline():
    outline = [[10, 20, 70, 20, 70, 60], [5, 30, 9, 30, 9, 40]]
    nobody = {"keypoints": [0] * 9, "bbox": None}
    coco = read(
        [image()], [person(1, **nobody, segmentation=outline), person(2, **nobody)]
    )
    (only,) = coco.ground_truth["annotations"]  # the second covers nothing
    np.testing.assert_allclose(only["bbox"], [5, 20, 65, 40], atol=1)
    assert len(coco.records[0].ignore) == 1


def test_whole_numbers_may_be_text_or_floats():
    plain = read([image(1), image(2)], [person(1, 1), person(2, 2, iscrowd=1)])
    odd = read(
        [image("1", "100", 80.0, file_name="1.png"), image(2.0, file_name="2.png")],
        [
            person("1", 1.0, category_id="1", area="5000"),
            person(2, "2", iscrowd=True, num_keypoints="2", category_id=1.0),
        ],
        ({**CATEGORY, "id": "1"},),
    )
    assert odd.ground_truth == plain.ground_truth
    for one, other in zip(odd.records, plain.records, strict=True):
        assert (one.image_id, one.width, one.height) == (
            *(other.image_id, other.width, other.height),
        )
        assert type(one.image_id) is type(one.width) is int
        np.testing.assert_array_equal(one.area, other.area)


@pytest.mark.parametrize("field", ["category_id", "iscrowd", "num_keypoints"])
@pytest.mark.parametrize("value", ["people", 0.5, [1], "two\nlines"])
def test_what_decides_who_is_a_person_must_be_a_number(field, value):
    with pytest.raises(ValueError) as error:
        read([image()], [person(1), person(42, **{field: value})])
    assert str(error.value) == (
        f"people.json: annotation 42: {field}: expected a whole number, got {value!r}"
    )


def test_a_number_too_long_for_python_names_the_file():
    content = b'{"images": [' + b"9" * 5000 + b"]}"
    with pytest.raises(ValueError, match="people.json: expected a COCO JSON file"):
        read([], [], content=content)


@pytest.mark.parametrize("only_labelled", [False, True])
def test_a_crowd_index_too_large_for_a_float_names_the_image(only_labelled):
    with pytest.raises(ValueError, match="^people.json: image 1: expected a crowdInd"):
        read([image(crowdIndex=10**400)], [person()], only_labelled=only_labelled)


def test_annotations_of_one_id_are_one_only_if_they_are_equal(caplog):
    crowds = [person(n, iscrowd=1) for n in (1, 1, None, None)]
    moved = person(1, iscrowd=1, bbox=[1, 2, 3, 4])
    coco = read([image()], [*crowds, moved])
    assert len(coco.records[0].ignore) == len(coco.ground_truth["annotations"]) == 4
    assert "1 annotations listed more than once" in caplog.text


@pytest.mark.parametrize(
    "area, expected", [(1e11, 0.53 * 3000), (1e-60, 0.53 * 3000), (1e10, 1e10)]
)
def test_areas_that_no_figure_counts_are_estimated(area, expected):
    coco = read([image()], [person(area=area)])
    np.testing.assert_allclose(coco.records[0].area, [expected], rtol=1e-6)
    assert coco.ground_truth["annotations"][0]["area"] == pytest.approx(expected)


def test_no_image_is_an_error():
    with pytest.raises(ValueError, match="expected an image that can be used, got no"):
        read([image(width=0)], [person()])
    with pytest.raises(ValueError, match="an image with a labelled person, got none"):
        read([image()], [person(iscrowd=1)], only_labelled=True)


def test_a_mixture_has_no_ground_truth():
    one = read([image()], [person()])
    with pytest.raises(ValueError, match=r"people.json: expected one data set"):
        _ = mixture([one, one]).ground_truth
