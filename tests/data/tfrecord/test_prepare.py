import hashlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from qepose_tf.data.tfrecord.dataset import read_tfrecords
from qepose_tf.data.tfrecord.prepare import prepare
from qepose_tf.data.tfrecord.unfinished_folder import UnfinishedFolder
from qepose_tf.skeleton import COCO
from tests.data.coco_files import SKELETON
from tests.data.tfrecord.tfrecords import contents, prepared, write_scenes

ROOT = Path(__file__).resolve().parents[3]
COMMAND = "import sys; from qepose_tf.cli import main; sys.exit(main(sys.argv[1:]))"
SHARDS = [f"images-{number:05d}-of-00003.tfrecord" for number in range(3)]


@pytest.fixture
def folder(tmp_path):
    write_scenes(tmp_path)
    return tmp_path


def test_the_folder_and_its_manifest(folder):
    seen = []
    result = prepared(folder, progress=lambda *counts: seen.append(counts))
    files = contents(folder / "records")
    assert sorted(files) == ["annotations.json", *SHARDS, "index.npz", "manifest.json"]
    manifest = json.loads(files["manifest.json"])
    assert manifest == result.manifest and result.reused == 0
    assert manifest["counts"] == {"images": 7, "people": 6, "shards": 3, "skipped": 0}
    assert manifest["skipped"] == []
    assert (manifest["skeleton"], manifest["category_id"]) == ("trio", 1)
    assert [shard["records"] for shard in manifest["shards"]] == [2, 2, 3]
    assert [shard["bytes"] for shard in manifest["shards"]] == [
        len(files[name]) for name in SHARDS
    ]
    assert files["annotations.json"] == (folder / "people.json").read_bytes()
    assert seen == [(done, 7) for done in range(8)]


def test_equal_bytes_whatever_the_number_of_workers(folder):
    prepared(folder, "one", workers=1)
    prepared(folder, "many", workers=4)
    assert contents(folder / "one") == contents(folder / "many")


def test_checksums_of_the_manifest_are_those_of_the_files(folder):
    manifest = prepared(folder).manifest
    for entry in (*manifest["shards"], manifest["index"]):
        content = (folder / "records" / entry["name"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry["sha256"]
        assert len(content) == entry["bytes"]


def identities(folder):
    """What a file written again would not keep."""
    stats = {path.name: path.stat() for path in folder.iterdir() if path.is_file()}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in stats.items()}


def test_a_finished_folder_is_left_alone(folder):
    prepared(folder)
    before = identities(folder / "records")
    again = prepared(folder)
    assert again.reused == 3
    assert identities(folder / "records") == before
    (folder / "records" / SHARDS[1]).write_bytes(b"")
    with pytest.raises(ValueError, match=f"{SHARDS[1]}: expected .* is truncated"):
        prepared(folder)
    anew = prepared(folder, overwrite=True)
    assert anew.reused == 0 and anew.manifest == again.manifest
    assert not identities(folder / "records").items() & before.items()


def wait_for(path, process):
    for _ in range(600):
        if path.exists():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    raise AssertionError(f"{path} does not appear")


@pytest.mark.slow
def test_killed_and_repeated(folder):
    """A pipe in place of an image holds the command up where it is killed."""
    prepared(folder, "whole")
    held_up = folder / "images/4.png"  # the first image of the last shard
    kept = held_up.rename(folder / "kept")
    os.mkfifo(held_up)
    skeleton = folder / "trio.yaml"
    skeleton.write_text(yaml.safe_dump(SKELETON.to_dict()))
    words = ["prepare", "--annotations", folder / "people.json", "--shards", "3"]
    words += ["--images", folder / "images", "--out", folder / "records"]
    words += ["--skeleton", skeleton, "--workers", "1"]
    command = [sys.executable, "-c", COMMAND, *map(str, words)]
    records, work = folder / "records", folder / "records/.preparing"
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE)
    wait_for(work / f"{SHARDS[2]}.tmp", process)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stderr.close()
    assert not (records / "manifest.json").exists()
    assert not (records / SHARDS[2]).exists()
    before = identities(records)
    assert {*SHARDS[:2]} < before.keys()
    with pytest.raises(FileNotFoundError, match="'qepose prepare' has finished"):
        read_tfrecords(records, SKELETON)
    with pytest.raises(ValueError, match="num_shards was 3, now 4"):
        prepared(folder, num_shards=4)
    kept.rename(held_up)
    assert prepared(folder).reused == 2
    after = identities(records)
    assert all(after[name] == before[name] for name in SHARDS[:2])
    assert contents(records) == contents(folder / "whole")


def test_two_processes_cannot_write_one_folder(folder):
    (folder / "records").mkdir()
    with UnfinishedFolder(folder / "records").claimed():
        with pytest.raises(OSError, match="another process is preparing this folder"):
            prepared(folder)
    assert prepared(folder).reused == 0


def test_other_arguments_and_annotations_are_refused(folder):
    prepared(folder)
    before = contents(folder / "records")
    for options, message in (
        ({"num_shards": 2}, "num_shards was 3, now 2; repeat the same, name another"),
        ({"limit": 3}, "limit was None, now 3;"),
        ({"only_labelled": True}, "only_labelled was False, now True;"),
        ({"limit": 3, "num_shards": 2}, "limit was None, now 3, num_shards was 3, now"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            prepared(folder, **options)
        assert str(error.value).startswith(f"{folder / 'records'}: was prepared diff")
    path = folder / "people.json"
    path.write_text(path.read_text() + "\n")
    with pytest.raises(ValueError, match="the annotation file has changed .sha256"):
        prepared(folder)
    assert contents(folder / "records") == before
    prepared(folder, num_shards=2, overwrite=True)
    names = contents(folder / "records")
    assert not names.keys() & {*SHARDS}
    assert len(read_tfrecords(folder / "records", SKELETON).records) == 7


def test_overwriting_that_is_killed_can_be_repeated(folder):
    (folder / "images/6.png").rename(folder / "kept")
    (folder / "images/6.png").mkdir()
    with pytest.raises(OSError, match="6.png: cannot read the image"):
        prepared(folder)
    (folder / "images/6.png").rmdir()
    (folder / "kept").rename(folder / "images/6.png")
    unfinished = UnfinishedFolder(folder / "records")
    asked = unfinished.begun() | {"limit": 6}
    with unfinished.claimed():
        unfinished.begin(asked, (folder / "people.json").read_bytes(), True)
    assert not list((folder / "records").glob("*.tfrecord"))
    again = prepared(folder, limit=6)
    assert (again.reused, again.manifest["counts"]["images"]) == (0, 6)


def test_a_folder_of_something_else_is_left_alone(folder):
    for overwrite in (False, True):
        with pytest.raises(ValueError, match="expected a new folder .*found images"):
            prepared(folder, ".", overwrite=overwrite)
    (folder / "scenes").mkdir()
    (folder / "scenes/manifest.json").write_text('{"version": 1}')
    with pytest.raises(ValueError, match="expected what 'qepose prepare' writes"):
        prepared(folder, "scenes", overwrite=True)


def test_corrupt_images_are_left_out_and_listed(folder, caplog):
    images = folder / "images"
    (images / "2.png").write_bytes((images / "2.png").read_bytes()[:300])
    (images / "4.png").write_bytes((images / "6.png").read_bytes())  # another size
    (images / "more/5.jpg").unlink()
    with caplog.at_level(logging.WARNING):
        result = prepared(folder)
    counts = result.manifest["counts"]
    assert (counts["images"], counts["skipped"]) == (4, 3)
    assert sum(shard["records"] for shard in result.manifest["shards"]) == 4
    skipped = result.manifest["skipped"]
    assert [entry["image_id"] for entry in skipped] == [20, 40, 50]
    assert [entry["file_name"] for entry in skipped] == ["2.png", "4.png", "more/5.jpg"]
    for entry, reason in zip(
        skipped,
        ("broken image, ", "expected 100x80 pixels as annotated, got 90x60", "no such"),
        strict=True,
    ):
        assert entry["reason"].startswith(reason)
        assert f"{images / entry['file_name']}: {entry['reason']}; left" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        coco = read_tfrecords(folder / "records", SKELETON)
    assert [record.image_id for record in coco.records] == [0, 10, 30, 60]
    assert "3 images were left out when it was prepared (first: 2.png" in caplog.text
    with pytest.raises(ValueError, match="3 images were left out"):
        read_tfrecords(folder / "records", SKELETON, strict=True)


def test_nothing_to_prepare(folder):
    for shards in (0, 8):
        with pytest.raises(ValueError, match=f"as many as the 7 images, got {shards}"):
            prepared(folder, num_shards=shards)
    (folder / "images").rename(folder / "elsewhere")
    with pytest.raises(ValueError, match=r"none of the 7 images is in .*first: 0\.png"):
        prepared(folder)
    (folder / "images").mkdir()
    (folder / "images/0.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"none of the 7 images can be read .*0\.png"):
        prepared(folder)


def test_an_image_that_cannot_be_read_stops_at_once(folder):
    """It may be readable later: what fails is no property of the image."""
    (folder / "images/2.png").unlink()
    (folder / "images/2.png").mkdir()
    with pytest.raises(OSError, match="2.png: cannot read the image, Is a directory"):
        prepared(folder)
    assert not (folder / "records/manifest.json").exists()


def test_other_wrong_arguments(folder):
    arguments = (folder / "people.json", folder / "images")
    with pytest.raises(ValueError, match="has 3 keypoints, skeleton 'coco' has 17"):
        prepare(*arguments, folder / "records", COCO, 2)
    with pytest.raises(FileNotFoundError, match="none.json: no such annotation file"):
        prepare(folder / "none.json", folder, folder / "records", SKELETON, 2)
    with pytest.raises(OSError, match="people.json: expected a writable folder"):
        prepare(*arguments, folder / "people.json", SKELETON, 2)
