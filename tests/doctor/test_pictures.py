"""One look at every picture."""

import numpy as np
from PIL import Image

from qepose_tf.data.coco.dataset import ImageRecord
from qepose_tf.doctor.pictures import look_at
from tests.data.coco_files import SKELETON


def record(file, width, height):
    empty = np.zeros((0, SKELETON.num_keypoints, 3), np.float32)
    areas, boxes = np.zeros(0, np.float32), np.zeros((0, 4), np.float32)
    return ImageRecord(1, file, width, height, empty, areas, boxes, ())


def photo(path, width=600, height=400, orientation=1, **options):
    """Left half black, right half white."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, width // 2 :] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif, **options)
    return path


def test_a_jpeg_and_a_png_show_the_same(tmp_path):
    files = [photo(tmp_path / f"a.{kind}") for kind in ("jpg", "png")]
    told = []
    jpeg, png = look_at(
        [record(file, 600, 400) for file in files], lambda *done: told.append(done)
    )
    assert told == [(1, 2), (2, 2)]
    assert jpeg.trouble == png.trouble == ""
    for picture in (jpeg, png):
        assert picture.thumbnail.shape == (32, 32)
        assert picture.thumbnail[:, :15].max() < 10
        assert picture.thumbnail[:, 17:].min() > 245


def test_what_training_skips_says_why(tmp_path):
    whole = photo(tmp_path / "whole.jpg")
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(whole.read_bytes()[:3000])
    text = tmp_path / "text.jpg"
    text.write_text("no picture")
    empty = tmp_path / "empty.png"
    empty.touch()
    records = [record(f, 600, 400) for f in (whole, cut, text, empty)]
    records += [record(whole, 300, 200), record(tmp_path / "gone.jpg", 600, 400)]
    good, *bad = look_at(records)
    assert good.trouble == ""
    reasons = ("broken image", "unknown format", "an empty file")
    reasons += (
        "expected 300x200 pixels as annotated, got 600x400",
        "no such image file",
    )
    for seen, reason, of in zip(bad, reasons, records[1:], strict=True):
        assert reason in seen.trouble
        assert str(of.file) in seen.trouble


def test_a_turned_picture_is_seen_as_it_was_annotated(tmp_path):
    """Stored black on the left; turned by a quarter, black is above."""
    file = photo(tmp_path / "turned.jpg", orientation=6)
    stored, upright, neither = look_at(
        [record(file, *size) for size in ((600, 400), (400, 600), (500, 500))]
    )
    assert stored.trouble == upright.trouble == ""
    assert stored.thumbnail[:, :15].max() < 10
    assert upright.thumbnail[:15].max() < 10
    assert upright.thumbnail[17:].min() > 245
    assert "expected 500x500 pixels as annotated" in neither.trouble
