"""A small data set of every kind of image and region, prepared as TFRecords."""

import numpy as np
import tensorflow as tf
from PIL import Image
from pycocotools import mask as coco_mask

from qepose_tf.data.coco.dataset import read_coco
from qepose_tf.data.tfrecord.dataset import read_tfrecords
from qepose_tf.data.tfrecord.prepare import prepare
from tests.data.coco_files import SKELETON, image, person, write_json

SIZES = [(100, 80), (64, 64), (80, 100), (120, 90), (100, 80), (48, 96), (90, 60)]
NOBODY = [0] * 9
FORMS = (".png", ".jpg")


def regions(width, height):
    """COCO's forms of a segmentation, and one that fits none of them."""
    mask = np.zeros((height, width), np.uint8, "F")
    mask[5:20, 10:31] = 1
    packed = coco_mask.encode(mask)
    triangle, square = [2, 3, 40.5, 9, 11, 30.25], [30, 30, 50, 30, 50, 50, 30, 50]
    first, second = width, 3 * height
    return [
        {"size": [height, width], "counts": packed["counts"].decode()},
        {
            "size": [height, width],
            "counts": [first, second, width * height - first - second],
        },
        [triangle, square],
        "no outline",
        [triangle],
    ]


def write_scenes(folder):
    """Seven images of noise; the annotation file and the folder of the images."""
    (folder / "images" / "more").mkdir(parents=True)
    random = np.random.default_rng(3)
    images, people = [], []
    for number, (width, height) in enumerate(SIZES):
        place = "more/" if number % 2 else ""
        name = f"{place}{number}{FORMS[number % len(FORMS)]}"
        pixels = random.integers(0, 256, (height, width, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "images" / name)
        entry = image(10 * number, width, height, file_name=name)
        images.append(entry)
        for _ in range(number % 3):
            points = random.uniform(0, min(width, height), (3, 2)).round(2)
            keypoints = np.insert(points, 2, 2, axis=1).ravel().tolist()
            more = {"keypoints": keypoints, "area": float(random.uniform(900, 3000))}
            people.append(person(len(people), entry["id"], **more))
    for number, outline in enumerate(regions(*SIZES[3])):
        more = {"iscrowd": number % 2, "keypoints": NOBODY, "segmentation": outline}
        people.append(person(100 + number, 30, **more))
    return write_json(folder, images, people), folder / "images"


def prepared(folder, out="records", num_shards=3, **options):
    annotations, images = folder / "people.json", folder / "images"
    return prepare(annotations, images, folder / out, SKELETON, num_shards, **options)


def both(folder, **options):
    """The data set as each of the two readers reads it."""
    plain = read_coco(folder / "people.json", folder / "images", SKELETON, **options)
    return plain, read_tfrecords(folder / "records", SKELETON, **options)


def contents(folder):
    """Every file below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def copy_to_ram(folder, url):
    """Copies a folder to TensorFlow's file system in memory."""
    for name, content in contents(folder).items():
        target = f"{url}/{name}"
        tf.io.gfile.makedirs(target.rpartition("/")[0])
        write_to_ram(target, content)


def write_to_ram(url, content):
    if tf.io.gfile.exists(url):
        tf.io.gfile.remove(url)  # writing would append
    with tf.io.gfile.GFile(url, "wb") as file:
        file.write(content)
