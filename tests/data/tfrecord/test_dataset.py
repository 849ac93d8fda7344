import dataclasses
import json
import logging
import threading
from functools import cache

import keras
import numpy as np
import pytest
import tensorflow as tf

from qepose_tf.data.batches.example import ExampleLoader
from qepose_tf.data.coco.dataset import read_coco
from qepose_tf.data.coco.ignore_regions import rasterise
from qepose_tf.data.coco.pictures import read_record_image
from qepose_tf.data.tfrecord.dataset import read_tfrecords
from qepose_tf.data.tfrecord.prepare import prepare
from qepose_tf.evaluation.evaluate import predict_coco
from qepose_tf.models.pose_estimator import PoseEstimator
from qepose_tf.skeleton import COCO
from tests.data.coco_files import SKELETON
from tests.data.pipelines import MOVED, passes, same, train
from tests.data.tfrecord.tfrecords import (
    both,
    copy_to_ram,
    prepared,
    write_scenes,
    write_to_ram,
)
from tests.real_coco import FOLDER, needs_images


@pytest.fixture
def folder(tmp_path):
    write_scenes(tmp_path)
    prepared(tmp_path)
    return tmp_path


def expect_equal_records(plain, stored):
    assert len(plain.records) == len(stored.records)
    for first, second in zip(plain.records, stored.records, strict=True):
        for field in ("image_id", "width", "height"):
            assert getattr(first, field) == getattr(second, field)
            assert type(getattr(second, field)) is int
        for field in ("keypoints", "area", "boxes"):
            one, other = getattr(first, field), getattr(second, field)
            assert (one.dtype, one.shape) == (other.dtype, other.shape)
            np.testing.assert_array_equal(one, other)
        hw = (first.height, first.width)
        for mask_hw in (hw, (hw[0] // 4, hw[1] // 4)):
            masks = [rasterise(list(r.ignore), hw, mask_hw) for r in (first, second)]
            np.testing.assert_array_equal(*masks)
        assert first.file.read_bytes() == second.file.read_bytes()
        assert str(first.file).endswith(second.file.name)


def expect_equal_batches(plain, stored, **options):
    settings = dict(augment=MOVED, fixed_people=False) | options
    for first, second in zip(
        *(passes(train(coco, **settings), 2) for coco in (plain, stored)), strict=True
    ):
        assert same(first, second)
    for first, second in zip(plain.records, stored.records, strict=True):
        pictures = (read_record_image(one) for one in (first, second))
        np.testing.assert_array_equal(*pictures)


def test_records_and_batches_are_those_of_the_json_reader(folder):
    plain, stored = both(folder)
    assert any(record.ignore for record in plain.records)
    assert any(not len(record.area) for record in plain.records)
    expect_equal_records(plain, stored)
    expect_equal_batches(plain, stored)
    assert stored.category_id == plain.category_id
    assert stored.path.read_bytes() == plain.path.read_bytes()


@pytest.mark.parametrize(
    "options", [{"limit": 3}, {"only_labelled": True}, {"only_labelled": 1, "limit": 2}]
)
def test_options_choose_the_same_images(folder, options):
    plain, stored = both(folder, **options)
    assert 0 < len(plain.records) < 7
    expect_equal_records(plain, stored)
    prepared(folder, "fewer", 2, **options)
    stored = read_tfrecords(folder / "fewer", SKELETON)
    expect_equal_records(plain, stored)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["memory", "folder"])
def test_caches_keep_what_they_kept(folder, kind):
    plain, stored = both(folder)
    cache = "memory" if kind == "memory" else folder / "cache"
    dataset = train(stored, augment=MOVED, cache=cache)
    assert same(passes(train(plain, augment=MOVED), 1)[0], passes(dataset, 1)[0])
    for shard in (folder / "records").glob("*.tfrecord"):
        shard.unlink()  # nothing is read again
    later = passes(train(plain, augment=MOVED), 2)[1]
    assert same(later, passes(dataset, 1)[0])


def test_threads_read_one_shard_at_once(folder):
    plain, stored = both(folder)
    expected = [record.file.read_bytes() for record in plain.records]
    wrong = []

    def read(seed):
        for row in np.random.default_rng(seed).integers(0, len(expected), 200):
            if stored.records[row].file.read_bytes() != expected[row]:
                wrong.append(row)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_shards_are_plain_tfrecord_files(folder):
    plain, _ = both(folder)
    shards = sorted(map(str, (folder / "records").glob("*.tfrecord")))
    assert len(shards) == 3
    examples = []
    for content in tf.data.TFRecordDataset(shards):
        examples.append(tf.train.Example.FromString(content.numpy()).features.feature)
    assert len(examples) == 7
    for record, feature in zip(plain.records, examples, strict=True):
        assert feature["image/height"].int64_list.value[0] == record.height
        assert feature["image/width"].int64_list.value[0] == record.width
        assert feature["image/source_id"].bytes_list.value[0] == b"%d" % record.image_id
        name = feature["image/filename"].bytes_list.value[0].decode()
        assert (folder / "images" / name) == record.file
        (encoded,) = feature["image/encoded"].bytes_list.value
        assert encoded == record.file.read_bytes()
        form = feature["image/format"].bytes_list.value[0]
        assert form == {".png": b"png", ".jpg": b"jpeg"}[record.file.suffix]
        for key, values in (
            ("keypoints", record.keypoints),
            ("area", record.area),
            ("bbox", record.boxes),
        ):
            found = np.float32(feature[f"image/object/{key}"].float_list.value)
            np.testing.assert_array_equal(found, values.ravel())
        hw = (record.height, record.width)
        counts = feature["image/ignore/counts"].bytes_list.value
        codes = [{"size": list(hw), "counts": code} for code in counts]
        np.testing.assert_array_equal(
            rasterise(codes, hw, hw), rasterise(list(record.ignore), hw, hw)
        )
        labelled = feature["image/labelled"].int64_list.value[0]
        assert labelled == (len(record.area) > 0)


@cache
def model(skeleton):
    keras.utils.set_random_seed(0)
    return PoseEstimator(skeleton, "tiny", 64, decoder={"score_threshold": 0.0})


def flip_byte(path, offset):
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


@pytest.mark.slow
@pytest.mark.parametrize("place", [0, 10, 40, -1])
def test_a_flipped_byte_is_found_wherever_it_is(folder, caplog, place):
    plain, stored = both(folder)
    file = stored.records[3].file
    assert file.number == 1
    shard = folder / "records/images-00001-of-00003.tfrecord"
    flip_byte(shard, file.offset + place % file.length)
    message = f"{shard}: record 1 (image 30): checksum differs, the shard is damaged"
    with pytest.raises(ValueError) as error:
        file.read_bytes()
    assert str(error.value) == message
    with caplog.at_level(logging.WARNING):
        ExampleLoader(stored, 96)(3)
        found = predict_coco(model(stored.skeleton), stored)
    assert f"{message}; another image takes its place" in caplog.text
    assert f"{message}; it gets no poses" in caplog.text
    ids = {result["image_id"] for result in found}
    assert sorted(ids) == [0, 10, 20, 40, 50, 60]
    with pytest.raises(ValueError, match="record 1 .image 30.: checksum differs"):
        ExampleLoader(stored, 96, strict=True)(3)
    for row in (0, 2, 4, 6):  # the others are whole
        assert stored.records[row].file.read_bytes()


def test_a_truncated_shard_is_named(folder):
    _, stored = both(folder)
    shard = folder / "records/images-00002-of-00003.tfrecord"
    content = shard.read_bytes()
    shard.write_bytes(content[:-5])
    size = len(content)
    with pytest.raises(ValueError) as error:
        read_tfrecords(folder / "records", SKELETON)
    assert str(error.value) == (
        f"{shard}: expected {size} bytes, got {size - 5}, the shard is truncated"
    )
    # It may also happen after it was opened.
    with pytest.raises(ValueError, match=r"record \d \(image 60\).*is truncated"):
        stored.records[-1].file.read_bytes()


def test_a_missing_shard_is_named(folder):
    shard = folder / "records/images-00001-of-00003.tfrecord"
    shard.unlink()
    with pytest.raises(FileNotFoundError, match="no such shard .1 of 3 are missing"):
        read_tfrecords(folder / "records", SKELETON)


def test_a_damaged_or_missing_index(folder):
    index = folder / "records/index.npz"
    flip_byte(index, 500)
    with pytest.raises(ValueError, match="index.npz: checksum differs, the index is"):
        read_tfrecords(folder / "records", SKELETON)
    index.unlink()
    with pytest.raises(FileNotFoundError, match="index.npz: no such index"):
        read_tfrecords(folder / "records", SKELETON)


def test_a_folder_that_is_not_finished(folder):
    (folder / "records/manifest.json").unlink()
    for path in (folder / "records", folder / "nothing"):
        with pytest.raises(FileNotFoundError, match="'qepose prepare' has finished"):
            read_tfrecords(path, SKELETON)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"version": 2}, "manifest.json: expected version 1, got 2; prepare"),
        ({"format": "other"}, "manifest.json: expected what 'qepose prepare' writes"),
        ({"shards": [{"name": "../a"}]}, r"expected shards \['images-00000-of-00001"),
    ],
)
def test_a_manifest_of_another_kind(folder, change, message):
    path = folder / "records/manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=message):
        read_tfrecords(folder / "records", SKELETON)
    path.write_text("{")
    with pytest.raises(ValueError, match="manifest.json: expected JSON"):
        read_tfrecords(folder / "records", SKELETON)


def test_another_skeleton(folder):
    with pytest.raises(ValueError, match="'trio' of 3 keypoints, expected 'coco' of 1"):
        read_tfrecords(folder / "records", COCO)
    other = dataclasses.replace(
        SKELETON, name="other", keypoints=("nose", "right_eye", "left_eye")
    )
    with pytest.raises(ValueError, match="'left_eye' stands where 'right_eye' is exp"):
        read_tfrecords(folder / "records", other)
    renamed = dataclasses.replace(SKELETON, name="renamed")
    assert read_tfrecords(folder / "records", renamed).skeleton.name == "renamed"


@pytest.mark.slow
def test_urls_of_every_part(folder, tmp_path):
    plain, stored = both(folder)
    copy_to_ram(folder / "images", "ram://tfrecord/images")
    copy_to_ram(folder / "records", "ram://tfrecord/records")
    write_to_ram("ram://tfrecord/people.json", plain.path.read_bytes())
    remote = read_coco("ram://tfrecord/people.json", "ram://tfrecord/images/", SKELETON)
    assert str(remote.records[1].file) == "ram://tfrecord/images/more/1.jpg"
    shards = read_tfrecords("ram://tfrecord/records", SKELETON)
    for other in (remote, shards):
        expect_equal_batches(plain, other)
        expect_equal_batches(plain, other, cache=tmp_path / "cache")
    again = tmp_path / "again"
    prepare(remote.path, remote.images_dir, again, SKELETON, 3)
    expect_equal_records(plain, read_tfrecords(again, SKELETON))
    with pytest.raises(ValueError, match="ram://out: expected a local folder"):
        prepare(remote.path, remote.images_dir, "ram://out", SKELETON, 3)


def test_remote_shards_that_are_damaged_or_missing(folder):
    url = "ram://tfrecord-damaged"
    copy_to_ram(folder / "records", url)
    stored = read_tfrecords(url, SKELETON)
    shard = f"{url}/images-00000-of-00003.tfrecord"
    content = bytearray(tf.io.gfile.GFile(shard, "rb").read())
    content[stored.records[0].file.offset + 50] ^= 1
    write_to_ram(shard, bytes(content))
    with pytest.raises(ValueError) as error:
        stored.records[0].file.read_bytes()
    assert str(error.value).startswith(f"{shard}: record 0 (image 0): checksum differs")
    tf.io.gfile.remove(shard)
    with pytest.raises(FileNotFoundError, match=f"{shard}: no such shard"):
        read_tfrecords(url, SKELETON)
    with pytest.raises(ValueError, match="none of the 7 images is in ram://nowhere"):
        read_coco(folder / "people.json", "ram://nowhere", SKELETON)


@pytest.mark.slow
@needs_images
def test_real_images(tmp_path):
    annotations = FOLDER / "annotations/person_keypoints_val2017.json"
    images = FOLDER / "images/val2017"
    prepare(annotations, images, tmp_path / "val", COCO, 4)
    plain = read_coco(annotations, images, COCO)
    stored = read_tfrecords(tmp_path / "val", COCO)
    assert len(stored.records) == 39
    expect_equal_records(plain, stored)
    options = {"input_size": 128, "batch_size": 13, "max_people": 30}
    first, second = (
        passes(train(c, augment=MOVED, **options), 1)[0] for c in (plain, stored)
    )
    assert same(first, second)
