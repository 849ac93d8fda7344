"""Several data sets in one training."""

import dataclasses
import itertools
import logging

import numpy as np
import pytest
import tensorflow as tf

from qepose_tf.data.batches.crop import AugmentSettings
from qepose_tf.data.batches.epoch_order import EpochOrder, MixedOrder, epoch_order
from qepose_tf.data.batches.mixture import mixture
from qepose_tf.data.coco.dataset import read_coco
from qepose_tf.skeleton import Skeleton
from tests.data.coco_files import SKELETON, image, person, write_images, write_json
from tests.data.pipelines import MOVED, passes, same, three_images, train
from tests.data.tfrecord.tfrecords import both, prepared, write_scenes

# A data set's images are known by their people's area: 2000, 2100, ... and 6000, ...
FIRST, SECOND = 12, 5
CENTRED = AugmentSettings.off()


def of_areas(folder, areas, first_id=1, **options):
    folder.mkdir()
    numbers = range(first_id, first_id + len(areas))
    images = [image(number) for number in numbers]
    people = [person(n, n, area=area) for n, area in zip(numbers, areas, strict=True)]
    write_images(folder, images)
    return read_coco(write_json(folder, images, people), folder, SKELETON, **options)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    first = of_areas(folder / "first", [2000.0 + 100 * n for n in range(FIRST)])
    second = of_areas(folder / "second", [6000.0 + 100 * n for n in range(SECOND)], 50)
    return first, second


def leaves(dataset, count):
    return [
        [np.asarray(leaf) for leaf in tf.nest.flatten(batch)]
        for batch in itertools.islice(dataset, count)
    ]


def endless(coco, epoch=0, step=0, **changes):
    settings = {"batch_size": 4, "initial_epoch": epoch, "initial_step": step}
    return train(coco, **(settings | {"augment": MOVED} | changes))


def test_a_single_data_set_is_what_it_was(tmp_path):
    coco = three_images(tmp_path)
    assert mixture([coco]) is coco and mixture([coco], [2.0]) is coco
    assert type(epoch_order(3, coco.parts, 0)) is EpochOrder
    as_mixed = dataclasses.replace(coco, parts=())
    for first, second in zip(
        passes(train(coco, augment=MOVED)),
        passes(train(as_mixed, augment=MOVED)),
        strict=True,
    ):
        assert same(first, second)


def test_all_records_in_order_and_shares_that_sum_to_one(two):
    both = mixture(two, [3, 1])
    assert both.records == [*two[0].records, *two[1].records]
    assert both.parts == ((FIRST, 0.75), (SECOND, 0.25))
    plain = mixture(two)
    assert plain.parts == ((FIRST, 12 / 17), (SECOND, 5 / 17))


@pytest.mark.parametrize("batch_size", [3, 4, 16])
@pytest.mark.parametrize(
    "sizes, shares",
    [
        ((12, 5), (3, 1)),
        ((100, 40), (1, 1)),
        ((7, 300), (0.5, 0.1)),
        ((50, 30, 20), (1, 1, 1)),
        ((50, 300, 20), (5, 2, 1)),
    ],
)
def test_every_batch_holds_the_shares(sizes, shares, batch_size):
    fractions = np.array(shares) / np.sum(shares)
    order = MixedOrder(list(zip(sizes, fractions, strict=True)), seed=4)
    edges = np.cumsum([0, *sizes])
    for epoch, step in itertools.product(range(3), range(sum(sizes) // batch_size)):
        rows = order.batch(epoch, step, batch_size)
        assert len(rows) == batch_size
        found, _ = np.histogram(rows, edges)
        # Whole images of each, and an epoch's whole images of each.
        rounding = 1 / sum(sizes) * batch_size
        away = np.abs(found - batch_size * fractions)
        assert away.max() <= 1 + (len(sizes) > 2) + rounding, (epoch, step)


@pytest.mark.parametrize("shares", [(3, 1), (1, 1), (0.05, 0.95)])
def test_each_image_is_seen_once_before_one_is_seen_again(shares):
    sizes = (12, 5)
    fractions = np.array(shares) / np.sum(shares)
    order = MixedOrder(list(zip(sizes, fractions, strict=True)), seed=1)
    epochs = [order.of(epoch) for epoch in range(20)]
    assert all(len(epoch) == 17 for epoch in epochs)
    seen = np.concatenate(epochs)
    for first, size in ((0, 12), (12, 5)):
        mine = seen[(seen[:, 1] >= first) & (seen[:, 1] < first + size)]
        whole = len(mine) // size
        np.testing.assert_array_equal(mine[:, 0], np.arange(len(mine)) // size)
        laps = mine[: whole * size, 1].reshape(whole, size)
        assert (np.sort(laps) == np.arange(first, first + size)).all()
        assert whole < 2 or (laps[0] != laps[1]).any(), "every pass has its own order"


def test_the_order_is_the_seed_s():
    parts = [(12, 0.5), (5, 0.5)]
    first, second, other = (MixedOrder(parts, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.of(2), second.of(2))
    assert (first.of(2) != other.of(2)).any()
    np.testing.assert_array_equal(first(), second.of(0))
    np.testing.assert_array_equal(first(), second.of(1))
    later = MixedOrder(parts, 3, initial_epoch=5)
    np.testing.assert_array_equal(later(), second.of(5))


@pytest.mark.parametrize("epoch, step", [(0, 1), (1, 0), (2, 3)])
def test_a_run_that_goes_on_sees_what_it_would_have_seen(two, epoch, step):
    coco = mixture(two, [1, 1])
    steps = len(coco.records) // 4
    begun = epoch * steps + step
    whole = leaves(endless(coco), begun + 3)
    for found, expected in zip(
        leaves(endless(coco, epoch, step), 3), whole[begun:], strict=True
    ):
        assert same(found, expected)


@pytest.mark.slow
def test_workers_share_each_batch_without_overlap(two):
    coco = mixture(two, [2, 1])
    whole = leaves(endless(coco), 4)
    shards = [leaves(endless(coco, shard=(i, 2)), 4) for i in range(2)]
    for batch, first, second in zip(whole, *shards, strict=True):
        for leaf, one, other in zip(batch, first, second, strict=True):
            np.testing.assert_array_equal(leaf, np.concatenate([one, other]))


def test_the_order_tells_the_images_of_a_step(two):
    """By their people's areas, which the crop's scale multiplies all alike."""
    coco = mixture(two, [1, 1])
    order = epoch_order(len(coco.records), coco.parts, 0)
    batches = leaves(endless(coco, augment=CENTRED), 8)
    for number, batch in enumerate(batches):
        rows = order.batch(*divmod(number, 4), 4)
        expected = np.array([coco.records[row].area[0] for row in rows])
        np.testing.assert_allclose(batch[1][:, 0], expected * (64 / 80) ** 2, rtol=1e-5)


def test_what_each_data_set_contributes_is_told(two, caplog):
    first, second = two
    hidden = [
        dataclasses.replace(
            record,
            keypoints=record.keypoints * np.float32([[[1], [0], [1]]]),
            everyone_labelled=number > 1,
        )
        for number, record in enumerate(second.records)
    ]
    second = dataclasses.replace(second, records=hidden)
    with caplog.at_level(logging.INFO):
        mixture([first, second], [3, 1])
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        f"{first.path}: 75 % of the batches, 12 images, 12 people, 24 keypoints, "
        "never labelled: right_eye",
        f"{second.path}: 25 % of the batches, 5 images, 5 people, 5 keypoints, "
        "background unknown in 2 images, never labelled: left_eye, right_eye",
    ]


def test_what_cannot_be_mixed_is_one_clear_line(two):
    first, second = two
    with pytest.raises(ValueError, match=r"a share for each of 2 data sets, got \[1\]"):
        mixture(two, [1])
    with pytest.raises(ValueError, match="a share for each of 0 data sets"):
        mixture([])
    for shares in ([1, 0], [1, -1], [1, float("nan")]):
        with pytest.raises(ValueError, match="expected positive shares, got"):
            mixture(two, shares)
    names = ("nose", "left_ear", "right_ear")
    ears = Skeleton("ears", names, (names[1:],), (names[:2],), SKELETON.sigmas)
    other = dataclasses.replace(second, skeleton=ears)
    with pytest.raises(ValueError, match=r"people.json: expected the keypoints of .*"):
        mixture([first, other])


def test_records_from_both_kinds_of_files(two, tmp_path):
    write_scenes(tmp_path)
    prepared(tmp_path)
    plain, stored = both(tmp_path)
    batches = [
        leaves(endless(mixture([two[0], other], [1, 1])), 6)
        for other in (plain, stored)
    ]
    for first, second in zip(*batches, strict=True):
        assert same(first, second)
