"""Which way annotated pictures are read, and which of them cannot be."""

import itertools
import json
import logging

import numpy as np
import pytest
from PIL import Image, ImageOps

from qepose_tf.data.batches.example import ExampleLoader
from qepose_tf.data.coco.dataset import read_coco
from qepose_tf.data.coco.pictures import read_record_image, readable_records
from qepose_tf.data.tfrecord.dataset import read_tfrecords
from qepose_tf.data.tfrecord.prepare import prepare
from tests.data.coco_files import SKELETON, image, person, write_images, write_json

WIDTH, HEIGHT = 100, 80
FORMATS = {"jpg": "JPEG", "png": "PNG", "tif": "TIFF", "webp": "WEBP"}


def stored_picture(seed=0):
    coarse = np.random.default_rng(seed).integers(0, 255, (4, 5, 3), np.uint8)
    return Image.fromarray(coarse.repeat(20, 0).repeat(20, 1))


def save(path, orientation, picture=None):
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = picture or stored_picture()
    picture.save(path, FORMATS[path.suffix[1:]], exif=exif)


def data(folder, entries, **options):
    people = [person(n, entry["id"]) for n, entry in enumerate(entries, start=1)]
    path = write_json(folder, entries, people)
    return read_coco(path, folder, SKELETON, **options)


def entry(number, name, turned=False):
    width, height = (HEIGHT, WIDTH) if turned else (WIDTH, HEIGHT)
    return image(number, width, height, file_name=name)


def as_stored_and_upright(path):
    """By Pillow alone; a TIFF, which Pillow turns by itself, through a PNG."""
    with Image.open(path) as picture:
        exif = picture.getexif()
        orientation = exif.get(0x0112, 1)
        picture.load()
        pixels = picture.convert("RGB")
    if path.suffix == ".tif":
        exif = Image.Exif()
        exif[0x0112] = orientation
        again = path.with_suffix(".again.png")
        stored_picture().save(again, exif=exif)
        return as_stored_and_upright(again)
    pixels.getexif()[0x0112] = orientation
    return np.asarray(pixels), np.asarray(ImageOps.exif_transpose(pixels))


@pytest.mark.parametrize("suffix", FORMATS)
def test_sizes_tell_which_way_a_picture_was_annotated(tmp_path, suffix):
    for orientation in range(1, 9):
        name = f"{orientation}.{suffix}"
        save(tmp_path / name, orientation)
        stored, upright = as_stored_and_upright(tmp_path / name)
        quarter = orientation >= 5
        assert stored.shape[:2] == (HEIGHT, WIDTH)
        assert (upright.shape != stored.shape) == quarter
        for turned, exif in itertools.product((False, True), ("auto", "apply")):
            if turned and not quarter:
                continue
            if not turned and quarter and exif == "apply":
                continue
            (record,) = data(tmp_path, [entry(1, name, turned)], exif=exif).records
            # Sizes tell nothing of half turns and mirrors: they stay as stored.
            expected = upright if turned or exif == "apply" else stored
            np.testing.assert_array_equal(read_record_image(record), expected)
        (record,) = data(tmp_path, [entry(1, name)], exif="ignore").records
        np.testing.assert_array_equal(read_record_image(record), stored)


@pytest.mark.parametrize("exif, turned", [("apply", False), ("ignore", True)])
def test_a_picture_that_an_override_turns_the_wrong_way_is_refused(
    tmp_path, exif, turned
):
    save(tmp_path / "a.jpg", 6)
    with pytest.raises(ValueError, match=f"exif '{exif}'; 'auto' turns it as it was"):
        data(tmp_path, [entry(1, "a.jpg", turned)], exif=exif)
    with pytest.raises(ValueError, match="exif: expected auto, apply, ignore, got 'no"):
        data(tmp_path, [entry(1, "a.jpg", turned)], exif="no")


def test_how_many_were_annotated_which_way_is_said(tmp_path, caplog):
    entries = []
    for number, (orientation, turned) in enumerate(
        [(6, True), (8, True), (5, False), (3, False), (2, False), (1, False)]
    ):
        save(tmp_path / f"{number}.jpg", orientation)
        entries.append(entry(number, f"{number}.jpg", turned))
    square = Image.fromarray(np.zeros((60, 60, 3), np.uint8))
    save(tmp_path / "square.jpg", 6, square)
    entries.append(image(9, 60, 60, file_name="square.jpg"))
    with caplog.at_level(logging.INFO, "qepose_tf"):
        assert len(data(tmp_path, entries)) == 7
    (told,) = [r for r in caplog.records if "by their sizes" in r.message]
    assert "3 images have an EXIF orientation" in told.message
    assert "2 were annotated turned by it and 1 as they are stored" in told.message
    assert told.levelno == logging.INFO
    (untold,) = [r for r in caplog.records if "do not tell" in r.message]
    assert "3 images have an EXIF orientation (half turn" in untold.message
    assert untold.levelno == logging.WARNING and "3.jpg" in untold.message
    caplog.clear()
    with caplog.at_level(logging.INFO, "qepose_tf"):
        data(tmp_path, entries[3:5], exif="apply")
    assert "2 images are turned by their EXIF orientation" in caplog.text


def test_everything_that_reads_pictures_sees_the_same_pixels(tmp_path):
    save(tmp_path / "1.png", 6)
    save(tmp_path / "2.png", 8)
    save(tmp_path / "3.png", 3)
    entries = [entry(1, "1.png", True), entry(2, "2.png"), entry(3, "3.png")]
    for exif in ("auto", "ignore"):
        chosen = entries if exif == "auto" else entries[1:]
        coco = data(tmp_path, chosen, exif=exif)
        out = tmp_path / f"records {exif}"
        prepare(coco.path, tmp_path, out, SKELETON, 1, exif=exif)
        packed = read_tfrecords(out, SKELETON)
        for row, (record, same) in enumerate(
            zip(coco.records, packed.records, strict=True)
        ):
            pixels = read_record_image(record)
            assert pixels.shape[:2] == (record.height, record.width)
            np.testing.assert_array_equal(read_record_image(same), pixels)
            for cache in ("none", tmp_path / "cache"):
                example = ExampleLoader(coco, 1000, cache)(row)
                np.testing.assert_array_equal(example.image, pixels)
            plotted = np.asarray(coco.plot(row))
            assert plotted.shape == pixels.shape
            assert (plotted == pixels).mean() > 0.8
    assert json.loads((out / "manifest.json").read_text())["exif"] == "ignore"


def broken_entries(folder):
    """Six pictures; each way in which one cannot be used, and one that can."""
    entries = [image(n, file_name=f"{n}.png") for n in range(6)]
    write_images(folder, entries)
    (folder / "0.png").write_bytes(b"")
    (folder / "1.png").write_bytes(b"no picture at all")
    (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:20])
    (folder / "3.png").unlink()
    (folder / "3.png").mkdir()
    Image.new("RGB", (50, 50)).save(folder / "4.png")
    return entries


def test_broken_pictures_are_listed_at_the_start_and_left_out(tmp_path, caplog):
    entries = broken_entries(tmp_path)
    coco = data(tmp_path, entries)
    assert [record.image_id for record in coco.records] == [5]
    assert [a["image_id"] for a in coco.ground_truth["annotations"]] == [5]
    (line,) = [r.message for r in caplog.records if "cannot be used" in r.message]
    assert line.count("\n") == 0 and "4 images that cannot be used; left out" in line
    for number, reason in enumerate(
        ("got an empty file", "got an unknown format", "broken image")
    ):
        assert f"{number}.png: " in line and reason in line
    assert "4.png: expected 100x80 pixels as annotated, got 50x50" in line
    with pytest.raises(ValueError, match="4 images that cannot be used"):
        data(tmp_path, entries, strict=True)
    assert len(data(tmp_path, entries, check_images="none")) == 5
    with pytest.raises(ValueError, match="none of the 4 images can be used.*0.png"):
        data(tmp_path, entries[:5])


def test_a_truncated_picture_is_found_by_decoding(tmp_path, caplog):
    for name in ("a.jpg", "b.jpg"):
        save(tmp_path / name, 1)
    content = (tmp_path / "b.jpg").read_bytes()
    (tmp_path / "b.jpg").write_bytes(content[: len(content) - 200])
    entries = [entry(1, "a.jpg"), entry(2, "b.jpg")]
    coco = data(tmp_path, entries)
    assert len(coco) == 2 and "cannot be used" not in caplog.text
    assert len(data(tmp_path, entries, check_images="decode")) == 1
    assert "1 images that cannot be used" in caplog.text
    assert readable_records(coco.records) == coco.records[:1]
    assert "b.jpg: broken image" in caplog.text and "; left out" in caplog.text
    with pytest.raises(ValueError, match="none of 1 images can be read: .*b.jpg"):
        readable_records(coco.records[1:])
    with pytest.raises(ValueError, match="check_images: expected header, decode, none"):
        data(tmp_path, entries, check_images="all")
