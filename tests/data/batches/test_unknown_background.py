"""Images in which somebody may stand whom nobody has labelled."""

import dataclasses
import io
import json

import numpy as np
import pytest
import tensorflow as tf

from qepose_tf.building import read_dataset
from qepose_tf.config.schema import DatasetConfig
from qepose_tf.data.batches.people import unknown_background
from qepose_tf.data.coco.dataset import read_coco
from qepose_tf.data.tfrecord.dataset import read_tfrecords
from qepose_tf.data.tfrecord.index import EVERYONE, unpack_index
from qepose_tf.data.tfrecord.stored_image import Shard
from tests.data.coco_files import SKELETON, image, person
from tests.data.pipelines import MOVED, passes, same, train, written
from tests.data.tfrecord.tfrecords import prepared, write_scenes


def drawn(rows):
    """`#` where nothing may be learned."""
    return np.array([[cell == "#" for cell in row] for row in rows.split()])


def test_a_map_by_hand():
    # Keypoints at pixels (8, 4), (20, 4) and (8, 16): cells (2, 1) to (5, 4) are the
    # box; the centre is the cell (3, 2), and radius 1.5 takes the 9 cells around it.
    person_ = np.float32([[[8, 4, 2], [20, 4, 1], [8, 16, 2]]])
    expected = drawn(
        """
        ########
        ##....##
        ##....##
        ##....##
        ##....##
        ########
        ########
        ########
        """
    )
    found = unknown_background(person_, 8, 1.5)
    np.testing.assert_array_equal(found, expected)


def test_the_disc_of_a_narrow_person_is_known_too():
    # A line from cell (1, 1) to (1, 5), whose centre is (1, 3). The second keypoint is
    # not labelled and may be anywhere.
    person_ = np.float32([[[4, 4, 2], [np.nan, np.inf, 0], [4, 20, 2]]])
    expected = drawn(
        """
        ########
        #.######
        ...#####
        ...#####
        ...#####
        #.######
        ########
        ########
        """
    )
    np.testing.assert_array_equal(unknown_background(person_, 8, 1.5), expected)


def test_nobody_knows_nothing():
    nobody = np.zeros((0, 3, 3), np.float32)
    np.testing.assert_array_equal(unknown_background(nobody, 8, 4.0), np.ones((8, 8)))
    unlabelled = np.zeros((2, 3, 3), np.float32)
    assert unknown_background(unlabelled, 8, 4.0).all()


def two_images(folder, everyone, **second):
    """The same image twice; the second says whether it labels everybody."""
    more = {} if everyone is None else {"all_people_labelled": everyone}
    people = [person(1, 1), person(2, 2, **second)]
    return written(folder, [image(1), image(2, **more)], people)


@pytest.mark.parametrize(
    "said, expected",
    [(0, False), (False, False), (1, True), (True, True), (None, True)],
)
def test_the_file_says_it_of_an_image(tmp_path, said, expected):
    coco = two_images(tmp_path, said)
    assert [record.everyone_labelled for record in coco.records] == [True, expected]


def facts_of(coco, **changes):
    """The two images' facts, by the order of the file."""
    settings = {"batch_size": 1, "seed": 0, **changes}
    found = {}
    for epoch in passes(train(coco, **settings), 1):
        leaves = [epoch[i : i + 4] for i in range(0, len(epoch), 4)]
        for row, batch in zip(train_rows(coco), leaves, strict=True):
            found[row] = batch
    return [found[row] for row in sorted(found)]


def train_rows(coco):
    from qepose_tf.data.batches.epoch_order import epoch_order

    order = epoch_order(len(coco.records), coco.parts, 0)
    return order.of(0)[:, 1].tolist()


def test_what_is_not_known_is_ignored_and_nothing_else_changes(tmp_path):
    (tmp_path / "partly").mkdir()
    (tmp_path / "whole").mkdir()
    partly = facts_of(two_images(tmp_path / "partly", 0))
    whole = facts_of(two_images(tmp_path / "whole", 1))
    assert same(partly[0], whole[0]), "an image that labels everybody"
    images, area, ignore, keypoints = partly[1]
    assert same([images, area, keypoints], [whole[1][i] for i in (0, 1, 3)])
    assert not whole[1][2].any()
    known = unknown_background(keypoints[0][area[0] > 0], 16, 4.0)
    np.testing.assert_array_equal(ignore[0, ..., 0], known)
    assert 0 < known.mean() < 1


def test_a_person_who_is_left_out_makes_nothing_known(tmp_path):
    """Below `min_area` nobody is learned, and nothing is known of the background."""
    facts = facts_of(two_images(tmp_path, 0, area=1000), min_area=1024.0)
    assert not facts[0][2].any() and facts[1][2].all()
    assert not facts[1][1].any()


@pytest.mark.parametrize("everyone", [True, False])
def test_the_config_overrules_the_file(tmp_path, everyone):
    two_images(tmp_path, 0)
    files = {"annotations": "people.json", "images": "."}
    source = DatasetConfig(**files, all_people_labelled=everyone)
    coco = read_dataset(source, tmp_path, SKELETON)
    assert [r.everyone_labelled for r in coco.records] == [everyone] * 2
    as_told = read_dataset(DatasetConfig(**files), tmp_path, SKELETON)
    assert [r.everyone_labelled for r in as_told.records] == [True, False]


@pytest.fixture
def partly_labelled(tmp_path):
    """The data set of `write_scenes`, of which every third image is partly labelled."""
    annotations, _ = write_scenes(tmp_path)
    content = json.loads(annotations.read_text())
    for number, entry in enumerate(content["images"]):
        entry["all_people_labelled"] = int(number % 3 != 1)
    annotations.write_text(json.dumps(content))
    return tmp_path


@pytest.mark.slow
def test_prepared_files_keep_it(partly_labelled):
    prepared(partly_labelled)
    plain = read_coco(
        partly_labelled / "people.json", partly_labelled / "images", SKELETON
    )
    stored = read_tfrecords(partly_labelled / "records", SKELETON)
    said = [record.everyone_labelled for record in plain.records]
    assert said == [True, False, True] * 2 + [True]
    assert [record.everyone_labelled for record in stored.records] == said
    batches = (passes(train(c, augment=MOVED), 1)[0] for c in (plain, stored))
    assert same(*batches)
    everyone = [dataclasses.replace(r, everyone_labelled=True) for r in plain.records]
    other = dataclasses.replace(plain, records=everyone)
    first, second = (passes(train(c, augment=MOVED), 1)[0] for c in (plain, other))
    assert not same(first, second)


def test_each_stored_example_says_it(partly_labelled):
    prepared(partly_labelled)
    shards = sorted(map(str, (partly_labelled / "records").glob("*.tfrecord")))
    said = [
        tf.train.Example.FromString(content.numpy())
        .features.feature["image/everyone_labelled"]
        .int64_list.value[0]
        for content in tf.data.TFRecordDataset(shards)
    ]
    assert said == [1, 0, 1] * 2 + [1]


def test_folders_of_before_label_everybody(partly_labelled):
    prepared(partly_labelled)
    folder = partly_labelled / "records"
    with np.load(folder / "index.npz") as arrays:
        before = {name: arrays[name] for name in arrays if name != EVERYONE}
    content = io.BytesIO()
    np.savez(content, **before)
    shards = [Shard(path) for path in sorted(folder.glob("*.tfrecord"))]
    records = unpack_index(content.getvalue(), shards, False, None)
    assert len(records) == 7
    assert all(record.everyone_labelled for record in records)
