import itertools

import numpy as np
import pytest
import tensorflow as tf

from qepose_tf.data.batches.epoch_order import EpochOrder
from tests.data.coco_files import image, person
from tests.data.pipelines import MOVED, train, written

IMAGES, BATCH = 9, 4  # two batches, and one image that an epoch leaves out
STEPS = IMAGES // BATCH


@pytest.fixture(scope="module")
def coco(tmp_path_factory):
    """Each image has a person of an area of its own, by which it is known."""
    people = [person(n, n, area=2000.0 + 100 * n) for n in range(1, IMAGES + 1)]
    images = [image(number) for number in range(1, IMAGES + 1)]
    return written(tmp_path_factory.mktemp("nine"), images, people)


def leaves(dataset, count):
    return [
        [np.asarray(leaf) for leaf in tf.nest.flatten(batch)]
        for batch in itertools.islice(dataset, count)
    ]


def endless(coco, epoch=0, step=0, **changes):
    return train(
        coco, batch_size=BATCH, initial_epoch=epoch, initial_step=step, **changes
    )


def assert_same(found, expected):
    for batch, other in zip(found, expected, strict=True):
        for leaf, value in zip(batch, other, strict=True):
            np.testing.assert_array_equal(leaf, value)


@pytest.mark.slow
def test_epochs_follow_one_another_as_passes_do(coco):
    passes = train(coco, batch_size=BATCH, augment=MOVED)
    expected = [*leaves(passes, STEPS), *leaves(passes, STEPS)]
    assert_same(leaves(endless(coco, augment=MOVED), 2 * STEPS), expected)


@pytest.mark.slow
@pytest.mark.parametrize("epoch, step", [(0, 1), (1, 0), (1, 1), (2, 2)])
def test_a_run_that_goes_on_sees_what_it_would_have_seen(coco, epoch, step):
    whole = leaves(endless(coco, augment=MOVED), 4 * STEPS)
    dataset = endless(coco, epoch, step, augment=MOVED)
    begun = epoch * STEPS + step
    for _ in range(2):  # every iterator begins at the same place
        assert_same(leaves(dataset, 2), whole[begun : begun + 2])


@pytest.mark.slow
@pytest.mark.parametrize("workers, pieces", [(2, 1), (4, 1), (2, 2)])
def test_workers_share_each_batch_without_overlap(coco, workers, pieces):
    """What each replica gets, by image, and that it is a part of the whole batch."""
    whole = leaves(endless(coco), 2 * STEPS)
    shards = [
        leaves(endless(coco, shard=(i, workers), pieces=pieces), 2 * STEPS * pieces)
        for i in range(workers)
    ]
    for step, batch in enumerate(whole):
        parts = [
            part
            for shard in shards
            for part in shard[step * pieces : (step + 1) * pieces]
        ]
        joined = [np.concatenate(leaf) for leaf in zip(*parts, strict=True)]
        assert_same([joined], [batch])
        areas = [float(area) for part in parts for area in part[1][:, 0]]
        assert len(set(areas)) == BATCH, "an image was read twice"


def test_the_order_tells_the_images_of_a_step(coco):
    order = EpochOrder(IMAGES, 0)
    batches = leaves(endless(coco), 2 * STEPS)
    scale = batches[0][1][:, 0] / (2000 + 100 * (order.batch(0, 0, BATCH) + 1))
    for number, batch in enumerate(batches):
        rows = order.batch(*divmod(number, STEPS), BATCH)
        np.testing.assert_allclose(
            batch[1][:, 0], scale[0] * (2000 + 100 * (rows + 1)), rtol=1e-5
        )


def test_tells_when_a_batch_is_ready(coco):
    numbers = []
    dataset = endless(coco, shard=(0, 2), pieces=2, on_batch=numbers.append)
    leaves(dataset, 4)
    assert numbers[:4] == [0, 0, 1, 1]
