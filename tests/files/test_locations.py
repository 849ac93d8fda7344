from pathlib import Path

import pytest
import tensorflow as tf

from qepose_tf.files.locations import Url, location


def test_paths_and_urls_are_told_apart():
    assert location("a/b") == location(Path("a/b")) == Path("a/b")
    assert location("gs://bucket/a/") == Url("gs://bucket/a")
    assert location(Url("ram://a")) == Url("ram://a")
    assert location("ram://") == Url("ram://")
    assert location("c:/windows") == Path("c:/windows")


def test_joining():
    folder = location("gs://bucket/data")
    assert str(folder / "images" / "1.png") == "gs://bucket/data/images/1.png"
    assert folder / Path("a/b") == Url("gs://bucket/data/a/b")
    assert folder / "." == folder
    assert folder / "/local" == Path("/local")
    assert folder / "gs://other/b" == Url("gs://other/b")
    assert Path("local") / folder == folder
    assert str(location("ram://") / "a") == "ram://a"
    assert (folder / "1.png").name == "1.png"


def test_a_url_is_read_like_a_path():
    folder = location("ram://locations/folder")
    file = folder / "a.txt"
    tf.io.gfile.makedirs(str(folder))
    with tf.io.gfile.GFile(str(file), "wb") as handle:
        handle.write("dünn".encode())
    assert file.read_bytes() == "dünn".encode()
    assert file.read_text() == "dünn"
    assert file.is_file() and not folder.is_file()
    assert file.stat().st_size == 5
    assert folder.names() == {"a.txt"}
    opened = file.open()
    assert file.read_at(opened, 1, 2) == "ü".encode()
    assert file.read_at(opened, 0, 1) == b"d"
    assert file.read_at(opened, 3, 9) == b"nn"


def test_what_is_not_there():
    missing = location("ram://locations/missing")
    assert not missing.is_file()
    assert missing.names() == set()
    for reads in (missing.read_bytes, missing.stat):
        with pytest.raises(FileNotFoundError) as error:
            reads()
        assert error.value.filename == "ram://locations/missing"
        assert error.value.strerror == "No such file or directory"


def test_a_file_system_that_is_not_there():
    with pytest.raises(OSError, match="TensorFlow has no such file system here"):
        location("nosuch://a").read_bytes()
