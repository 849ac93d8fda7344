"""Annotation files with mistakes: refused in one line, or the same people for all."""

import copy
import json
import logging
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qepose_tf.data.coco.dataset import read_coco
from qepose_tf.data.coco.ignore_regions import rasterise
from qepose_tf.evaluation.calibration import calibrate
from qepose_tf.evaluation.evaluate import coco_metrics
from tests.data.coco_files import CATEGORY, KEYPOINTS, SKELETON, image, person

# `QEPOSE_MUTATIONS=5000 pytest THIS_FILE` looks further than continuous integration.
EXAMPLES = int(os.environ.get("QEPOSE_MUTATIONS", 200))
CROWD = {"iscrowd": 1, "segmentation": {"size": [80, 100], "counts": [3000, 5000]}}
OUTLINE = [[10, 20, 70, 20, 70, 70]]
LABELS = {
    "images": [image(1), image(2, crowdIndex=0.5), image(3)],
    "annotations": [
        person(1, 1, num_keypoints=2),
        person(2, 1, keypoints=[60, 30, 2, 90, 70, 1, 99, 79, 2]),
        person(3, 2, area=900.0),
        person(4, 2, **CROWD),
        person(5, 3, keypoints=[0] * 9, segmentation=OUTLINE),
        person(6, 3, num_keypoints=0),
    ],
    "categories": [CATEGORY, {"id": 2, "name": "car"}],
}
VALUES = st.sampled_from(
    [None, True, False, 0, 1, 2, -1, -7, 3.0, 0.5, -5000.0, 1e-320, 1e-40, 1e12, 1e38]
    + [1e308, -1e308, float("nan"), float("inf"), 10**9, 2**63, -(2**70), 10**400]
    + ["", "1", "2.0", "-3", "nan", "1e400", "person", "two\nlines", "\x00", "9" * 30]
    + [[], {}, [1], [None], {"id": 1}, [[1, 2, 3]], [[[]]], KEYPOINTS, OUTLINE]
    + [[10, 20, 60, 50], [1e7] * 4, [1e200] * 4, [5, 5, -9, -9], ["1"] * 9, [[1]] * 9]
    + [[0] * 9, [1e308, 1e308, 2] * 3, [-1, 5, 2] * 3, [1, 2, 1e-60] * 3, [1, 2] * 9]
    + [{"size": 5, "counts": [8000]}, {"size": [80.0, 100.0], "counts": [8000]}]
    + [{"size": [80, 100], "counts": ["8000"]}, [["1", "2"] * 4], [[1e300, 0] * 4]]
)


def in_text(value):
    return json.dumps(value)


def nested(value):
    return [value]


def as_float(value):
    return float(value) if isinstance(value, int) and abs(value) < 2**60 else value


def negative(value):
    return -value if isinstance(value, int | float) else value


def as_shares(value):
    """Coordinates as YOLO counts them."""
    numbers = isinstance(value, list) and all(isinstance(n, int | float) for n in value)
    return [number / 100 for number in value] if numbers else value


def in_threes(value):
    return [value[i : i + 3] for i in range(0, 9, 3)] if isinstance(value, list) else []


def all_in_text(value):
    return [str(v) for v in value] if isinstance(value, list) else str(value)


CHANGES = (
    st.sampled_from([in_text, nested, as_float, negative, as_shares])
    | st.sampled_from([in_threes, all_in_text])
    | VALUES
)
FIELDS = {
    "images": ("id", "file_name", "width", "height", "crowdIndex"),
    "annotations": ("id", "image_id", "category_id", "keypoints", "area", "bbox")
    + ("iscrowd", "num_keypoints", "segmentation"),
    "categories": ("id", "name", "keypoints", "skeleton"),
}
PARTS = st.sampled_from(["annotations"] * 6 + ["images"] * 2 + ["categories"])


@st.composite
def mutated(draw):
    """The labels with some mistakes."""
    labels = copy.deepcopy(LABELS)
    for _ in range(draw(st.integers(1, 6))):
        part = draw(PARTS)
        entries = labels[part]
        kind = draw(
            st.sampled_from(
                ["set"] * 8 + ["inside", "inside", "drop", "twice", "all", "renumber"]
            )
        )
        if not entries:
            continue
        number = draw(st.integers(0, len(entries) - 1))
        entry, field = entries[number], draw(st.sampled_from(FIELDS[part]))
        change = draw(CHANGES)
        if kind == "twice":
            entries.append(copy.deepcopy(entry))
        elif kind == "renumber":  # the same once more, under another id
            entries.append(copy.deepcopy(entry) | {"id": draw(st.integers(1, 9))})
        elif kind == "all":
            for each in entries:
                each[field] = changed(each.get(field), change)
        elif kind == "drop":
            entry.pop(field, None)
        elif kind == "inside" and isinstance(entry.get(field), list) and entry[field]:
            place = draw(st.integers(0, len(entry[field]) - 1))
            entry[field] = [*entry[field]]
            entry[field][place] = changed(entry[field][place], change)
        else:
            entry[field] = changed(entry.get(field), change)
    return labels


def changed(value, change):
    return change(value) if callable(change) else change


def people_of(truth):
    """(area, box, keypoints) of those that count, by image, in the file's order."""
    people = {entry["id"]: [] for entry in truth["images"]}
    for found in truth["annotations"]:
        if found["num_keypoints"] and not found["iscrowd"]:
            row = [found["area"], *found["bbox"], *found["keypoints"]]
            people[found["image_id"]].append(row)
    return people


def scored_rows(coco, image_row):
    """Which people of a record the file does not declare to have no keypoints."""
    found = coco.labels[1]
    return found.scored[(found.image == image_row) & found.person]


def poses_of(coco):
    """A pose on each person and a stray in each image."""
    poses = []
    for record in coco.records:
        stray = np.full((1, 3, 3), 5.0)
        for row, pose in enumerate([*record.keypoints, *stray]):
            found = {"image_id": record.image_id, "category_id": coco.category_id}
            poses.append({**found, "keypoints": pose.ravel(), "score": 0.9 - row / 10})
    return poses


def read(labels, **options):
    """A data set, or None where it is refused in one line that names the file."""
    content = json.dumps(labels).encode()
    options = {"content": content, "require_images": False} | options
    try:
        return read_coco("mutated.json", ".", SKELETON, **options)
    except (ValueError, OSError) as error:
        assert "mutated.json" in str(error) and "\n" not in str(error)
        return None


@pytest.fixture(scope="module", autouse=True)
def quiet():
    """Without the warnings of every file."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.slow
@settings(max_examples=EXAMPLES, derandomize=True, database=None, deadline=None)
@given(mutated())
def test_evaluation_sees_the_people_that_training_sees(labels):
    coco = read(labels)
    strict = read(labels, strict=True)
    if coco is None:
        assert strict is None
        return
    few = read(labels, only_labelled=True)
    with_people = [r.image_id for r in coco.records if len(r.area)]
    assert [r.image_id for r in few.records] == with_people if few else not with_people
    people = people_of(coco.ground_truth)
    assert list(people) == [record.image_id for record in coco.records]
    for row, record in enumerate(coco.records):
        expected = np.array(people[record.image_id], np.float32).reshape(-1, 14)
        scored = scored_rows(coco, row)
        np.testing.assert_array_equal(record.area[scored], expected[:, 0])
        np.testing.assert_array_equal(record.boxes[scored], expected[:, 1:5])
        learned = record.keypoints[scored].reshape(-1, 9)
        inside = np.repeat(learned[:, 2::3] > 0, 3, axis=1)
        np.testing.assert_array_equal(learned, np.where(inside, expected[:, 5:], 0))
        assert (record.area > 0).all() and np.isfinite(record.area).all()
        assert (record.keypoints[..., 2] > 0).any(axis=-1).all()
        if record.height * record.width < 10**7:
            rasterise(list(record.ignore), (record.height, record.width), (20, 25))
    found = poses_of(coco)
    figures = coco_metrics(coco, found)
    assert all(figure == -1 or 0 <= figure <= 1 for figure in figures.values())
    assert calibrate(coco, found).people == sum(map(len, people.values()))
