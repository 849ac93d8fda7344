import logging

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from qepose_tf.data.batches.crop import AugmentSettings
from qepose_tf.data.coco.dataset import read_coco
from qepose_tf.data.coco.pictures import read_record_image
from qepose_tf.skeleton import COCO
from tests.data.coco_files import image, person
from tests.data.pipelines import (
    MEAN,
    MOVED,
    OFF,
    passes,
    three_images,
    train,
    written,
)
from tests.real_coco import FOLDER, needs_images


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
    expected = np.full((len(modes), 3), 255.0)
    ((images, _),) = train(coco, batch_size=len(modes), strict=True)
    np.testing.assert_allclose(images[:, 32, 32], expected, rtol=1e-5)
    for record in coco.records:
        assert (read_record_image(record)[32, 32] == 255).all()


def test_exif_orientation_is_ignored_in_training_and_evaluation(tmp_path):
    coco = written(tmp_path, [image(1)], [person()])
    turned = np.zeros((80, 100, 3), np.uint8)
    turned[:40] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    Image.fromarray(turned).save(coco.records[0].file, exif=exif)
    ((images, _),) = train(coco, batch_size=1)
    stored = read_record_image(coco.records[0])
    for pixels in (images[0], stored):
        assert pixels[4, 32, 0] > MEAN[0] > pixels[60, 32, 0]


@needs_images
def test_real_images_and_their_people():
    annotations = FOLDER / "annotations/person_keypoints_val2017.json"
    coco = read_coco(annotations, FOLDER / "images/val2017", COCO, strict=True)
    assert len(coco.records) == 39
    assert sum(len(record.area) for record in coco.records) == 83
    dataset = train(
        coco, input_size=128, batch_size=13, augment=AugmentSettings(), max_people=30
    )
    people = 0
    for images, facts in dataset:
        assert np.isfinite(images.numpy()).all()
        assert (images >= -1e-4).numpy().all()
        assert (images <= 255 + 1e-4).numpy().all()
        people += (facts["area"].numpy() > 0).sum()
        labelled = facts["keypoints"].numpy()[..., 2] > 0
        assert (labelled.any(-1) == (facts["area"].numpy() > 0)).all()
    assert 50 <= people <= 83


@needs_images
def test_real_labels_without_images():
    name = "annotations/person_keypoints_val2017_538_labels_only.json"
    coco = read_coco(FOLDER / name, FOLDER, COCO, strict=True, require_images=False)
    assert len(coco.records) == 538
    assert sum(len(record.area) for record in coco.records) == 1354
    assert sum(len(record.ignore) for record in coco.records) == 2213 - 1354
