import logging

import numpy as np
import pytest
import tensorflow as tf

from qepose_tf.data.batches.crop import AugmentSettings
from qepose_tf.data.batches.example import ExampleLoader
from tests.data.coco_files import image, person
from tests.data.pipelines import (
    MEAN,
    MOVED,
    passes,
    same,
    three_images,
    train,
    written,
)


def test_shapes_types_and_length(tmp_path):
    dataset = train(three_images(tmp_path), batch_size=2)
    assert dataset.cardinality() == 1
    images, facts = next(iter(dataset))
    assert (images.shape, images.dtype) == ((2, 64, 64, 3), tf.float32)
    assert {name: (*fact.shape,) for name, fact in facts.items()} == {
        "keypoints": (2, 4, 3, 3),
        "area": (2, 4),
        "ignore": (2, 16, 16, 1),
    }
    assert {fact.dtype for fact in facts.values()} == {tf.float32}
    assert dataset.element_spec[0].shape == (2, 64, 64, 3)
    whole = train(three_images(tmp_path), batch_size=2, drop_remainder=False)
    assert [len(images) for images, _ in whole] == [2, 1]


def test_batches_are_padded_to_their_own_people(tmp_path):
    people = [person(1, 1), person(2, 1, area=3000.0), person(3, 2)]
    coco = written(tmp_path, [image(number) for number in (1, 2, 3)], people)
    padded = passes(train(coco, batch_size=1, augment=MOVED), 1)[0]
    short = train(coco, batch_size=1, augment=MOVED, fixed_people=False)
    counts = []
    for number, (images, facts) in enumerate(short):
        people = facts["area"].shape[1]
        counts.append(people)
        image_, area, _, keypoints = padded[4 * number : 4 * number + 4]
        np.testing.assert_array_equal(images, image_)
        np.testing.assert_array_equal(facts["area"], area[:, :people])
        np.testing.assert_array_equal(facts["keypoints"], keypoints[:, :people])
        assert not area[:, people:].any()
    assert sorted(counts) == [1, 1, 2]


def test_central_square_by_hand(tmp_path):
    # 100x80 -> the middle 80x80, which starts at x = 10, -> 64x64: a factor of 0.8.
    coco = written(tmp_path, [image(1)], [person(1)])
    ((images, facts),) = train(coco, batch_size=1)
    np.testing.assert_allclose(images[0, 5, 60], [90, 120, 150], rtol=1e-5)
    np.testing.assert_allclose(
        facts["keypoints"][0, 0],
        [
            [(20 + 0.5 - 10) * 0.8 - 0.5, (30 + 0.5) * 0.8 - 0.5, 2],
            [(40 + 0.5 - 10) * 0.8 - 0.5, (50 + 0.5) * 0.8 - 0.5, 1],
            [0, 0, 0],
        ],
        rtol=1e-5,
    )
    np.testing.assert_allclose(facts["area"][0], [5000 * 0.64, 0, 0, 0], rtol=1e-5)
    assert not facts["ignore"].numpy().any()
    assert not facts["keypoints"][0, 1:].numpy().any()


def test_large_image_is_shrunk_before_and_its_facts_with_it(tmp_path):
    # 400x320 is kept at a short side of 96; the middle 320 -> 64 is a factor of 0.2.
    big = image(1, width=400, height=320)
    keypoints = [200, 100, 2, 300, 200, 2, 0, 0, 0]
    crowd = person(2, iscrowd=1, bbox=[40.0, 0.0, 160.0, 160.0])
    coco = written(tmp_path, [big], [person(1, keypoints=keypoints), crowd])
    example = ExampleLoader(coco, 96)(0)
    assert example.image.shape == (96, 120, 3) and example.ignore.shape == (24, 30)
    np.testing.assert_allclose(example.area, [5000 * 0.09], rtol=1e-5)
    np.testing.assert_array_equal(example.original_area, [5000])
    ((_, facts),) = train(coco, batch_size=1)
    np.testing.assert_allclose(
        facts["keypoints"][0, 0, :2],
        [[160.5 * 0.2 - 0.5, 100.5 * 0.2 - 0.5, 2], [51.6, 39.6, 2]],
        atol=1e-4,
    )
    np.testing.assert_allclose(facts["area"][0, 0], 200, rtol=1e-5)
    # The crowd covers the upper left quarter of the crop: 8 by 8 cells.
    expected = np.zeros((16, 16))
    expected[:8, :8] = 1
    np.testing.assert_array_equal(facts["ignore"][0, :, :, 0], expected)


@pytest.mark.slow
def test_same_seed_same_epochs_and_every_epoch_another(tmp_path):
    coco = three_images(tmp_path)
    first = passes(train(coco, augment=MOVED), 3)
    second = passes(train(coco, augment=MOVED), 3)
    for a, b in zip(first, second, strict=True):
        assert same(a, b)
    assert not same(first[0], first[1]) and not same(first[1], first[2])
    other = passes(train(coco, augment=MOVED, seed=1), 1)
    assert not same(first[0], other[0])


def test_later_epochs_can_be_had_at_once(tmp_path):
    coco = three_images(tmp_path)
    whole = passes(train(coco, augment=MOVED), 3)
    resumed = passes(train(coco, augment=MOVED, initial_epoch=2), 1)
    assert same(whole[2], resumed[0])


def test_every_epoch_is_shuffled_and_complete(tmp_path):
    images = [image(number) for number in range(1, 9)]
    people = [person(n, n, area=2000.0 + n) for n in range(1, 9)]
    coco = written(tmp_path, images, people)
    dataset = train(coco, batch_size=4)
    orders = []
    for _ in range(3):
        area = np.concatenate([facts["area"][:, 0] for _, facts in dataset]) / 0.64
        orders.append(tuple((area - 2000).round().astype(int)))
    assert len(set(orders)) == 3
    assert all(sorted(order) == list(range(1, 9)) for order in orders)


def test_image_without_people_is_background(tmp_path):
    coco = written(tmp_path, [image(1), image(2)], [person(1, 2)])
    ((_, facts),) = train(coco, batch_size=2)
    counts = (facts["area"].numpy() > 0).sum(axis=1)
    assert sorted(counts) == [0, 1]
    assert not facts["ignore"].numpy().any()


def test_padding_is_ignored_and_the_mean_whatever_the_colours(tmp_path):
    coco = written(tmp_path, [image(1, width=64, height=64)], [person(1)])
    wide = AugmentSettings(flip=0.0, rotation=0.0, scale=(2.0, 2.0), shift=0.0)
    for images, facts in train(coco, batch_size=1, augment=wide):
        pixels = images[0].numpy()
        outside = (pixels == MEAN).all(axis=-1)
        assert outside[:16].all() and outside[:, 48:].all()
        assert not outside[16:48, 16:48].any()
        expected = np.ones((16, 16))
        expected[4:12, 4:12] = 0
        np.testing.assert_array_equal(facts["ignore"][0, :, :, 0], expected)


def test_tiny_person_is_no_target_but_ignored(tmp_path):
    spot = [32, 20, 2] * 3
    tiny = person(1, area=1000.0, keypoints=spot)
    square = image(1, width=64, height=64)
    coco = written(tmp_path, [square], [tiny, person(2, keypoints=[12, 40, 2] * 3)])
    ((_, facts),) = train(coco, batch_size=1)
    np.testing.assert_allclose(facts["area"][0], [5000, 0, 0, 0], rtol=1e-5)
    ignored = np.argwhere(facts["ignore"][0, :, :, 0].numpy())
    assert len(ignored) == 45
    np.testing.assert_array_equal(ignored.mean(axis=0), [5, 8])  # (y, x) in cells
    ((_, facts),) = train(coco, batch_size=1, min_area=0.0)
    assert (facts["area"].numpy() > 0).sum() == 2
    assert not facts["ignore"].numpy().any()


def test_min_area_is_measured_in_the_original(tmp_path):
    # Shrunk to 0.3 of its size, the person's area falls below 32^2.
    big = image(1, width=320, height=320)
    coco = written(tmp_path, [big], [person(1, keypoints=[160, 160, 2] * 3)])
    ((_, facts),) = train(coco, batch_size=1)
    np.testing.assert_allclose(facts["area"][0, 0], 5000 * 0.04, rtol=1e-5)
    assert not facts["ignore"].numpy().any()


def test_sixty_people_keep_the_largest(tmp_path, caplog):
    people = [
        person(n, area=2000.0 + n, keypoints=[3 + n, 40, 2] * 3) for n in range(60)
    ]
    coco = written(tmp_path, [image(1, width=64, height=64)], people)
    with caplog.at_level(logging.WARNING):
        ((_, facts),) = train(coco, batch_size=1, max_people=30)
    assert "1 images show more than 30 people; the smaller 30 are" in caplog.text
    np.testing.assert_allclose(facts["area"][0], 2000 + np.arange(59, 29, -1))
    ignored = facts["ignore"][0, 10, :, 0].numpy()  # the row of the centres
    # Those left out stand at x = 3 to 32, cells 1 to 8; each disc reaches 3 further.
    np.testing.assert_array_equal(ignored, [1] * 12 + [0] * 4)


def test_too_few_images_and_wrong_arguments(tmp_path):
    coco = three_images(tmp_path)
    with pytest.raises(ValueError, match="images for a batch of 4, got 3"):
        train(coco, batch_size=4)
    with pytest.raises(ValueError, match="divisible by 4, got 66"):
        train(coco, input_size=66)
    with pytest.raises(ValueError, match="seed >= 0"):
        train(coco, seed=-1)


def test_distributed_dataset_is_the_whole_epoch(tmp_path):
    images = [image(number) for number in range(1, 9)]
    people = [person(n, n, area=2000.0 + n) for n in range(1, 9)]
    dataset = train(written(tmp_path, images, people), batch_size=4)
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    distributed = strategy.experimental_distribute_dataset(dataset)
    area = np.concatenate([facts["area"][:, 0] for _, facts in distributed]) / 0.64
    assert sorted((area - 2000).round().astype(int)) == list(range(1, 9))
