"""CrowdPose from its own files to figures: read, train a step, evaluate, split."""

import json
import logging
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from qepose_tf.building import build_model
from qepose_tf.cli import main
from qepose_tf.config.reading import load_config
from qepose_tf.data.coco.dataset import read_coco
from qepose_tf.data.coco.person_area import measured_area
from qepose_tf.evaluation.crowd_index import CROWD_FIGURES
from qepose_tf.evaluation.evaluate import coco_metrics
from qepose_tf.skeleton import COCO, CROWDPOSE, Skeleton
from qepose_tf.training.run import train
from tests.evaluation.crowdpose_files import (
    CATEGORY,
    content,
    detection,
    image,
    person,
    write_drawn,
)
from tests.evaluation.data_sets import data_set

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = [ROOT / f"configs/crowdpose_{name}.yaml" for name in ("w32_512", "w48_640")]
ONE = pytest.approx(1.0, abs=1e-12)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Six drawn scenes, laid out as docs/DATASETS.md lays out CrowdPose."""
    folder = tmp_path_factory.mktemp("crowdpose")
    return write_drawn(folder, 6, (0.0, 0.1, 0.2, 0.79, 0.8, 1.0))


def someone(annotation_id, image_id, seen, x=50.0):
    keypoints = [(x + 10.0 * i, 50.0 + 20.0 * i, v) for i, v in enumerate(seen)]
    return person(annotation_id, image_id, keypoints, [x, 50.0, 130.0, 260.0])


def test_builtin_skeleton_is_that_of_the_files():
    assert CROWDPOSE.keypoints == tuple(
        "left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist "
        "left_hip right_hip left_knee right_knee left_ankle right_ankle head neck"
        "".split()
    )
    sigmas = (0.79, 0.79, 0.72, 0.72, 0.62, 0.62, 1.07, 1.07, 0.87, 0.87, 0.89, 0.89)
    np.testing.assert_allclose(
        CROWDPOSE.sigmas, np.array([*sigmas, 0.79, 0.79]) / 10, rtol=1e-12
    )


def test_the_files_limbs_are_cocos_and_ours_are_taken(root, caplog):
    assert max(max(limb) for limb in CATEGORY["skeleton"]) == 17
    skeleton = Skeleton.load(root / "annotations/crowdpose_test.json")
    assert skeleton.limbs == CROWDPOSE.limbs
    assert skeleton.sigmas == CROWDPOSE.sigmas


def test_files_are_read_without_a_complaint(root, caplog):
    caplog.set_level(logging.INFO)
    path = root / "annotations/crowdpose_test.json"
    coco = read_coco(path, root / "images", CROWDPOSE, strict=True)
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert (
        "people without a positive area; used instead: 0.53 of the box" in caplog.text
    )
    assert [record.image_id for record in coco.records] == [1, 2, 3, 4, 5, 6]
    for record in coco.records:
        box_areas = record.boxes[:, 2] * record.boxes[:, 3]
        np.testing.assert_allclose(record.area, 0.53 * box_areas, rtol=1e-6)


def test_some_areas_missing_is_a_problem_of_the_file(tmp_path, caplog):
    people = [someone(1, 1, [2] * 14), someone(2, 1, [2] * 14)]
    people[0]["area"] = 900.0
    people[0]["keypoints"][0] += 1.0
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(content([image(1)], people)))
    coco = read_coco(path, tmp_path, CROWDPOSE, require_images=False)
    assert (
        "1 people without a positive area; used instead: 0.53 of the box (1)"
        in caplog.text
    )
    np.testing.assert_allclose(coco.records[0].area, [900, 0.53 * 130 * 260])
    with pytest.raises(ValueError, match="1 people without a positive area"):
        read_coco(path, tmp_path, CROWDPOSE, require_images=False, strict=True)


def test_measured_area():
    """0.53 of the box; else the keypoints' extent, a line's no thinner than a third."""
    points = np.array([[[1.0, 2.0], [4.0, 6.0]]] * 5 + [[[1.0, 2.0], [30.0, 2.0]]])
    labelled = np.array([[True, True]] * 3 + [[True, False], [False] * 2, [True] * 2])
    boxes = np.array([[9, 9, 10, 20], [9, 9, 0, 20], *[[0] * 4] * 4], np.float64)
    area, from_box = measured_area(boxes, points, labelled)
    np.testing.assert_allclose(area, [106, 4 * 5, 4 * 5, 0, 0, 30 * 10])
    assert from_box.tolist() == [True] + [False] * 5


def test_figures_and_split_by_name(caplog):
    caplog.set_level(logging.INFO)
    images = [image(1, 0.05), image(2, 0.5), image(3, 0.9)]
    people = [someone(i, i, [2] * 14) for i in (1, 2, 3)]
    found = [detection(p, 0.9) for p in people[:2]]
    figures = coco_metrics(data_set(content(images, people), CROWDPOSE), found)
    bands = {name: figures[name] for name in CROWD_FIGURES}
    assert bands == {"AP_easy": ONE, "AP_medium": ONE, "AP_hard": 0.0}
    # Recall is 2/3: precision is 1 at the 67 of 101 recalls up to it.
    assert figures["AP"] == pytest.approx(67 / 101)
    assert figures["APL"] == pytest.approx(67 / 101)  # COCO's, by area
    assert not [r for r in caplog.records if r.levelname == "WARNING"]
    for entry in images:
        del entry["crowdIndex"]
    plain = coco_metrics(data_set(content(images, people), CROWDPOSE), found)
    assert plain == {k: v for k, v in figures.items() if k not in CROWD_FIGURES}


def test_head_and_neck_alone_are_ignored():
    """`num_keypoints` leaves them out, so such a person is no miss and no strayer."""
    people = [someone(1, 1, [2] * 14), someone(2, 1, [0] * 12 + [1, 1], x=400.0)]
    labels = content([image(1, 0.9)], people)
    assert people[1]["num_keypoints"] == 0
    for found in ([people[0]], people):
        results = [detection(p, 0.5 + 0.1 * p["id"]) for p in found]
        assert coco_metrics(data_set(labels, CROWDPOSE), results)["AP_hard"] == ONE


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_configs_say_what_the_protocol_is(path):
    config = load_config(path)
    assert Skeleton.load(config.skeleton) == CROWDPOSE
    assert config.data.min_area == 0
    assert str(config.data.train.annotations).endswith("crowdpose_trainval.json")
    assert str(config.data.val.annotations).endswith("crowdpose_test.json")
    settings = config.train
    assert (settings.epochs, settings.drop_epochs) == (300, [200, 260])
    coco = load_config(path.with_name(path.name.replace("crowdpose", "coco")))
    assert config.model == coco.model
    assert (config.augment, config.loss) == (coco.augment, coco.loss)
    assert settings.learning_rate == coco.train.learning_rate
    assert settings.batch_size == coco.train.batch_size


@pytest.mark.slow
@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_configs_build(path):
    config = load_config(path)
    model = build_model(config, CROWDPOSE)
    side = config.model.input_size
    shapes = model.compute_output_shape((None, side, side, 3))
    assert shapes["poses"] == (None, 30, 14, 2)


@pytest.mark.slow
def test_dry_run_of_tiny_width(root, tmp_path):
    """At tiny width the two configs are the same."""
    tiny = {
        "data.root": root,
        "model.backbone": "tiny",
        "model.input_size": 64,
        "model.head.keypoint_channels": 4,
        "model.head.instance_channels": 8,
        "train.epochs": 1,
        "train.batch_size": 6,
        "train.drop_epochs": "[]",
        "train.strategy": "off",
        "train.run_dir": tmp_path / "run",
    }
    config = load_config(CONFIGS[0], [f"{key}={value}" for key, value in tiny.items()])
    result = train(config, progress=False)
    assert len(result.history["loss"]) == 1
    assert np.isfinite(result.history["loss"][0])
    assert set(result.metrics) >= {"val_ap", "val_ar"}

    words = ["evaluate", result.last, "--images", root / "images", "--annotations"]
    words += [root / "annotations/crowdpose_test.json", "--json", tmp_path / "f.json"]
    assert main([str(word) for word in words]) == 0
    figures = json.loads((tmp_path / "f.json").read_text())
    assert set(CROWD_FIGURES) <= set(figures)
    assert all(0 <= figures[name] <= 1 for name in CROWD_FIGURES)


def test_a_coco_model_is_refused(root):
    path = root / "annotations/crowdpose_test.json"
    with pytest.raises(ValueError, match="has 14 keypoints, skeleton 'coco' has 17"):
        read_coco(path, root / "images", COCO)


def test_a_wrong_crowd_index_names_file_and_image(root, tmp_path):
    labels = json.loads((root / "annotations/crowdpose_test.json").read_text())
    labels["images"][2]["crowdIndex"] = 1.5
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(labels))
    with pytest.raises(ValueError) as error:
        read_coco(path, root / "images", CROWDPOSE)
    expected = f"{path}: image 3: expected a crowdIndex from 0 to 1, got 1.5"
    assert str(error.value) == expected


def test_trainval_is_made_as_the_page_says(root, tmp_path, monkeypatch):
    page = (ROOT / "docs/DATASETS.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    folder = tmp_path / "data/crowdpose/annotations"
    folder.mkdir(parents=True)
    shutil.copytree(root / "images", tmp_path / "data/crowdpose/images")
    labels = json.loads((root / "annotations/crowdpose_test.json").read_text())
    for split, ids in (("train", (1, 2, 3, 4)), ("val", (5, 6))):
        part = {
            **labels,
            "images": [i for i in labels["images"] if i["id"] in ids],
            "annotations": [a for a in labels["annotations"] if a["image_id"] in ids],
        }
        (folder / f"crowdpose_{split}.json").write_text(json.dumps(part))
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "docs/DATASETS.md", "exec"), {})
    data = load_config(CONFIGS[0]).data
    coco = read_coco(
        data.root / data.train.annotations, data.root / data.train.images, CROWDPOSE
    )
    assert [record.image_id for record in coco.records] == [1, 2, 3, 4, 5, 6]
    assert sum(len(r.area) for r in coco.records) == len(labels["annotations"])
