import dataclasses
import logging
import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from qepose_tf.data.augment import AugmentSettings
from qepose_tf.data.coco import read_coco
from qepose_tf.data.letterbox import letterbox, original_points
from qepose_tf.data.loading import ExampleLoader
from qepose_tf.data.pipeline import eval_dataset, train_dataset
from qepose_tf.data.selection import select_people
from qepose_tf.skeleton import COCO
from tests.data.coco_files import (
    SKELETON,
    image,
    person,
    write_images,
    write_json,
)

ROOT = Path(__file__).resolve().parents[2]
REAL = Path(os.environ.get("QEPOSE_COCO", ROOT.parent / "shared/coco"))
needs_real = pytest.mark.skipif(
    not (REAL / "images/val2017").is_dir(), reason=f"no COCO images in {REAL}"
)
OFF = AugmentSettings.off()
MOVED = dataclasses.replace(AugmentSettings(), shift=8.0)
MEAN = np.array([123.0, 117.0, 104.0], np.float32)
STD = np.array([58.0, 57.0, 57.5], np.float32)


def written(folder, images, annotations, **options):
    write_images(folder, images)
    path = write_json(folder, images, annotations)
    return read_coco(path, folder, SKELETON, **options)


def three_images(folder):
    people = [person(1, 1), person(2, 2, keypoints=[30, 30, 2] * 3)]
    return written(folder, [image(number) for number in (1, 2, 3)], people)


def train(coco, **changes):
    arguments = dict(
        input_size=64,
        batch_size=3,
        mean=MEAN,
        std=STD,
        augment=OFF,
        max_people=4,
        min_area=1024.0,
        disc_radius=4.0,
        seed=0,
    )
    return train_dataset(coco, **(arguments | changes))


def evaluate(coco, **changes):
    arguments = dict(input_size=64, batch_size=2, mean=MEAN, std=STD)
    return eval_dataset(coco, **(arguments | changes))


def passes(dataset, count=2):
    """`count` epochs as flat lists of arrays."""
    return [
        [np.asarray(leaf) for batch in dataset for leaf in tf.nest.flatten(batch)]
        for _ in range(count)
    ]


def same(first, second):
    pairs = zip(first, second, strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


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


def test_central_square_by_hand(tmp_path):
    # 100x80 -> the middle 80x80, which starts at x = 10, -> 64x64: a factor of 0.8.
    coco = written(tmp_path, [image(1)], [person(1)])
    ((images, facts),) = train(coco, batch_size=1)
    expected = (np.array([90, 120, 150]) - MEAN) / STD
    np.testing.assert_allclose(images[0, 5, 60], expected, rtol=1e-5)
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


@pytest.mark.parametrize("kind", ["memory", "folder"])
def test_cache_changes_nothing(tmp_path, kind, caplog):
    coco = three_images(tmp_path)
    cache = "memory" if kind == "memory" else tmp_path / "new" / "cache"
    plain = passes(train(coco, augment=MOVED))
    dataset = train(coco, augment=MOVED, cache=cache)
    first = passes(dataset, 1)[0]
    assert same(plain[0], first)
    contents = {record.file: record.file.read_bytes() for record in coco.records}
    if kind == "memory":
        for record in coco.records:
            record.file.unlink()  # nothing is read again
    else:
        assert len(list(cache.iterdir())) == 3
        for file in cache.iterdir():
            assert file.suffix == ".npz"
    assert same(plain[1], passes(dataset, 1)[0])
    if kind == "memory":
        return
    broken = sorted(cache.iterdir())[0]
    broken.write_bytes(b"half a file")
    again = train(coco, augment=MOVED, cache=cache)
    with caplog.at_level(logging.WARNING):
        assert same(plain[0], passes(again, 1)[0])
    assert "broken cache file, made again" in caplog.text
    # An image that changes is not taken from the cache.
    file = coco.records[0].file
    Image.fromarray(np.zeros((80, 100, 3), np.uint8)).save(file)
    assert file.read_bytes() != contents[file]
    assert not same(plain[0], passes(train(coco, augment=MOVED, cache=cache), 1)[0])


def test_cache_of_another_kind_or_unwritable(tmp_path):
    coco = three_images(tmp_path)
    with pytest.raises(ValueError, match="cache: expected 'memory', 'none' or a Path"):
        train(coco, cache="disk")
    with pytest.raises(OSError, match="cannot make the cache folder"):
        train(coco, cache=coco.path / "below a file")


def test_image_without_people_is_background(tmp_path):
    coco = written(tmp_path, [image(1), image(2)], [person(1, 2)])
    ((_, facts),) = train(coco, batch_size=2)
    counts = (facts["area"].numpy() > 0).sum(axis=1)
    assert sorted(counts) == [0, 1]
    assert not facts["ignore"].numpy().any()


def test_padding_is_ignored_and_zero_whatever_the_colours(tmp_path):
    coco = written(tmp_path, [image(1, width=64, height=64)], [person(1)])
    wide = AugmentSettings(flip=0.0, rotation=0.0, scale=(2.0, 2.0), shift=0.0)
    for images, facts in train(coco, batch_size=1, augment=wide):
        pixels = images[0].numpy()
        assert not pixels[:16].any() and not pixels[:, 48:].any()
        assert (pixels[16:48, 16:48] != 0).all()
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


def test_selection_prefers_people_whose_centre_is_in_the_crop():
    inside, outside = [[30.0, 30, 2]] * 3, [[-9.0, 30, 2]] * 3
    keypoints = tf.constant([outside, inside, [[20.0, 40, 2]] * 3])
    kept, area, discs = select_people(
        keypoints, tf.constant([9e3, 1e3, 2e3]), tf.constant([True] * 3), 1, 16, 4.0
    )
    np.testing.assert_array_equal(area, [2e3])
    np.testing.assert_array_equal(kept[0], [[20, 40, 2]] * 3)
    assert tf.reduce_sum(discs) == 45 and discs[8, 8, 0] == 1
    _, area, discs = select_people(
        keypoints[:0], tf.zeros([0]), tf.zeros([0], tf.bool), 2, 16, 4.0
    )
    np.testing.assert_array_equal(area, [0, 0])
    assert not discs.numpy().any()


def test_extreme_shapes(tmp_path):
    sizes = [(1, 1), (4000, 200), (200, 4000)]
    images, people = [], []
    for number, (width, height) in enumerate(sizes):
        keypoints = [width // 2, height // 2, 2, 0, 0, 0, 0, 0, 0]
        images.append(image(number, width=width, height=height))
        people.append(person(number, number, keypoints=keypoints))
    coco = written(tmp_path, images, people)
    for augment in (OFF, MOVED):
        ((images, facts),) = train(coco, augment=augment)
        assert np.isfinite(images.numpy()).all()
        np.testing.assert_array_equal((facts["area"].numpy() > 0).sum(axis=1), [1] * 3)
    batches = {int(batch["image_id"][0]): batch for batch in evaluate(coco)}
    for number, (width, height) in enumerate(sizes):
        short = min(width, height)
        expected = (1, 64 * height // short, 64 * width // short, 3)
        assert batches[number]["image"].shape == expected
        np.testing.assert_allclose(batches[number]["scale"], [[64 / short] * 2])


def spoil(coco, row, content=b""):
    coco.records[row].file.write_bytes(content)


def test_broken_image_gives_its_place_to_the_next(tmp_path, caplog):
    coco = three_images(tmp_path)
    spoil(coco, 0, coco.records[0].file.read_bytes()[:60])
    dataset = train(coco)
    with caplog.at_level(logging.WARNING):
        epochs = passes(dataset, 2)
    assert all(len(epoch[0]) == 3 for epoch in epochs)
    assert len(caplog.records) == 1
    assert "1.png: broken image" in caplog.text
    assert "another image takes its place" in caplog.text
    with pytest.raises(tf.errors.InvalidArgumentError, match="1.png: broken image"):
        passes(train(coco, strict=True), 1)


def test_no_readable_image(tmp_path):
    coco = three_images(tmp_path)
    for row in range(3):
        spoil(coco, row)
    with pytest.raises(tf.errors.InvalidArgumentError, match="none of the 3 images"):
        passes(train(coco), 1)


def test_image_of_another_size_than_annotated(tmp_path, caplog):
    coco = three_images(tmp_path)
    Image.new("RGB", (80, 100)).save(coco.records[2].file)
    with caplog.at_level(logging.WARNING):
        (batch,) = passes(evaluate(coco, batch_size=3), 1)
    assert "3.png: expected 100x80 pixels as annotated, got 80x100" in caplog.text
    assert len(batch[0]) == 2


def test_broken_image_in_evaluation_is_left_out_and_named(tmp_path, caplog):
    coco = three_images(tmp_path)
    spoil(coco, 0)
    coco.records[2].file.unlink()
    with caplog.at_level(logging.WARNING):
        (batch,) = evaluate(coco)
    np.testing.assert_array_equal(batch["image_id"], [2])
    messages = sorted(record.getMessage() for record in caplog.records)
    assert "1.png: expected an image, got an empty file; it gets no" in messages[0]
    assert "3.png: no such image file; it gets no poses" in messages[1]
    assert "(2 left out so far)" in "".join(messages)
    with pytest.raises(tf.errors.OpError, match="1.png: expected an image"):
        passes(evaluate(coco, strict=True), 1)


def test_every_image_mode_goes_through(tmp_path):
    modes = ["L", "RGBA", "P", "CMYK", "I;16", "1", "LA", "RGB"]
    coco = written(tmp_path, [image(n) for n in range(len(modes))], [person(0, 0)])
    for mode, record in zip(modes, coco.records, strict=True):
        white = Image.fromarray(np.full((80, 100), 255, np.uint8))
        if mode == "I;16":
            white = Image.fromarray(np.full((80, 100), 65535, np.uint16))
        elif mode != "L":
            white = white.convert(mode)
        white.save(record.file, "JPEG" if mode == "CMYK" else "PNG")
    expected = np.broadcast_to((255 - MEAN) / STD, (len(modes), 3))
    ((images, _),) = train(coco, batch_size=len(modes), strict=True)
    np.testing.assert_allclose(images[:, 32, 32], expected, rtol=1e-5)
    (batch,) = evaluate(coco, batch_size=len(modes), strict=True)
    np.testing.assert_allclose(batch["image"][:, 32, 32], expected, rtol=1e-5)


def test_exif_orientation_is_ignored_in_training_and_evaluation(tmp_path):
    coco = written(tmp_path, [image(1)], [person()])
    turned = np.zeros((80, 100, 3), np.uint8)
    turned[:40] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    Image.fromarray(turned).save(coco.records[0].file, exif=exif)
    ((images, _),) = train(coco, batch_size=1)
    (batch,) = evaluate(coco)
    for pixels in (images[0], batch["image"][0]):
        assert pixels[4, 32, 0] > 0 > pixels[60, 32, 0]


def test_too_few_images_and_wrong_arguments(tmp_path):
    coco = three_images(tmp_path)
    with pytest.raises(ValueError, match="images for a batch of 4, got 3"):
        train(coco, batch_size=4)
    with pytest.raises(ValueError, match="divisible by 4, got 66"):
        train(coco, input_size=66)
    with pytest.raises(ValueError, match="seed >= 0"):
        train(coco, seed=-1)


def test_batches_of_one_padded_shape(tmp_path):
    sizes = [(100, 80), (80, 100), (120, 90), (100, 80), (80, 80), (80, 100)]
    images = [
        image(number, width=width, height=height)
        for number, (width, height) in enumerate(sizes)
    ]
    coco = written(tmp_path, images, [person(1, 0)])
    batches = list(evaluate(coco, batch_size=2))
    shapes = [tuple(batch["image"].shape[:3]) for batch in batches]
    assert sorted(shapes) == [(1, 64, 64), (1, 64, 128), (2, 64, 128), (2, 128, 64)]
    ids = [number for batch in batches for number in batch["image_id"].numpy()]
    assert sorted(ids) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("size", [(100, 80), (333, 500), (41, 640), (64, 64)])
def test_round_trip_from_network_to_original_pixels(size):
    width, height = size
    y, x = np.mgrid[:height, :width]
    point = np.array([0.4 * width, 0.6 * height])
    spread = 2 * (min(size) / 12) ** 2
    spot = 255 * np.exp(-((x - point[0]) ** 2 + (y - point[1]) ** 2) / spread)
    pixels = np.repeat(spot.round().astype(np.uint8)[..., None], 3, -1)
    content, scale = letterbox(pixels, 128, np.zeros(3), np.ones(3))
    assert content.shape[0] % 64 == content.shape[1] % 64 == 0
    rows, columns = np.mgrid[: content.shape[0], : content.shape[1]]
    weight = content[..., 0] / content[..., 0].sum()
    found = np.array([(columns * weight).sum(), (rows * weight).sum()])
    np.testing.assert_allclose(original_points(found, scale), point, atol=0.1)
    there = (point + 0.5) * scale - 0.5
    np.testing.assert_allclose(original_points(there, scale), point, rtol=1e-5)


def test_letterbox_padding_is_zero_after_normalisation():
    content, scale = letterbox(np.full((30, 50, 3), 255, np.uint8), 60, MEAN, STD)
    assert content.shape == (64, 128, 3) and content.dtype == np.float32
    np.testing.assert_array_equal(scale, [2, 2])
    assert not content[60:].any() and not content[:, 100:].any()
    white = np.broadcast_to((255 - MEAN) / STD, (60, 100, 3))
    np.testing.assert_allclose(content[:60, :100], white, rtol=1e-6)


def test_two_replicas_get_the_whole_epoch(tmp_path):
    images = [image(number) for number in range(1, 9)]
    people = [person(n, n, area=2000.0 + n) for n in range(1, 9)]
    dataset = train(written(tmp_path, images, people), batch_size=4)
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    distributed = strategy.experimental_distribute_dataset(dataset)
    area = np.concatenate([facts["area"][:, 0] for _, facts in distributed]) / 0.64
    assert sorted((area - 2000).round().astype(int)) == list(range(1, 9))


@needs_real
def test_real_images_and_their_people():
    annotations = REAL / "annotations/person_keypoints_val2017.json"
    coco = read_coco(annotations, REAL / "images/val2017", COCO, strict=True)
    assert len(coco.records) == 39
    assert sum(len(record.area) for record in coco.records) == 83
    dataset = train(
        coco, input_size=128, batch_size=13, augment=AugmentSettings(), max_people=30
    )
    people = 0
    for images, facts in dataset:
        assert np.isfinite(images.numpy()).all()
        low, high = (0 - MEAN) / STD, (255 - MEAN) / STD
        assert (images >= low - 1e-4).numpy().all()
        assert (images <= high + 1e-4).numpy().all()
        people += (facts["area"].numpy() > 0).sum()
        labelled = facts["keypoints"].numpy()[..., 2] > 0
        assert (labelled.any(-1) == (facts["area"].numpy() > 0)).all()
    assert 50 <= people <= 83
    ids = [int(i) for b in evaluate(coco, batch_size=8) for i in b["image_id"]]
    assert sorted(ids) == sorted(record.image_id for record in coco.records)


@needs_real
def test_real_labels_without_images():
    name = "annotations/person_keypoints_val2017_538_labels_only.json"
    coco = read_coco(REAL / name, REAL, COCO, strict=True, require_images=False)
    assert len(coco.records) == 538
    assert sum(len(record.area) for record in coco.records) == 1354
    assert sum(len(record.ignore) for record in coco.records) == 2213 - 1354
