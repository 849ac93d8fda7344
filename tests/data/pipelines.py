"""Pipelines over small data sets, with arguments that most tests share."""

import dataclasses

import numpy as np
import tensorflow as tf

from qepose_tf.data.batches.crop import AugmentSettings
from qepose_tf.data.batches.training import train_dataset
from qepose_tf.data.coco.dataset import read_coco
from tests.data.coco_files import SKELETON, image, person, write_images, write_json

OFF = AugmentSettings.off()
MOVED = dataclasses.replace(AugmentSettings(), shift=8.0)
MEAN = np.array([123.0, 117.0, 104.0], np.float32)


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
        fill=MEAN,
        augment=OFF,
        max_people=4,
        min_area=1024.0,
        disc_radius=4.0,
        seed=0,
        fixed_people=True,
    )
    return train_dataset(coco, **(arguments | changes))


def passes(dataset, count=2):
    """`count` epochs as flat lists of arrays."""
    return [
        [np.asarray(leaf) for batch in dataset for leaf in tf.nest.flatten(batch)]
        for _ in range(count)
    ]


def same(first, second):
    pairs = zip(first, second, strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)
