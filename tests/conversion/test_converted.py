"""What stands in the new folder is ready to be trained on, and COCO's files, too."""

import json
import shutil

import numpy as np
import pytest
import sleap_io as sio

from qepose_tf.building import read_datasets
from qepose_tf.cli import main
from qepose_tf.config.reading import load_config
from qepose_tf.conversion.convert import convert
from qepose_tf.data.coco.dataset import read_coco
from qepose_tf.skeleton import COCO, Skeleton
from tests.cli.test_cli import fails
from tests.conversion import animals
from tests.conversion.animals import HEIGHT, WIDTH, assert_same, found, poses
from tests.data import pipelines

CATEGORY = {"id": 1, "name": "mouse", "keypoints": animals.NAMES}
CATEGORY["skeleton"] = [[1, 2], [1, 4]]


def coco_file(folder, change=lambda entry: None, numbers=range(4), **content):
    images, annotations = [], []
    for number in numbers:
        name = f"cage{number % 2}/{number}.png"
        animals.write_picture(folder / "images" / name, number)
        entry = {"file_name": name, "width": WIDTH, "height": HEIGHT}
        images.append({"id": number, **entry})
        for person in poses(number):
            entry = {"id": len(annotations), "image_id": number, "category_id": 1}
            entry |= {"keypoints": person.ravel().tolist(), "area": 600.0}
            entry |= {"bbox": [10.0, 20.0, 30.0, 40.0], "iscrowd": 0}
            change(entry)
            annotations.append(entry)
    path = folder / "labels.json"
    body = {"images": images, "annotations": annotations, "categories": [CATEGORY]}
    path.write_text(json.dumps(body | content))
    return path


def wanted(numbers=range(4)):
    return {number: animals.unlabelled_as_zero(poses(number)) for number in numbers}


def as_shares(entry):
    keypoints = np.reshape(entry["keypoints"], (-1, 3)) / (WIDTH, HEIGHT, 1)
    entry["keypoints"] = keypoints.ravel().tolist()
    entry["bbox"] = [10 / WIDTH, 20 / HEIGHT, 30 / WIDTH, 40 / HEIGHT]
    entry["area"] /= WIDTH * HEIGHT
    entry["segmentation"] = [[0.1, 0.1, 0.2, 0.2, 0.1, 0.2]]


def as_text(entry):
    entry["keypoints"] = [str(number) for number in entry["keypoints"]]
    entry["bbox"] = [str(number) for number in entry["bbox"]]
    entry["image_id"] = str(entry["image_id"])


def nested(entry):
    entry["keypoints"] = np.reshape(entry["keypoints"], (-1, 3)).tolist()


def some_as_shares(entry):
    if entry["id"] == 3:
        keypoints = np.reshape(entry["keypoints"], (-1, 3)) / (WIDTH, HEIGHT, 1)
        entry["keypoints"] = keypoints.ravel().tolist()


@pytest.mark.parametrize(
    "change", [as_shares, some_as_shares, as_text, nested, lambda entry: None]
)
def test_coco_in_other_forms(tmp_path, change):
    source = coco_file(tmp_path, change)
    report = convert(source, tmp_path / "out")
    people, splits = found(tmp_path / "out")
    assert_same(people, wanted(), 1e-4)
    assert splits["val"] in ({0, 2}, {1, 3})
    assert report["form"] == "COCO"
    content = json.loads((tmp_path / "out/val.json").read_text())
    for annotation in content["annotations"]:
        np.testing.assert_allclose(annotation["bbox"], [10, 20, 30, 40])
        np.testing.assert_allclose(annotation["area"], 600)
    assert content["categories"][0]["skeleton"] == [[1, 2], [1, 4]]


def test_coco_keeps_crowds_and_what_else_it_says(tmp_path):
    def change(entry):
        entry["occluded_by"] = "a wheel"
        if entry["id"] == 1:
            entry |= {"keypoints": [0] * 12, "iscrowd": 1}
            entry["segmentation"] = {"size": [HEIGHT, WIDTH], "counts": [6000, 144]}

    convert(coco_file(tmp_path, change), tmp_path / "out", val_share=0)
    data = read_coco(
        tmp_path / "out/train.json", tmp_path / "out/images", _BONES, strict=True
    )
    assert sum(len(record.area) for record in data.records) == 7
    assert [len(record.ignore) for record in data.records] == [1, 0, 0, 0]
    content = json.loads((tmp_path / "out/train.json").read_text())
    assert {a["occluded_by"] for a in content["annotations"]} == {"a wheel"}


_BONES = Skeleton("mouse", tuple(animals.NAMES), (), (), (0.05,) * 4)


def test_coco_of_several_categories(tmp_path, capsys):
    def change(entry):
        entry["category_id"] = 1 + entry["image_id"] // 2

    rat = CATEGORY | {"id": 2, "name": "rat"}
    source = coco_file(tmp_path, change, categories=[CATEGORY, rat])
    convert(source, tmp_path / "both")
    assert_same(found(tmp_path / "both")[0], wanted(), 1e-4)
    convert(source, tmp_path / "rats", category="rat")
    nobody = dict.fromkeys((0, 1), np.zeros((0, 4, 3)))
    assert_same(found(tmp_path / "rats")[0], wanted((2, 3)) | nobody, 1e-4)
    other = rat | {"keypoints": ["a", "b"]}
    source = coco_file(tmp_path, change, categories=[CATEGORY, other])
    error = fails(capsys, "convert", source, "--out", tmp_path / "out")
    assert "categories of one skeleton, got 2 among ['mouse', 'rat']" in error


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("keypoints", [1, 2, 2], "annotation 0: keypoints: expected 12 numbers"),
        ("bbox", [1, 2], "annotation 0: bbox: expected numbers, got [1, 2]"),
        ("area", "big", "annotation 0: area: expected numbers, got 'big'"),
    ],
)
def test_coco_faults(tmp_path, capsys, field, value, message):
    source = coco_file(tmp_path, lambda entry: entry.update({field: value}))
    error = fails(capsys, "convert", source, "--out", tmp_path / "out")
    assert message in error and str(source) in error


def test_equal_people_of_one_picture_count_once(tmp_path, caplog):
    source = coco_file(tmp_path)
    content = json.loads(source.read_text())
    for entry in list(content["images"]):
        content["images"].append(entry | {"id": entry["id"] + 100})
    for entry in list(content["annotations"]):
        again = {"id": entry["id"] + 100, "image_id": entry["image_id"] + 100}
        content["annotations"].append(entry | again)
    source.write_text(json.dumps(content))
    convert(source, tmp_path / "out")
    assert_same(found(tmp_path / "out")[0], wanted(), 1e-4)
    assert "4 more entries of a picture that was listed before" in caplog.text
    assert "8 people listed more than once in a picture" in caplog.text


def test_the_folder_trains(tmp_path, capsys):
    """The config names what was written, and batches hold the people of the source."""
    source, out = coco_file(tmp_path), tmp_path / "out"
    assert main(["convert", str(source), "--out", str(out), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["next"] == f"qepose doctor {out / 'train.yaml'}"
    assert report["flip_pairs"] == ["left_ear / right_ear"]
    config = load_config(out / "train.yaml", ["data.min_area=100"])
    assert config.model.start_from == "people"
    assert (config.train.batch_size, config.train.epochs) == (1, 100)
    with pytest.warns(UserWarning, match="no sigmas"):
        skeleton = Skeleton.load(config.skeleton)
    train, val = read_datasets(config, skeleton)
    assert (len(train), len(val)) == (2, 2)
    ((images, facts),) = pipelines.train(train, batch_size=2, min_area=0.0)
    assert np.asarray(images).shape == (2, 64, 64, 3)
    assert (np.asarray(facts["area"]) > 0).sum() == 4
    labelled = np.asarray(facts["keypoints"])[..., 2] > 0
    assert labelled.any(axis=-1).sum() == 4


def test_coco_keypoints_have_their_sigmas(tmp_path):
    folder = tmp_path / "in"
    for number in range(2):
        people = np.tile(poses(number, 1, False, False), (1, 5, 1))[:, :17]
        animals.write_picture(folder / f"{number}.png", number)
        file = folder / f"{number}.json"
        animals.labelme_file(file, f"{number}.png", people, COCO.keypoints)
    convert(folder, tmp_path / "out")
    bones = Skeleton.load(tmp_path / "out/skeleton.yaml")
    assert (bones.sigmas, bones.limbs) == (COCO.sigmas, COCO.limbs)
    assert set(map(frozenset, bones.flip_pairs)) == set(map(frozenset, COCO.flip_pairs))


@pytest.mark.parametrize("link", [False, True])
def test_pictures_are_copied_or_linked(tmp_path, link):
    source = coco_file(tmp_path / "in")
    convert(source, tmp_path / "out", link=link)
    files = sorted((tmp_path / "out/images").rglob("*.png"))
    originals = sorted((tmp_path / "in/images").rglob("*.png"))
    assert len(files) == 4 and all(file.is_symlink() == link for file in files)
    assert {f.read_bytes() for f in files} == {o.read_bytes() for o in originals}
    shutil.rmtree(tmp_path / "in")
    assert all(file.exists() != link for file in files)


def test_folders_of_one_name_stay_apart(tmp_path):
    for number in range(4):
        cage = tmp_path / f"in/day{number % 2}/cage"
        animals.write_picture(cage / "1.png" if number < 2 else cage / "2.png", number)
        name = f"{1 + number // 2}.png"
        animals.labelme_file(cage / f"{name}.json", name, poses(number))
    convert(tmp_path / "in", tmp_path / "out")
    people, splits = found(tmp_path / "out")
    assert_same(people, wanted(), 1e-4)
    assert splits["val"] in ({0, 2}, {1, 3})
    folders = {path.name for path in (tmp_path / "out/images").iterdir()}
    assert folders == {"cage", "cage-2"}


def test_predictions_are_no_labels_unless_asked_for(tmp_path, caplog, capsys):
    videos, _ = animals.picture_videos(tmp_path / "pictures", (4,))
    bones = animals.skeleton()
    frames = [
        animals.labelled_frame(videos[0], i, poses(i, 1, hidden=False), bones)
        for i in range(2)
    ]
    for index in (1, 2, 3):
        points = poses(index, 1, False, False)[0, :, :2]
        found_by_model = sio.PredictedInstance.from_numpy(points, bones, score=0.9)
        if index == 1:
            frames[1].instances.append(found_by_model)
        else:
            frames.append(sio.LabeledFrame(videos[0], index, [found_by_model]))
    source = tmp_path / "mice.slp"
    sio.save_slp(sio.Labels(frames), str(source), verbose=False)
    by_hand = {i: animals.unlabelled_as_zero(poses(i, 1, False)) for i in range(2)}
    caplog.set_level("INFO")
    convert(source, tmp_path / "out")
    assert_same(found(tmp_path / "out")[0], by_hand, 1e-4)
    assert "2 frames hold predictions alone; left out" in caplog.text
    convert(source, tmp_path / "all", predictions=True)
    guessed = {i: poses(i, 1, False, False) for i in (2, 3)}
    assert_same(found(tmp_path / "all")[0], by_hand | guessed, 1e-4)
    sio.save_slp(sio.Labels(frames[2:]), str(source), verbose=False)
    error = fails(capsys, "convert", source, "--out", tmp_path / "none")
    assert "--predictions" in error and str(source) in error
