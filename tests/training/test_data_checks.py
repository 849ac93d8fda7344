"""Everything about the data is known before the first step, or the run does not begin.

The commands are run as a user runs them; none of these comes as far as a model.
"""

import json
import logging

import keras
import numpy as np
import pytest
import yaml

from qepose_tf.cli import main
from qepose_tf.config.schema import Config
from qepose_tf.data.coco.dataset import read_coco
from qepose_tf.models.pose_estimator import PoseEstimator
from qepose_tf.skeleton import Skeleton
from qepose_tf.training.callbacks.validation import CocoAP
from qepose_tf.training.data_checks import (
    check_flip_pairs,
    check_validation_data,
)
from tests.data.coco_files import SKELETON, image, person, write_images, write_json

PAIRS = [["left_eye", "right_eye"]]
NAMES = ["nose", "left_eye", "right_eye"]


def write_data(folder, annotations, images=(1, 2)):
    """A data set in a folder of its own; returns what a config says of it."""
    folder.mkdir()
    entries = [image(number) for number in images]
    write_images(folder, entries)
    write_json(folder, entries, annotations)
    return {"annotations": str(folder / "people.json"), "images": str(folder)}


def write_config(folder, data, **settings):
    """A config file of a run that would train; returns the file."""
    skeleton = {"name": "trio", "keypoints": NAMES, "sigmas": [0.05] * 3}
    (folder / "trio.yaml").write_text(yaml.safe_dump(skeleton | {"flip_pairs": PAIRS}))
    values = {
        "name": "small",
        "skeleton": str(folder / "trio.yaml"),
        "model": {"backbone": "tiny", "input_size": 64},
        "data": {"root": "/", **data},
        "train": {"epochs": 10, "batch_size": 1, "run_dir": str(folder / "run")},
        **settings,
    }
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def refusal(config, capsys, *words):
    """The one line that a run is refused with; it leaves no folder."""
    assert main(["train", str(config), *words]) == 1
    lines = [
        line for line in capsys.readouterr().err.splitlines() if "INFO" not in line
    ]
    errors = [line for line in lines if "WARNING" not in line]
    assert len(errors) == 1, lines
    assert "Traceback" not in errors[0]
    return errors[0]


def test_everyone_below_min_area(tmp_path, capsys):
    people = [person(1, 1, area=500.0), person(2, 2, area=89.5)]
    data = {"train": write_data(tmp_path / "train", people)}
    line = refusal(write_config(tmp_path, data), capsys)
    assert "data.min_area" in line and "1024" in line
    assert "89.5" in line and "500" in line
    assert "people.json" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "people",
    [
        [],
        [person(1, 1, category_id=7)],
        [person(1, 1, iscrowd=1)],
        [person(1, 1, keypoints=[0] * 9, num_keypoints=0)],
        [person(1, 9)],
    ],
    ids=["none", "another category", "a crowd", "no keypoint", "another image"],
)
def test_nobody_to_learn_from(tmp_path, capsys, people):
    data = {"train": write_data(tmp_path / "train", people), "min_area": 0.0}
    line = refusal(write_config(tmp_path, data), capsys)
    assert "people.json" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("min_area", [0.0, 1.0, 1024.0, 5e5])
def test_nothing_to_learn_from_means_that_no_area_is_large_enough(tmp_path, min_area):
    """Areas on both sides of the bound, and at it."""
    for number, area in enumerate((min_area * 0.99, min_area, min_area * 1.01 + 1)):
        source = write_data(tmp_path / str(number), [person(1, 1, area=float(area))])
        coco = read_coco(source["annotations"], source["images"], SKELETON)
        (found,) = coco.records[0].area
        if found >= np.float32(min_area):
            coco.check_learnable(min_area)
        else:
            with pytest.raises(ValueError, match="min_area"):
                coco.check_learnable(min_area)


def broken_validation(folder, kind):
    """A config's `data.val` with something wrong, and what the line must name."""
    source = write_data(folder, [person(1, 1)])
    file = folder / "people.json"
    content = json.loads(file.read_text())
    if kind == "no file":
        file.unlink()
    elif kind == "no JSON":
        file.write_text("{")
    elif kind == "another form":
        file.write_text("[1, 2]")
    elif kind == "other keypoints":
        content["categories"][0]["keypoints"] = ["nose", "tail"]
        file.write_text(json.dumps(content))
    elif kind == "no pictures":
        for picture in folder.glob("*.png"):
            picture.unlink()
    elif kind == "a field":
        content["annotations"][0]["iscrowd"] = "often"
        file.write_text(json.dumps(content))
    return source


@pytest.mark.parametrize(
    "kind",
    ["no file", "no JSON", "another form", "other keypoints", "no pictures", "a field"],
)
def test_validation_data_are_checked_before_training(tmp_path, capsys, kind):
    train = write_data(tmp_path / "train", [person(1, 1), person(2, 2)])
    data = {"train": train, "val": broken_validation(tmp_path / "val", kind)}
    config = write_config(tmp_path, data)
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text(config.read_text())
    (run / "best.keras").write_text("an earlier run's")
    line = refusal(config, capsys, "--overwrite")
    assert str(tmp_path / "val") in line
    assert (run / "best.keras").read_text() == "an earlier run's"


def undefined(folder):
    """A data set that shows nobody who counts."""
    source = write_data(folder, [person(1, 1, iscrowd=1)])
    return read_coco(source["annotations"], source["images"], SKELETON)


def test_validation_data_without_people_are_said_once(tmp_path, caplog):
    coco = undefined(tmp_path / "val")
    caplog.clear()
    check_validation_data(coco)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "AP cannot be computed" in record.message
    assert str(tmp_path / "val") in record.message
    source = write_data(tmp_path / "some", [person(1, 1)])
    coco = read_coco(source["annotations"], source["images"], SKELETON)
    caplog.clear()
    check_validation_data(coco)
    assert not caplog.records


@pytest.mark.usefixtures("micro_body")
def test_figures_that_cannot_be_computed_are_in_no_log(tmp_path, caplog):
    """So no callback takes them for the best so far; what is missing is said once."""
    coco = undefined(tmp_path / "val")
    keras.utils.set_random_seed(0)
    model = PoseEstimator(SKELETON, backbone="tiny", input_size=64)
    model.compile(optimizer="sgd")
    callback = CocoAP(coco, every=1)
    callback.set_model(model)
    callback.set_params({"epochs": 2})
    caplog.set_level(logging.INFO)
    for epoch in range(2):
        logs = {}
        callback.on_epoch_end(epoch, logs)
        assert not logs
    said = [record for record in caplog.records if "AP and AR are -1" in record.message]
    assert len(said) == 1


def flip_warnings(skeleton, caplog, flip=0.5):
    caplog.clear()
    config = Config.model_validate({"name": "x", "augment": {"flip": flip}})
    check_flip_pairs(config, skeleton)
    return [record.message for record in caplog.records]


@pytest.fixture
def from_yaml(tmp_path):
    def read(**values):
        path = tmp_path / "skeleton.yaml"
        path.write_text(
            yaml.safe_dump({"name": "fish", "sigmas": [0.05] * 3, **values})
        )
        return Skeleton.load(path)

    return read


def test_flipping_without_a_pair_is_a_warning_with_the_names(from_yaml, caplog):
    names = ["Nase", "Auge", "Flosse"]
    (line,) = flip_warnings(from_yaml(keypoints=names), caplog)
    assert "'fish'" in line and "Nase, Auge, Flosse" in line
    assert "augment.flip=0.5" in line and "flip_pairs: []" in line
    category = {"name": "fish", "keypoints": names}
    guessed = Skeleton.from_coco_category(category, sigmas=[0.05] * 3)
    assert len(flip_warnings(guessed, caplog)) == 1


def test_flip_pairs_that_are_found_or_said_not_to_be_are_no_warning(from_yaml, caplog):
    names = ["Nase", "Auge", "Flosse"]
    assert not flip_warnings(from_yaml(keypoints=names, flip_pairs=[]), caplog)
    assert not flip_warnings(from_yaml(keypoints=names), caplog, flip=0.0)
    assert not flip_warnings(from_yaml(keypoints=NAMES, flip_pairs=PAIRS), caplog)
    category = {"name": "fish", "keypoints": NAMES}
    guessed = Skeleton.from_coco_category(category, sigmas=[0.05] * 3)
    assert guessed.flip_pairs and not flip_warnings(guessed, caplog)
    said = Skeleton.from_coco_category(
        {"name": "fish", "keypoints": names}, sigmas=[0.05] * 3, flip_pairs=[]
    )
    assert not flip_warnings(said, caplog)
    alone = Skeleton.from_dict({"name": "dot", "keypoints": ["dot"], "sigmas": [0.1]})
    assert not flip_warnings(alone, caplog)


def test_what_was_said_of_flip_pairs_goes_with_a_model_file(from_yaml, caplog):
    skeleton = from_yaml(keypoints=["Nase", "Auge", "Flosse"], flip_pairs=[])
    again = Skeleton.from_dict(json.loads(json.dumps(skeleton.to_dict())))
    assert again == skeleton and not flip_warnings(again, caplog)
