"""`qepose prepare`, and the commands that read what it wrote."""

import json
import sys

import keras
import numpy as np
import pytest

from qepose_tf.building import read_datasets
from qepose_tf.cli import main
from qepose_tf.cli.poses import _scored_data
from qepose_tf.config.reading import load_config
from qepose_tf.data.synthetic.dataset import write_scenes
from qepose_tf.models import PoseEstimator
from qepose_tf.skeleton import COCO
from tests.cli.test_cli import fails
from tests.data.coco_files import (
    CATEGORY,
    SKELETON,
    image,
    person,
    write_images,
    write_json,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("data")
    write_scenes(path / "scenes", 5, 96, min_people=1, max_people=2, seed=1)
    keras.utils.set_random_seed(0)
    model = PoseEstimator(COCO, backbone="tiny", input_size=64)
    model.get_layer("score").weights[1].assign([0.3])  # so that it finds somebody
    model.save(path / "model.keras")
    return path


def words_of(folder, out, *more):
    words = ["prepare", "--annotations", folder / "scenes/annotations.json"]
    words += ["--images", folder / "scenes/images", "--out", out, "--shards", 2]
    return [str(word) for word in [*words, *more]]


@pytest.fixture(scope="module")
def records(folder):
    assert main(words_of(folder, folder / "records")) == 0
    return folder / "records"


def test_prepare_reports_what_it_wrote(folder, tmp_path, capsys):
    out = tmp_path / "records"
    words = words_of(folder, out, "--workers", 1, "--json")
    for reused in (0, 2):
        assert main(words) == 0
        report = json.loads(capsys.readouterr().out)
        assert report.pop("bytes") == sum(
            file.stat().st_size for file in out.glob("*.tfrecord")
        )
        assert report.pop("people") >= 5
        assert report == {
            "out": str(out),
            "images": 5,
            "shards": 2,
            "skipped": 0,
            "reused": reused,
        }
    line = fails(capsys, *words_of(folder, out, "--limit", 3))
    assert f"{out}: was prepared differently: limit was None, now 3" in line
    assert main([*words_of(folder, out, "--limit", 3), "--overwrite"]) == 0
    assert len(list(tmp_path.iterdir())) == 1


def test_prepare_names_what_is_wrong(folder, tmp_path, capsys):
    missing = tmp_path / "none.json"
    words = ["prepare", "--annotations", missing, "--images", tmp_path, "--shards", 1]
    line = fails(capsys, *words, "--out", tmp_path / "out")
    assert f"{missing}: no such annotation file" in line
    line = fails(capsys, *words, "--out", "gs://bucket/out")
    assert "gs://bucket/out: expected a local folder" in line
    line = fails(capsys, *words_of(folder, tmp_path / "out", "--skeleton", "crowdpose"))
    assert "has 17 keypoints, skeleton 'crowdpose' has 14" in line


@pytest.mark.slow
def test_evaluation_is_the_same_from_either(folder, records, tmp_path, capsys):
    config = tmp_path / "val.yaml"
    config.write_text(f"data: {{root: {folder}, val: {{tfrecords: records}}}}")
    model = folder / "model.keras"
    labels = ["--annotations", folder / "scenes/annotations.json"]
    sources = {
        "json": [*labels, "--images", folder / "scenes/images"],
        "records": ["--tfrecords", records],
        "config": ["--config", config],
    }
    found = []
    for name, words in sources.items():
        results = tmp_path / f"{name}.json"
        words = ["evaluate", model, *words, "--results", results, "--json"]
        assert main([str(word) for word in words]) == 0
        report = json.loads(capsys.readouterr().out)
        assert report.pop("results") == str(results)
        found.append((report, json.loads(results.read_text())))
    assert found[0][0]["images"] == 5 and found[0][1]
    assert found[0] == found[1] == found[2]
    words = ["evaluate", model, "--tfrecords", records, "--limit", 2, "--json"]
    assert main([str(word) for word in words]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 2


def test_evaluate_needs_one_source(folder, records, capsys):
    model = folder / "model.keras"
    labels, stored = ["--images", folder], ["--tfrecords", records]
    for words in ([], labels, [*labels, *stored], [*stored, "--config", "a.yaml"]):
        words = ["evaluate", model, *words]
        assert main([str(word) for word in words]) == 2
        assert "--tfrecords" in capsys.readouterr().err
    missing = folder / "nothing"
    line = fails(capsys, "evaluate", model, "--tfrecords", missing)
    assert f"{missing}: expected a folder that 'qepose prepare' has finished" in line


@pytest.mark.parametrize("by_config", [False, True])
def test_the_options_of_evaluate_choose_who_is_scored(tmp_path, by_config):
    """Of two species, and of people without a box, as `data.*` of a config does."""
    zebra = {**CATEGORY, "id": 2, "name": "zebra"}
    people = [person(1), person(2, category_id=2, area=0.0, bbox=[0, 0, 0, 0])]
    people[1]["keypoints"] = [50, 40, 2, *[0, 0, 0] * 2]
    entry = image()
    write_images(tmp_path, [entry])
    file = write_json(tmp_path, [entry], people, [CATEGORY, zebra])
    named = (str(file), str(tmp_path), None, None)
    if by_config:
        config = tmp_path / "val.yaml"
        config.write_text(
            f"data: {{root: {tmp_path}, categories: [person], person_size: 7, "
            "val: {annotations: people.json, images: '.', categories: [person]}}"
        )
        named = (None, None, None, config)

    def read(categories=None, person_size=None):
        return _scored_data(*named, None, "auto", categories, person_size)(SKELETON)

    assert sum(len(record.area) for record in read().records) == 2 - by_config
    (record,) = read(["zebra"], 12.0).records
    np.testing.assert_allclose(record.area, [144.0])


def test_a_config_names_either(folder, records, tmp_path):
    config = tmp_path / "both.yaml"
    config.write_text(
        f"data: {{root: {folder}, train: {{tfrecords: records, limit: 4}}, "
        "val: {annotations: scenes/annotations.json, images: scenes/images}}"
    )
    train, val = read_datasets(load_config(config), COCO)
    assert (len(train.records), len(val.records)) == (4, 5)
    assert train.path == records / "annotations.json"
    for stored, plain in zip(train.records, val.records, strict=False):
        assert stored.file.read_bytes() == plain.file.read_bytes()


class Openings:
    """An audit hook that counts how often a file is opened; hooks cannot be removed."""

    def __init__(self) -> None:
        self.path, self.count = None, 0
        sys.addaudithook(self)

    def __call__(self, event, arguments):
        if event == "open" and self.path and str(arguments[0]) == self.path:
            self.count += 1


@pytest.fixture(scope="module")
def openings():
    openings = Openings()
    yield openings
    openings.path = None


@pytest.mark.slow
@pytest.mark.parametrize("source", ["json", "tfrecords"])
def test_evaluation_opens_the_annotations_once(
    folder, records, tmp_path, source, openings
):
    labels = folder / "scenes/annotations.json"
    named = ["--annotations", labels, "--images", folder / "scenes/images"]
    if source == "tfrecords":
        labels, named = records / "annotations.json", ["--tfrecords", records]
    openings.path, openings.count = str(labels), 0
    words = ["evaluate", folder / "model.keras", *named]
    words += ["--calibration", tmp_path / "calibration"]
    assert main([str(word) for word in words]) == 0
    assert openings.count == 1
    labels.read_bytes()
    assert openings.count == 2
