"""Where a config's skeleton is looked for: beside it, here, and below `data.root`."""

import json

import pytest

from qepose_tf.building import read_datasets
from qepose_tf.config.reading import load_config
from qepose_tf.skeleton import Skeleton
from tests.data.coco_files import CATEGORY, image, person, write_images

LABELS = {"images": [image()], "annotations": [person()], "categories": [CATEGORY]}
CONFIG = """
skeleton: labels/train.json
data: {root: ROOT, train: {annotations: labels/train.json, images: pictures}}
"""


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """A config's folder, the working folder and the data's, apart."""
    names = ("configs", "here", "data")
    for name in names:
        (tmp_path / name / "labels").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    config = CONFIG.replace("ROOT", str(tmp_path / "data"))
    (tmp_path / "configs/mine.yaml").write_text(config)
    return [tmp_path / name for name in names]


def write(folder):
    (folder / "labels/train.json").write_text(json.dumps(LABELS))


@pytest.mark.parametrize("there", [(0, 1, 2), (0,), (1, 2), (2,)])
def test_the_first_folder_that_has_it_is_taken(folders, there):
    for number in there:
        write(folders[number])
    config = load_config(folders[0] / "mine.yaml")
    expected = "" if there[0] == 1 else f"{folders[there[0]]}/"
    assert config.skeleton == f"{expected}labels/train.json"


def test_it_trains_from_any_folder(folders):
    write(folders[2])
    (folders[2] / "pictures").mkdir()
    write_images(folders[2] / "pictures", [image()])
    config = load_config(folders[0] / "mine.yaml")
    with pytest.warns(UserWarning, match="no sigmas"):
        skeleton = Skeleton.load(config.skeleton, config.data.categories)
    train, _ = read_datasets(config, skeleton)
    assert train.skeleton.keypoints == tuple(CATEGORY["keypoints"])


def test_where_it_was_looked_for_is_said(folders):
    config = load_config(folders[0] / "mine.yaml")  # a run's config outlives its data
    with pytest.raises(FileNotFoundError) as error:
        Skeleton.load(config.skeleton)
    text = str(error.value)
    assert text.startswith("labels/train.json: no such skeleton file ")
    assert "beside the config, in the working folder and below data.root" in text


def test_names_and_whole_paths_stay(folders):
    load = load_config
    path = folders[0] / "mine.yaml"
    assert load(path, ["skeleton=crowdpose"]).skeleton == "crowdpose"
    write(folders[1])
    whole = str(folders[1] / "labels/train.json")
    assert load(path, [f"skeleton={whole}"]).skeleton == whole


@pytest.mark.parametrize(
    "changes, message",
    [
        (["data.min_area=5001"], "nothing to learn from: all 1 people .*min_area=5001"),
        (["data.categories=[dog]"], "data.categories: no category 'dog'"),
        (["data.train.categories=[dog]"], "data.categories: no category 'dog'"),
    ],
)
def test_nothing_to_learn_from_is_an_error_before_training(folders, changes, message):
    write(folders[2])
    (folders[2] / "pictures").mkdir()
    write_images(folders[2] / "pictures", [image()])
    config = load_config(folders[0] / "mine.yaml", changes)
    with pytest.warns(UserWarning, match="no sigmas"):
        skeleton = Skeleton.load(config.skeleton)
    with pytest.raises(ValueError, match=message):
        read_datasets(config, skeleton)


@pytest.mark.parametrize("value", ["person", "[]", "[3]"])
def test_categories_are_a_list_of_names(folders, value):
    write(folders[0])
    with pytest.raises(ValueError, match=r": data.categories"):
        load_config(folders[0] / "mine.yaml", [f"data.categories={value}"])
