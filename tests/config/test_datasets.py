"""`data.train` as one data set or a list of several."""

import logging

import pytest

from qepose_tf.building import read_datasets
from qepose_tf.config.changes import differing_keys, limited
from qepose_tf.config.reading import dump_config, load_config
from qepose_tf.config.schema import Config
from qepose_tf.data.batches.epoch_order import MixedOrder, epoch_order
from qepose_tf.training.building import image_ids, steps_per_epoch
from tests.data.coco_files import SKELETON, image, person, write_images, write_json

TWO = """
data:
  train:
    - {annotations: a.json, images: a, share: 3}
    - {tfrecords: b, share: 1, all_people_labelled: false}
"""


@pytest.fixture
def load(tmp_path):
    def load(text, *overrides):
        path = tmp_path / "small.yaml"
        path.write_text(text)
        return load_config(path, overrides)

    return load


def test_a_list_of_data_sets(load, tmp_path):
    config = load(TWO)
    first, second = config.data.train_sources
    assert (first.share, second.share) == (3, 1)
    assert (first.all_people_labelled, second.all_people_labelled) == (None, False)
    dump_config(config, tmp_path / "resolved.yaml")
    assert load_config(tmp_path / "resolved.yaml") == config
    assert differing_keys(config, load(TWO.replace("3", "2"))) == ["data.train"]


def test_one_data_set_and_none(load):
    assert load("").data.train_sources == []
    one = load("data: {train: {tfrecords: b}}").data
    assert one.train_sources == [one.train]


def test_each_is_limited(load):
    sources = limited(load(TWO), 7).data.train_sources
    assert [(s.limit, s.share) for s in sources] == [(7, 3), (7, 1)]
    single = limited(load("data: {train: {tfrecords: b}}"), 7).data.train
    assert single.limit == 7
    assert limited(load("data: {val: {tfrecords: b}}"), 7).data.train is None


@pytest.mark.parametrize(
    "train, message",
    [
        ("[]", "expected at least one data set in train"),
        (
            "[{tfrecords: a, share: 1}, {tfrecords: b}]",
            "expected a share for each data set in train, or for none",
        ),
        (
            "[{tfrecords: a}, {tfrecords: b, share: 0}]",
            "data.train.1.share = 0: expected greater than 0",
        ),
        (
            "[{tfrecords: a, all_people_labelled: 0}]",
            "data.train.0.all_people_labelled = 0: expected a valid boolean",
        ),
        (
            "[{tfrecord: a}]",
            "unknown key data.train.0.tfrecord = 'a', did you mean "
            "data.train.0.tfrecords?",
        ),
        (
            "{tfrecord: a}",
            "unknown key data.train.tfrecord = 'a', did you mean data.train.tfrecords?",
        ),
        ("[3]", "data.train.0 = 3: expected a valid dictionary"),
        ("3", "data.train = 3: expected a valid dictionary"),
    ],
)
def test_what_is_wrong_is_one_clear_line(load, train, message):
    with pytest.raises(ValueError) as caught:
        load(f"data: {{train: {train}}}")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_they_are_read_as_one_with_their_shares(tmp_path, caplog):
    sources = []
    for name, count in (("a", 6), ("b", 3)):
        (tmp_path / name).mkdir()
        images = [image(10 * count + number) for number in range(count)]
        people = [person(number, entry["id"]) for number, entry in enumerate(images)]
        write_images(tmp_path / name, images)
        write_json(tmp_path / name, images, people)
        sources.append({"annotations": f"{name}/people.json", "images": name})
    sources[1]["all_people_labelled"] = False
    data = {"root": tmp_path, "train": sources}
    train = {"batch_size": 3}
    config = Config.model_validate({"name": "x", "data": data, "train": train})
    with caplog.at_level(logging.INFO):
        coco, val = read_datasets(config, SKELETON)
    assert val is None
    assert coco.parts == ((6, 6 / 9), (3, 3 / 9))
    assert [r.everyone_labelled for r in coco.records] == [True] * 6 + [False] * 3
    assert "b/people.json: 33 % of the batches, 3 images" in caplog.text
    assert steps_per_epoch(config, coco, 1) == 3
    order = epoch_order(9, coco.parts, config.seed)
    assert isinstance(order, MixedOrder)
    found = image_ids(config, coco)
    for step in range(3):
        rows = order.batch(1, step, 3)
        assert found(1, step) == [coco.records[row].image_id for row in rows]
        assert sum(row >= 6 for row in rows) == 1
    sources[0]["share"] = sources[1]["share"] = 1
    config = Config.model_validate({"name": "x", "data": data, "train": train})
    assert read_datasets(config, SKELETON)[0].parts == ((6, 0.5), (3, 0.5))


def test_person_crops_are_checked(load):
    assert load("augment: {person_crop: 0.5}").augment.person_crop == 0.5
    for text, message in (
        ("person_crop: 2", "augment.person_crop = 2: expected less than or equal to 1"),
        ("person_scale: [3, 1]", "augment.person_scale = [3, 1]: expected [smallest,"),
    ):
        with pytest.raises(ValueError) as caught:
            load(f"augment: {{{text}}}")
        assert message in str(caught.value)


def test_layers_are_frozen_to_a_stride_that_a_body_has(load):
    assert load("train: {freeze_to_stride: 8}").train.freeze_to_stride == 8
    with pytest.raises(ValueError, match="freeze_to_stride = 6: expected 2, 4, 8, 16"):
        load("train: {freeze_to_stride: 6}")
