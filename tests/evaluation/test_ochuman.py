"""OCHuman: its COCO-format files are read as they are, and scored as they stand.

What the files look like is taken from excerpts of them and from the converter that
made them (OCHumanApi): image ids count from 1 in each file; the area is that of the
box; a missing keypoint is 0, 0, 0; the outline is a compressed RLE; face keypoints
are fractions of a pixel, the others whole.
"""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from qepose_tf.cli import main
from qepose_tf.config.reading import load_config
from qepose_tf.data.coco.dataset import read_coco
from qepose_tf.evaluation.evaluate import coco_metrics
from qepose_tf.skeleton import COCO, Skeleton
from tests.evaluation.data_sets import data_set

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = {split: ROOT / f"configs/ochuman_{split}.yaml" for split in ("val", "test")}
WIDTH, HEIGHT = 120, 160


def person(annotation_id, image_id, x, missing=()):
    """A person in a box of 50 x 120 px; some keypoints are missing."""
    keypoints = []
    for k in range(17):
        fraction = 0.5701271305881 if k < 5 else 0
        at = [x + 2 * k + fraction, 15 + 6 * k + fraction, 1 + k % 2]
        keypoints += [0, 0, 0] if k in missing else at
    box = [x, 12, 50, 120]
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[20:120, x + 10 : x + 40] = 1
    outline = coco_mask.encode(np.asfortranarray(mask))
    return {
        "image_id": image_id,
        "area": box[2] * box[3],
        "num_keypoints": 17 - len(missing),
        "iscrowd": 0,
        "id": annotation_id,
        "category_id": 1,
        "keypoints": keypoints,
        "segmentation": {**outline, "counts": outline["counts"].decode("ascii")},
        "bbox": box,
    }


def labels():
    limbs = [[first + 1, last + 1] for first, last in COCO.limb_indices]
    category = {"supercategory": "person", "id": 1, "name": "person"}
    category |= {"skeleton": limbs, "keypoints": list(COCO.keypoints)}
    images = [
        {"id": i, "file_name": f"{name}.jpg", "height": HEIGHT, "width": WIDTH}
        for i, name in ((1, "003799"), (2, "000817"))
    ]
    people = [
        person(1, 1, 5, missing=(1, 3)),
        person(2, 1, 30),
        person(3, 2, 40, missing=range(5)),
    ]
    return {"annotations": people, "categories": [category], "images": images}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """`data.root` as docs/DATASETS.md lays it out."""
    root = tmp_path_factory.mktemp("ochuman")
    (root / "images").mkdir()
    (root / "annotations").mkdir()
    for image in labels()["images"]:
        picture = Image.new("RGB", (image["width"], image["height"]), "grey")
        picture.save(root / "images" / image["file_name"])
    for config in CONFIGS.values():
        path = root / load_config(config).data.val.annotations
        path.write_text(json.dumps(labels()))
    return root


def test_configs_name_the_files_of_each_half():
    names = {
        split: str(load_config(config).data.val.annotations)
        for split, config in CONFIGS.items()
    }
    assert names == {
        split: f"annotations/ochuman_coco_format_{split}_range_0.00_1.00.json"
        for split in ("val", "test")
    }


def test_configs_are_for_coco_models_and_cannot_be_trained(capsys):
    for path in CONFIGS.values():
        config = load_config(path)
        assert Skeleton.load(config.skeleton) == COCO
        assert config.data.train is None
    assert main(["train", str(path), "train.run_dir=/dev/null/none"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_files_are_read_without_a_complaint(root, caplog):
    caplog.set_level(logging.INFO)
    data = load_config(CONFIGS["val"], [f"data.root={root}"]).data
    path = data.root / data.val.annotations
    coco = read_coco(path, data.root / data.val.images, COCO, strict=True)
    assert not caplog.records
    assert Skeleton.load(path).limbs == COCO.limbs
    first, second = coco.records
    assert (first.image_id, first.file.name) == (1, "003799.jpg")
    np.testing.assert_array_equal(first.area, [6000, 6000])
    np.testing.assert_array_equal(first.keypoints[0, 1], [0, 0, 0])
    np.testing.assert_allclose(first.keypoints[0, 0], [5.570127, 15.570127, 1])
    assert (first.keypoints[0, :, 2] > 0).sum() == 15
    assert (second.keypoints[0, :, 2] > 0).sum() == 12
    assert not first.ignore and not second.ignore


def detection(annotation, score, shift=0.0):
    keypoints = np.reshape(annotation["keypoints"], (-1, 3)).astype(float)
    keypoints[:, 0] += shift
    keypoints[keypoints[:, 2] == 0] = 77.0, 77.0, 0.5  # a model always says something
    return {
        "image_id": annotation["image_id"],
        "category_id": 1,
        "keypoints": keypoints.reshape(-1).tolist(),
        "score": score,
    }


def test_what_is_not_labelled_does_not_count(caplog):
    people = labels()["annotations"]
    found = [detection(p, 0.9 - 0.1 * i) for i, p in enumerate(people)]
    figures = coco_metrics(data_set(labels(), COCO), found)
    assert figures["AP"] == pytest.approx(1.0, abs=1e-12)
    assert not [r for r in caplog.records if r.levelname == "WARNING"]
    assert not [name for name in figures if name.endswith(("easy", "hard"))]


def test_oks_takes_the_files_area_that_of_the_box():
    (someone, *_), shift = labels()["annotations"], 12.0
    alone = {**labels(), "annotations": [someone]}
    variance = (2 * np.array(COCO.sigmas)) ** 2
    there = np.reshape(someone["keypoints"], (17, 3))[:, 2] > 0
    oks = np.exp(-(shift**2) / (2 * 6000 * variance))[there].mean()
    assert 0.5 < oks < 0.95
    figures = coco_metrics(data_set(alone, COCO), [detection(someone, 0.9, shift)])
    passed = np.mean(oks >= np.linspace(0.5, 0.95, 10))
    assert figures["AP"] == pytest.approx(passed)
    # By the outline's area the same pose would be worth less.
    tighter = np.exp(-(shift**2) / (2 * 3000 * variance))[there].mean()
    assert np.mean(tighter >= np.linspace(0.5, 0.95, 10)) < passed


@pytest.mark.slow
def test_a_coco_model_is_scored_by_the_config(root, tmp_path, monkeypatch):
    from qepose_tf.models import PoseEstimator

    monkeypatch.chdir(tmp_path)  # where `data/ochuman` is below, as the config says
    Path("data").mkdir()
    Path("data/ochuman").symlink_to(root)
    PoseEstimator(COCO, backbone="tiny", input_size=64).save("model.keras")
    words = ["evaluate", "model.keras", "--config", str(CONFIGS["test"])]
    assert main([*words, "--json", "figures.json"]) == 0
    figures = json.loads(Path("figures.json").read_text())
    assert figures["images"] == 2
    assert 0 <= figures["AP"] <= 1
    assert "AP_easy" not in figures
