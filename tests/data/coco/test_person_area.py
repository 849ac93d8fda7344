"""How large somebody is of whom the annotation does not say it."""

import json

import numpy as np
import pytest

from qepose_tf.data.coco.dataset import read_coco
from tests.data.coco_files import CATEGORY, SKELETON, image, person


def read(images, annotations, **options):
    content = {"images": images, "annotations": annotations, "categories": [CATEGORY]}
    options |= {"content": json.dumps(content).encode(), "require_images": False}
    return read_coco("people.json", ".", SKELETON, **options)


def sizes(people, **options):
    """The square roots of the areas."""
    coco = read([image(), image(2, 400, 200)], people, **options)
    areas = np.concatenate([record.area for record in coco.records])
    np.testing.assert_allclose(
        areas, [a["area"] for a in coco.ground_truth["annotations"]], rtol=1e-6
    )
    return np.sqrt(areas)


POINT = {"keypoints": [30, 40, 2, *[0] * 6], "area": 0, "bbox": [30, 40, 0, 0]}


def point(number, image_id=1, **more):
    return person(number, image_id, **{**POINT, **more})


def test_a_single_point_is_as_large_as_the_median(caplog):
    people = [person(1, area=400), person(2, area=900), person(3, area=1600), point(4)]
    np.testing.assert_allclose(sizes(people), [20, 30, 40, 30], rtol=1e-6)
    (line,) = [record.getMessage() for record in caplog.records]
    assert "used instead: the median of the data set, 900 px^2 (1)" in line
    np.testing.assert_allclose(sizes(people, person_size=8.0)[3], 8)


def test_a_limit_changes_nobodys_size():
    people = [point(1), person(2, 2, area=900), person(3, 2, area=900)]
    np.testing.assert_allclose(sizes(people, limit=1), [30])


def test_where_nobody_has_a_size_the_picture_tells():
    np.testing.assert_allclose(
        sizes([point(1), point(2, 2, keypoints=[9, 9, 2] * 3)]), [20, 50]
    )


@pytest.mark.parametrize("size", [0, -1.0, float("nan"), float("inf")])
def test_a_size_must_be_positive(size):
    with pytest.raises(ValueError, match="person_size: expected a positive number"):
        sizes([point(1)], person_size=size)


def test_points_on_a_line_cover_something():
    line = [10, 40, 2, 39, 40, 2, *[0] * 3]  # 30 px, the narrow side is a third
    assert sizes([point(1, keypoints=line)])[0] == pytest.approx(np.sqrt(300))
    assert sizes([point(1, keypoints=line)], person_size=8.0)[0] == pytest.approx(8)
