"""Damaged files of labels are read or refused in one line, whatever the damage is."""

import copy
import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qepose_tf.conversion.convert import convert
from tests.conversion import animals
from tests.conversion.animals import poses

EXAMPLES = int(os.environ.get("QEPOSE_MUTATIONS", "40"))
ODD = [
    *(None, True, "", "1", "nose", 0, -1, 1.5, 10**30, float("nan"), float("inf")),
    *([], {}, [1], [[1, 2], 3], {"a": 1}, "\x00", "../" * 9, "a" * 300),
]


def labelme():
    shapes = [
        {
            "label": name,
            "points": [[x, y]],
            "group_id": 1,
            "shape_type": "point",
            "flags": {},
        }
        for name, (x, y, _) in zip(animals.NAMES, poses(1, 1)[0].tolist(), strict=True)
    ]
    content = {"shapes": shapes, "imagePath": "1.png", "imageData": None}
    return content | {"imageWidth": animals.WIDTH, "imageHeight": animals.HEIGHT}


def label_studio():
    size = {"original_width": 96, "original_height": 64, "image_rotation": 0}
    points = [
        {
            "id": name,
            "type": "keypointlabels",
            "parentID": "box",
            "value": {"x": 10, "y": 20, "width": 1, "keypointlabels": [name]},
        }
        | size
        for name in animals.NAMES
    ]
    value = {"x": 0, "y": 0, "width": 50, "height": 50, "rectanglelabels": ["mouse"]}
    box = {"id": "box", "type": "rectanglelabels", "value": value} | size
    link = {"type": "relation", "from_id": "nose", "to_id": "box"}
    result = {"result": [box, *points, link], "was_cancelled": False}
    video = {"filename": "1.png", "frame_idx": 0}
    return [
        {"id": 1, "data": {"image": "1.png"}, "annotations": [result]},
        {"id": 2, "meta": {"video": video}, "annotations": [result]},
    ]


def coco():
    image = {"id": 1, "file_name": "1.png", "width": 96, "height": 64}
    person = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 9.0}
    person |= {"keypoints": poses(1, 1)[0].ravel().tolist(), "bbox": [1, 2, 3, 4]}
    category = {"id": 1, "name": "mouse", "keypoints": animals.NAMES}
    category["skeleton"] = [[1, 2]]
    return {"images": [image], "annotations": [person], "categories": [category]}


def yolo():
    return {
        "path": ".",
        "train": "images",
        "val": ["images"],
        "kpt_shape": [4, 3],
        "flip_idx": [0, 2, 1, 3],
        "names": {0: "mouse"},
        "kpt_names": {0: animals.NAMES},
        "skeleton": [[0, 1]],
    }


def places(content, path=()):
    """The paths of all values in nested lists and dicts."""
    yield path
    inner = content.items() if isinstance(content, dict) else ()
    inner = enumerate(content) if isinstance(content, list) else inner
    for key, value in list(inner):
        yield from places(value, (*path, key))


def mutated(content, data):
    content = copy.deepcopy(content)
    for _ in range(data.draw(st.integers(1, 3))):
        *above, last = data.draw(st.sampled_from([p for p in places(content) if p]))
        parent = content
        for key in above:
            parent = parent[key]
        if data.draw(st.booleans()) and isinstance(parent, dict):
            del parent[last]
        else:
            parent[last] = copy.deepcopy(data.draw(st.sampled_from(ODD)))
        if not content:
            break
    return content


def read_or_refused(source, out):
    try:
        convert(source, out, val_share=0, overwrite=True)
    except (ValueError, OSError, ImportError) as error:
        assert "\n" not in str(error) and str(out.parent) in str(error)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("mutated")
    animals.write_picture(path / "1.png", 1)
    return path


@pytest.mark.filterwarnings("ignore:.*no sigmas given")
@pytest.mark.parametrize("content", [labelme, label_studio, coco])
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_json(folder, content, data):
    source = folder / f"{content.__name__}.json"
    source.write_text(json.dumps(mutated(content(), data)))
    read_or_refused(source, folder / "out")


LINE = "0 .5 .5 .5 .5 .1 .2 2 .3 .4 1 .5 .6 2 0 0 0"
TABLE = (
    "scorer,,,me,me,me,me\nbodyparts,,,nose,nose,tail,tail\ncoords,,,x,y,x,y\n"
    "labeled-data,cage,1.png,1,2,30,40\n"
)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_yolo(folder, data):
    root = folder / "yolo"
    if not root.exists():
        animals.write_picture(root / "images/1.png", 1)
        (root / "labels").mkdir()
    settings, words = yolo(), LINE.split()
    if data.draw(st.booleans()):
        settings = mutated(settings, data)
    else:
        at = data.draw(st.integers(0, len(words) - 1))
        words[at] = data.draw(
            st.sampled_from(["x", "", "nan", "inf", "-9", "1e9", "7", ".5"])
        )
    (root / "data.yaml").write_text(json.dumps(settings))
    (root / "labels/1.txt").write_text(" ".join(words))
    read_or_refused(root, folder / "out")


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_deeplabcut(folder, data):
    text = TABLE
    at = data.draw(st.integers(0, len(text) - 1))
    cut = data.draw(st.integers(0, 9))
    text = text[:at] + data.draw(st.sampled_from(["", ",", "\n", '"', "x", "\x00"]))
    text += TABLE[at + cut :]
    (folder / "table.csv").write_text(text)
    read_or_refused(folder / "table.csv", folder / "out")
