import logging

import numpy as np
import pytest

from qepose_tf.data.coco.dataset import read_coco
from qepose_tf.data.coco.ignore_regions import rasterise
from qepose_tf.skeleton import COCO, CROWDPOSE
from tests.data.coco_files import (
    CATEGORY,
    KEYPOINTS,
    SKELETON,
    image,
    person,
    write_images,
    write_json,
)


def read(folder, images, annotations, **options):
    path = write_json(folder, images, annotations)
    options.setdefault("require_images", False)
    return read_coco(path, folder, SKELETON, **options)


def warnings_of(caplog):
    return [record.getMessage() for record in caplog.records]


def expect_problem(folder, caplog, images, annotations, pattern, **options):
    """A warning with its count; the same as an error when strict."""
    with caplog.at_level(logging.WARNING):
        coco = read(folder, images, annotations, **options)
    assert len(warnings_of(caplog)) == 1, warnings_of(caplog)
    assert pattern in warnings_of(caplog)[0]
    assert "people.json" in warnings_of(caplog)[0]
    with pytest.raises(ValueError) as error:
        read(folder, images, annotations, strict=True, **options)
    assert pattern in str(error.value)
    assert "\n" not in str(error.value)
    return coco


def test_people_and_regions_are_told_apart(tmp_path, caplog):
    coco = read(
        tmp_path,
        [image(7), image(3), image(5)],
        [
            person(1, 3, area=4000.0),
            person(2, 7, iscrowd=1),
            person(3, 7, keypoints=[0] * 9),
            person(4, 7, area=3000.0),
            person(5, 3, category_id=9),
            person(6, 3, area=2000.0),
        ],
    )
    assert not caplog.records
    assert [record.image_id for record in coco.records] == [7, 3, 5]
    assert [len(record.area) for record in coco.records] == [1, 2, 0]
    assert [len(record.ignore) for record in coco.records] == [2, 0, 0]
    record = coco.records[1]
    assert record.file == tmp_path / "3.png"
    assert (record.width, record.height) == (100, 80)
    np.testing.assert_array_equal(record.area, [4000, 2000])
    np.testing.assert_array_equal(record.keypoints[0].ravel(), KEYPOINTS)
    np.testing.assert_array_equal(record.boxes[0], [10, 20, 60, 50])
    assert record.keypoints.dtype == record.area.dtype == np.float32
    assert coco.records[2].keypoints.shape == (0, 3, 3)
    assert (coco.category_id, coco.skeleton) == (1, SKELETON)


def test_image_listed_twice_keeps_all_annotations(tmp_path, caplog):
    again = image(2, file_name="1.png")
    coco = expect_problem(
        tmp_path,
        caplog,
        [image(1), image(1), again],
        [person(1, 1), person(2, 2), person(3, 1)],
        "2 images listed more than once, merged by file",
    )
    assert len(coco.records) == 1
    assert len(coco.records[0].area) == 3


def test_annotation_of_an_unknown_image(tmp_path, caplog):
    coco = expect_problem(
        tmp_path,
        caplog,
        [image(1)],
        [person(1, 1), person(2, 99), person(3, None), person(4, [1])],
        "3 annotations of images that are not listed",
    )
    assert len(coco.records[0].area) == 1


@pytest.mark.parametrize(
    "keypoints", [KEYPOINTS[:-1], KEYPOINTS + [1], None, [], [[20, 30, 2]] * 2]
)
def test_keypoints_of_the_wrong_form_make_an_ignored_person(
    tmp_path, caplog, keypoints
):
    coco = expect_problem(
        tmp_path,
        caplog,
        [image(1)],
        [person(1), person(2, keypoints=keypoints), person(3)],
        "1 annotations whose keypoints are not 9 numbers",
    )
    assert len(coco.records[0].area) == 2
    assert coco.records[0].ignore == ([[10, 20, 70, 20, 70, 70, 10, 70]],)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_keypoints_that_are_no_numbers_are_unlabelled(tmp_path, caplog, bad, axis):
    keypoints = list(KEYPOINTS)
    keypoints[3 + axis] = bad
    coco = read(tmp_path, [image(1)], [person(keypoints=keypoints)])
    if axis == 2 and bad < 0:  # less than unlabelled
        assert not caplog.records
    else:
        assert "1 keypoints that are NaN or infinite" in warnings_of(caplog)[0]
    expected = [20, 30, 2] + [0] * 6
    np.testing.assert_array_equal(coco.records[0].keypoints.ravel(), expected)


@pytest.mark.parametrize("x, y", [(-1, 50), (40, -0.5), (101, 50), (40, 500)])
def test_keypoints_outside_are_unlabelled(tmp_path, caplog, x, y):
    keypoints = [20, 30, 2, x, y, 1, 0, 0, 0]
    coco = expect_problem(
        tmp_path,
        caplog,
        [image(1)],
        [person(keypoints=keypoints)],
        "1 keypoints outside their image",
    )
    expected = [20, 30, 2] + [0] * 6
    np.testing.assert_array_equal(coco.records[0].keypoints.ravel(), expected)


def test_person_with_only_impossible_keypoints_is_ignored(tmp_path, caplog):
    coco = read(tmp_path, [image(1)], [person(keypoints=[-9, 9, 2] * 3), person(2)])
    assert "3 keypoints outside" in warnings_of(caplog)[0]
    assert len(coco.records[0].area) == len(coco.records[0].ignore) == 1


@pytest.mark.parametrize("area", [0, -5, float("nan"), float("inf"), None])
@pytest.mark.parametrize(
    "bbox, expected",
    [([10, 20, 60, 50], 0.53 * 3000), ([1, 2, 0, 0], 21 * 21), (None, 21 * 21)],
)
def test_area_that_is_not_positive(tmp_path, caplog, area, bbox, expected):
    coco = expect_problem(
        tmp_path,
        caplog,
        [image(1)],
        [person(area=area, bbox=bbox)],
        "1 people without a positive area",
    )
    np.testing.assert_array_equal(coco.records[0].area, [expected])


def test_missing_image_file(tmp_path, caplog):
    images = [image(1), image(2), image(3)]
    write_images(tmp_path, images[:1])
    coco = expect_problem(
        tmp_path,
        caplog,
        images,
        [person(1, 1), person(2, 2)],
        f"2 images without a file; left out (first: {tmp_path / '2.png'})",
        require_images=True,
    )
    assert [record.image_id for record in coco.records] == [1]


def test_no_image_file_at_all(tmp_path):
    with pytest.raises(ValueError, match=r"none of the 2 images is in .*1\.png"):
        read(tmp_path, [image(1), image(2)], [person()], require_images=True)


@pytest.mark.parametrize(
    "broken",
    [
        {"width": 0},
        {"height": None},
        {"width": "wide"},
        {"file_name": ""},
        {"id": None},
    ],
)
def test_image_without_size_name_or_number(tmp_path, caplog, broken):
    coco = expect_problem(
        tmp_path,
        caplog,
        [image(1), image(2) | broken],
        [person(1)],
        "1 images without a whole number as id, a file_name and a positive size",
    )
    assert len(coco.records) == 1


def test_no_person_is_a_warning_and_the_images_stay(tmp_path, caplog):
    coco = expect_problem(
        tmp_path, caplog, [image(1)], [person(iscrowd=1)], "without any person"
    )
    assert len(coco.records) == 1


def test_category_with_another_number_of_keypoints(tmp_path):
    path = write_json(tmp_path, [image(1)], [person()])
    with pytest.raises(ValueError, match="'person' has 3 keypoints.*'coco' has 17"):
        read_coco(path, tmp_path, COCO, require_images=False)
    with pytest.raises(ValueError, match="'person' has 3 .*'crowdpose' has 14"):
        read_coco(path, tmp_path, CROWDPOSE, require_images=False)


def test_category_is_chosen_by_name_or_by_having_keypoints(tmp_path):
    dog = {**CATEGORY, "id": 2, "name": "dog"}
    car = {"id": 3, "name": "car"}
    path = write_json(tmp_path, [image(1)], [person(1), person(2, category_id=2)])
    assert read_coco(path, tmp_path, SKELETON, require_images=False).category_id == 1
    path = write_json(tmp_path, [image(1)], [person(category_id=2)], (CATEGORY, dog))
    coco = read_coco(path, tmp_path, SKELETON, categories=["dog"], require_images=False)
    assert (coco.category_id, len(coco.records[0].area)) == (2, 1)
    with pytest.raises(ValueError, match=r"category_id: expected 1, .*got only 2 in 1"):
        read_coco(path, tmp_path, SKELETON, categories=["person"], require_images=False)
    path = write_json(tmp_path, [image(1)], [person()], (CATEGORY, car))
    assert read_coco(path, tmp_path, SKELETON, require_images=False).category_id == 1
    with pytest.raises(ValueError, match="data.categories: no category 'cat'"):
        read_coco(path, tmp_path, SKELETON, categories=["cat"], require_images=False)


def test_other_keypoint_names_are_warned_about(tmp_path, caplog):
    renamed = {**CATEGORY, "keypoints": ["nose", "right_eye", "left_eye"]}
    path = write_json(tmp_path, [image(1)], [person()], (renamed,))
    read_coco(path, tmp_path, SKELETON, require_images=False)
    assert "'right_eye' where 'left_eye' is expected" in warnings_of(caplog)[0]


def test_missing_annotation_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="gone.json: no such annotation file"):
        read_coco(tmp_path / "gone.json", tmp_path, SKELETON)
    with pytest.raises(OSError, match="cannot read annotations"):
        read_coco(tmp_path, tmp_path, SKELETON)


@pytest.mark.parametrize(
    "content, reason",
    [
        ("", "expected a COCO JSON file"),
        ('{"images": [', "expected a COCO JSON file"),
        ("[" * 100_000, "expected a COCO JSON file"),
        ("[1, 2]", "a JSON object, got a list"),
        ("{}", "a list 'images'"),
        ('{"images": [], "annotations": {}}', "a list 'annotations'"),
        ('{"images": [], "annotations": []}', "a list 'categories'"),
        (
            '{"images": [3], "annotations": [], "categories": []}',
            "images: expected JSON objects",
        ),
    ],
)
def test_json_that_is_not_coco(tmp_path, content, reason):
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(ValueError) as error:
        read_coco(path, tmp_path, SKELETON)
    assert "other.json" in str(error.value) and reason in str(error.value)
    assert "\n" not in str(error.value)


def test_binary_file_is_not_coco(tmp_path):
    path = tmp_path / "model.json"
    path.write_bytes(b"\x89PNG\xff\xfe\x00")
    with pytest.raises(ValueError, match="model.json: expected a COCO JSON file"):
        read_coco(path, tmp_path, SKELETON)


def test_limit_keeps_the_first_images_quietly(tmp_path, caplog):
    images = [image(number) for number in (4, 2, 9)]
    people = [person(number, number) for number in (2, 4, 9)]
    coco = read(tmp_path, images, people, limit=2)
    assert [record.image_id for record in coco.records] == [4, 2]
    assert not caplog.records


def test_images_without_a_labelled_person_are_left_out_if_asked(tmp_path, caplog):
    """Before the limit: it counts the images that remain."""
    images = [image(number) for number in (1, 2, 3, 4, 5, 6)]
    annotations = [
        person(1, 2, keypoints=[0] * 9),
        person(2, 3),
        person(3, 3, keypoints=[0] * 9),
        person(4, 4, iscrowd=1),
        person(5, 5),
        person(6, 6, category_id=9),
    ]
    coco = read(tmp_path, images, annotations, only_labelled=True)
    assert [record.image_id for record in coco.records] == [3, 5]
    assert not caplog.records
    coco = read(tmp_path, images, annotations, only_labelled=True, limit=1)
    assert [record.image_id for record in coco.records] == [3]
    assert len(read(tmp_path, images, annotations).records) == 6


def test_sixty_people(tmp_path):
    coco = read(tmp_path, [image(1)], [person(number) for number in range(60)])
    assert coco.records[0].keypoints.shape == (60, 3, 3)


@pytest.mark.parametrize(
    "segmentation",
    [
        {"size": [10, 10], "counts": [100]},
        {"size": [80, 100], "counts": [7]},
        {"size": [80, 100]},
        [[1, 2, 3]],
        [[1, 2, 3, 4, float("nan"), 6]],
        "outline",
    ],
)
def test_unusable_segmentation_falls_back_to_the_box(tmp_path, caplog, segmentation):
    coco = expect_problem(
        tmp_path,
        caplog,
        [image(1)],
        [person(1), person(2, iscrowd=1, segmentation=segmentation)],
        "1 segmentations that fit neither their image nor COCO's forms",
    )
    mask = rasterise(list(coco.records[0].ignore), (80, 100), (80, 100))
    assert mask.sum() == 60 * 50
    assert mask[20:70, 10:70].all()
