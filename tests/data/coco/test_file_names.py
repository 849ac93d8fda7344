"""Names of images as other systems write them."""

import unicodedata

import pytest

from qepose_tf.data.coco.dataset import read_coco
from tests.data.coco_files import SKELETON, image, person, write_images, write_json

NAMES = {
    "plain.png": "plain.png",
    "a/b.png": "a\\b.png",
    "two words.png": "two%20words.png",
    "a/50%.png": "a%2F50%25.png",
    unicodedata.normalize("NFC", "é.png"): unicodedata.normalize("NFD", "é.png"),
    unicodedata.normalize("NFD", "ü.png"): unicodedata.normalize("NFC", "ü.png"),
    "100%20.png": "100%20.png",
}


def test_names_of_other_systems_are_found_and_said_once(tmp_path, caplog):
    (tmp_path / "a").mkdir()
    images = [image(n, file_name=name) for n, name in enumerate(NAMES, start=1)]
    write_images(tmp_path, images)
    listed = [image(n, file_name=name) for n, name in enumerate(NAMES.values(), 1)]
    path = write_json(tmp_path, listed, [person()])
    coco = read_coco(path, tmp_path, SKELETON, strict=True)
    assert [str(r.file) for r in coco.records] == [str(tmp_path / n) for n in NAMES]
    (line,) = [record.getMessage() for record in caplog.records]
    assert "5 file names are written otherwise than the files are named" in line
    assert "\\\\" in line or "a\\b.png is a/b.png" in line


def test_names_with_another_folder_say_where_the_file_is(tmp_path):
    write_images(tmp_path, [image()])
    path = write_json(tmp_path, [image(file_name="train/1.png")], [person()])
    with pytest.raises(ValueError, match="1.png is: leave the folder out"):
        read_coco(path, tmp_path, SKELETON)
