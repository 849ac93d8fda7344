"""Forms that tools write, each as a kind: read as the plain form or refused."""

import json
import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qepose_tf.data.coco.dataset import read_coco
from tests.data.coco_files import (
    CATEGORY,
    KEYPOINTS,
    SKELETON,
    image,
    person,
)

SEEDED = settings(max_examples=60, derandomize=True, database=None, deadline=None)
PEOPLE = [
    person(1, 1, num_keypoints=2),
    person(2, 1, area=900.0),
    person(3, 2, iscrowd=1, keypoints=[0] * 9, segmentation=[[5, 5, 60, 5, 60, 40]]),
    person(4, 2, bbox=[1.5, 2.25, 30.0, 40.0]),
]
CROWD = {"iscrowd": 1, "segmentation": {"size": [80, 100], "counts": [3000, 5000]}}


def read(images, annotations, categories=(CATEGORY,), **options):
    content = {"images": images, "annotations": annotations}
    content = json.dumps({**content, "categories": list(categories)}).encode()
    options = {"require_images": False, "content": content} | options
    return read_coco("people.json", ".", SKELETON, **options)


def refused(*labels, **options):
    with pytest.raises(ValueError) as error:
        read(*labels, **options)
    text = str(error.value)
    assert text.startswith("people.json: ") and "\n" not in text
    return text


def written_by_a_tool(draw, value, whole):
    """The same number as an int, a float or text."""
    forms = [value, str(value), f" {value} "]
    if whole:
        forms += [float(value), f"{int(value)}.0", f"0{int(value)}"]
    return draw(st.sampled_from(forms))


@st.composite
def rewritten(draw):
    """Images, annotations and categories with every number in another form."""

    def number(value):
        whole = isinstance(value, int) or value.is_integer()
        return written_by_a_tool(draw, value, whole)

    def entry(values, fields):
        return {k: number(v) if k in fields else v for k, v in values.items()}

    images = [entry(image(n), ("id", "width", "height")) for n in (1, 2)]
    whole = ("id", "image_id", "category_id", "iscrowd", "num_keypoints", "area")
    annotations = []
    for values in PEOPLE:
        values = entry(values, whole)
        values["bbox"] = [number(side) for side in values["bbox"]]
        values["segmentation"] = [
            [number(n) for n in p] for p in values["segmentation"]
        ]
        keypoints = [number(n) for n in values["keypoints"]]
        if draw(st.booleans()):
            keypoints = [keypoints[i : i + 3] for i in (0, 3, 6)]
        annotations.append({**values, "keypoints": keypoints})
    return images, annotations, (entry(CATEGORY, ("id",)),)


@SEEDED
@given(rewritten())
def test_numbers_in_any_form_are_the_same_numbers(labels):
    plain, other = read([image(1), image(2)], PEOPLE), read(*labels)
    assert other.ground_truth["annotations"] == plain.ground_truth["annotations"]
    for one, two in zip(other.records, plain.records, strict=True):
        assert (one.image_id, one.width, one.height) == (two.image_id, 100, 80)
        for field in ("keypoints", "area", "boxes"):
            np.testing.assert_array_equal(getattr(one, field), getattr(two, field))
        assert one.ignore == two.ignore


NO_NUMBER = st.sampled_from(["", "big", "1,5", [], {}, [1], {"x": 1}, "two\nlines"])


@SEEDED
@given(
    st.sampled_from(["keypoints", "bbox", "area", "iscrowd", "num_keypoints"]),
    NO_NUMBER,
    st.integers(0, 3),
)
def test_what_is_no_number_names_annotation_and_field(field, value, place):
    values = person(42)[field] if field in ("keypoints", "bbox") else value
    if isinstance(values, list) and field in ("keypoints", "bbox"):
        values = [*values[:place], value, *values[place + 1 :]]
    text = refused([image()], [person(1), person(42, **{field: values})])
    assert f"annotation 42: {field}: expected " in text


@pytest.mark.parametrize("field", ["area", "bbox", "iscrowd", "num_keypoints"])
def test_null_is_a_field_that_is_not_there(field):
    without = person(1)
    without.pop(field, None)
    plain, null = read([image()], [without]), read([image()], [person(**{field: None})])
    np.testing.assert_array_equal(null.records[0].area, plain.records[0].area)
    truth = [coco.ground_truth["annotations"] for coco in (plain, null)]
    assert truth[0] == truth[1]


def test_a_null_coordinate_is_an_unlabelled_keypoint(caplog):
    keypoints = [*KEYPOINTS[:3], None, 50, 1, None, None, None]
    coco = read([image()], [person(keypoints=keypoints)])
    np.testing.assert_array_equal(coco.records[0].keypoints[0, :, 2], [2, 0, 0])
    assert "2 keypoints that are NaN or infinite" in caplog.text


def test_no_annotation_of_the_right_length_is_an_error():
    wrong = [person(n, keypoints=[20, 30, 40, 50, 60, 70]) for n in (1, 2)]
    text = refused([image()], wrong)
    assert "annotation 1: keypoints: expected 9 numbers (x, y, v of 3" in text
    assert "got 6" in text


@pytest.mark.parametrize("value", [0, "0", False, 0.0])
def test_partly_labelled_images_in_any_form(value):
    coco = read([image(all_people_labelled=value)], [person()])
    assert not coco.records[0].everyone_labelled
    assert (
        read([image(all_people_labelled=None)], [person()]).records[0].everyone_labelled
    )
    assert "image 1: all_people_labelled: expected 0 or 1, got 'no'" in refused(
        [image(all_people_labelled="no")], [person()]
    )


@pytest.mark.parametrize(
    "segmentation",
    [
        {"size": ["80", 100.0], "counts": ["3000", 5000.0]},
        {"size": [80.0, 100.0], "counts": [3000, 5000]},
    ],
)
def test_regions_in_any_form(segmentation):
    crowd = CROWD | {"segmentation": segmentation}
    plain, other = (read([image()], [person(**form)]) for form in (CROWD, crowd))
    assert other.records[0].ignore == plain.records[0].ignore
    assert other.ground_truth == plain.ground_truth


@pytest.mark.parametrize("counts", ["person", "\x00", "é", "_" * 9, "000", "o" * 20])
def test_a_broken_run_length_code_is_no_region(caplog, counts):
    crowd = CROWD | {"segmentation": {"size": [80, 100], "counts": counts}}
    coco = read([image()], [person(**crowd)])
    assert "1 segmentations that fit neither" in caplog.text
    assert coco.records[0].ignore == ([[10, 20, 70, 20, 70, 70, 10, 70]],)


@SEEDED
@given(st.binary(min_size=4000, max_size=4000), st.integers(0, 3999))
def test_run_length_codes_of_pycocotools_are_regions(bits, start):
    from pycocotools import mask as coco_mask

    mask = np.unpackbits(np.frombuffer(bits[:1000], np.uint8)).reshape(80, 100)
    mask[: start % 80] = 0
    code = coco_mask.encode(np.asfortranarray(mask))["counts"].decode()
    crowd = CROWD | {"segmentation": {"size": [80, 100], "counts": code}}
    (region,) = read([image()], [person(**crowd)]).records[0].ignore
    assert region["counts"] == code


def test_text_ids_of_images_are_numbered(caplog):
    images = [image("cat.png"), image("dog.png")]
    people = [person(1, "dog.png"), person(2, "cat.png"), person(3, "dog.png")]
    coco = read(images, people)
    assert [len(record.area) for record in coco.records] == [1, 2]
    assert [record.image_id for record in coco.records] == [1, 2]
    assert "2 images have an id that is no whole number" in caplog.text
    assert "numbered from 1" in caplog.text


def test_ids_that_cannot_be_matched_are_an_error():
    text = refused([image(1), image(2)], [person(1, "a"), person(2, "b")])
    assert "annotation 1: image_id: no image has the id 'a'" in text
    assert "none of the 2 annotations" in text and "ids are 1, 2" in text
    # A number that was given to an image is that of no annotation by chance.
    assert "no image has the id 1" in refused([image("one")], [person(1, 1)])


def test_two_files_of_one_id_are_an_error():
    text = refused([image(1), image(1, file_name="other.png")], [person()])
    assert "image id 1 is that of two files, 1.png and other.png" in text


def test_a_category_of_another_id_is_an_error():
    text = refused([image()], [person(1, category_id=3), person(2, category_id=7)])
    assert "category_id: expected 1, the id of the category that is read" in text
    assert "got only 3, 7 in 2 annotations" in text


def test_a_few_annotations_of_no_category_are_left_out(caplog):
    coco = read([image()], [person(1), person(2, category_id=7)])
    assert len(coco.records[0].area) == 1
    assert "1 annotations of a category_id that is not listed" in caplog.text


def test_a_category_without_names_takes_those_of_the_skeleton(caplog):
    coco = read([image()], [person()], ({"id": 1, "name": "dog"},))
    assert coco.skeleton == SKELETON and len(coco.records[0].area) == 1
    assert "category 'dog' names no keypoints; they are taken to be" in caplog.text
    with pytest.raises(ValueError, match="'dog': keypoints: expected a list of names"):
        content = {"images": [], "annotations": [], "categories": [{"name": "dog"}]}
        read_coco("people.json", ".", content=json.dumps(content).encode())


def test_different_keypoints_name_the_setting():
    other = {"id": 2, "name": "bird", "keypoints": ["beak", "tail", "wing"]}
    text = refused([image()], [person()], (CATEGORY, other))
    assert "'person' and 'bird' have different keypoints" in text
    assert "data.categories=[person]" in text
    both = [person(1), person(2, category_id=2)]
    content = {"images": [image()], "annotations": both}
    content = json.dumps({**content, "categories": [CATEGORY, other]}).encode()
    options = {"content": content, "require_images": False, "categories": ["bird"]}
    coco = read_coco("people.json", ".", SKELETON, **options)
    assert (coco.category_id, len(coco.records[0].area)) == (2, 1)


@SEEDED
@given(st.lists(st.sampled_from([1, 2, 3]), min_size=1, max_size=9))
def test_one_file_under_any_ids_is_one_image(ids):
    """However often a file is listed, nobody is missing from it or there twice."""
    again = [image(n, file_name=("./" if n == 2 else "") + "a.png") for n in (1, 2, 3)]
    people = [person(row, number) for row, number in enumerate(ids)]
    for number in (1, 2, 3):  # the first one once more with each copy
        people.append(person(0, number) | {"id": 100 + number})
    coco = read(again, people)
    (record,) = coco.records
    assert len(record.area) == len(coco.ground_truth["annotations"]) == len(ids)
    assert len({row.tobytes() for row in record.keypoints}) == len(ids)


def test_equal_people_count_once_and_it_is_said(caplog):
    twice = [person(1), person(1) | {"id": 2}, person(3), person(1, 2)]
    unlabelled = person(1, keypoints=[*KEYPOINTS[:6], 7, 7, 0]) | {"id": 9}
    coco = read([image(1), image(2)], [*twice, unlabelled])
    assert [len(record.area) for record in coco.records] == [2, 1]
    (line,) = [record.getMessage() for record in caplog.records]
    assert "2 people whose keypoints are those of another one in their image" in line
    assert "first: annotation 2" in line


@SEEDED
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=3))
def test_shares_of_the_picture_are_refused(points):
    whole = all(float(x).is_integer() and float(y).is_integer() for x, y in points)
    keypoints = [n for x, y in points for n in (x, y, 2)] + [0] * (9 - 3 * len(points))
    labels = [image()], [person(1), person(2, keypoints=keypoints)]
    if whole:
        assert len(read(*labels).records[0].area) == 2
    else:
        text = refused(*labels)
        assert "annotation 2: keypoints: the coordinates of 1 of 2 people" in text


def test_one_keypoint_in_the_first_pixel_is_possible():
    corner = [0.5, 0.5, 2, *[0] * 6]
    assert len(read([image()], [person(1), person(2, keypoints=corner)]).records) == 1
    assert "2 of 2 people lie between 0 and 1" in refused(
        [image()],
        [person(1, keypoints=corner), person(2, 1, keypoints=[0.1, *corner[1:]])],
    )


def test_nobody_to_learn_from_is_an_error(caplog):
    nobody = read([image()], [person(keypoints=[0] * 9)])
    with pytest.raises(
        ValueError, match="people.json: nothing to learn from: expected"
    ):
        nobody.check_learnable()
    read([image()], [person(area=1023), person(2, area=1024)]).check_learnable(1024.0)
    with pytest.raises(ValueError, match="areas are 3 to 1023 px.*median 513"):
        read([image()], [person(area=3), person(2, area=1023)]).check_learnable(1024.0)


def test_everything_is_said_once(caplog):
    """With `only_labelled` the annotations are looked at twice."""
    caplog.set_level(logging.INFO)
    odd = [
        person(1, area=0, bbox=None),
        person(2, iscrowd="0"),
        person(3) | {"keypoints": [1, 2]},
    ]
    read([image("1")], [*odd, person(2) | {"id": 7}], only_labelled=True)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == len(set(lines)) == 4, lines
