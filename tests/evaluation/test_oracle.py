"""Real labels as perfect maps, through the decoder, must come back as the people.

This ties sign, stride, sigmas, order and COCO's JSON together, and bounds what the
rules of target and decoder cost: no model can score higher than the oracle.
"""

import json

import numpy as np
import pytest
from keras import ops

from qepose_tf.evaluation.evaluate import coco_metrics
from qepose_tf.models.dekr_settings import DEKRDecoderSettings
from qepose_tf.ops.decode import local_maxima, pose_nms, rank, top_cells
from qepose_tf.ops.geometry import (
    STRIDE,
    fit_short_side,
    resize_matrix,
)
from qepose_tf.ops.heat_decode import peaks, people
from qepose_tf.ops.heat_targets import heat_targets
from qepose_tf.ops.targets import centres, disc_cells
from qepose_tf.skeleton import COCO
from tests.evaluation.data_sets import data_set
from tests.points import moved
from tests.real_coco import LABELS, needs_labels

SHORT_SIDE = 512
RADIUS = 4.0
MIN_AREA = 32.0**2
MAX_PEOPLE = 20
FALL = 0.01  # of the score per cell away from the centre: no plateau fills the top 30
BATCH, DEKR_BATCH = 64, 16  # 17 heatmaps need more memory


def facts(labels):
    """Keypoints in network pixels `[I, M, 17, 3]`, areas `[I, M]`, matrices, size."""
    images = labels["images"]
    people = {image["id"]: [] for image in images}
    for annotation in labels["annotations"]:
        counts = annotation["num_keypoints"] and not annotation["iscrowd"]
        if counts and annotation["image_id"] in people:
            people[annotation["image_id"]].append(annotation)
    keypoints = np.zeros([len(images), MAX_PEOPLE, 17, 3], np.float32)
    area = np.zeros([len(images), MAX_PEOPLE], np.float32)
    matrices = np.zeros([len(images), 3, 3], np.float32)
    size = np.zeros(2, int)
    for i, image in enumerate(images):
        source = image["height"], image["width"]
        resized, padded = fit_short_side(*source, SHORT_SIDE)
        matrices[i] = resize_matrix(source, resized)
        size = np.maximum(size, padded)
        for m, person in enumerate(people[image["id"]]):
            keypoints[i, m] = np.reshape(person["keypoints"], (17, 3))
            if person["area"] >= MIN_AREA:
                area[i, m] = person["area"] * np.linalg.det(matrices[i])
    keypoints[..., :2] = moved(keypoints[..., :2], matrices[:, None, None])
    return keypoints, area, matrices, tuple(size)


def perfect_maps(keypoints, area, map_hw):
    """Score `[B, H, W, 1]` and the owner's number `[B, H, W]` at every cell."""
    centre, valid = centres(keypoints, area, map_hw)
    cells, owned = disc_cells(centre, valid, area, map_hw, RADIUS)
    cells, owned = np.asarray(cells), np.asarray(owned) > 0
    distance = np.linalg.norm(cells - np.asarray(centre)[:, :, None], axis=-1)
    score = np.zeros([len(keypoints), *map_hw, 1], np.float32)
    owner = np.zeros([len(keypoints), *map_hw], int)
    image, person, _ = np.nonzero(owned)
    x, y = cells[owned].T
    score[image, y, x, 0] = 1.0 - FALL * distance[owned]
    owner[image, y, x] = person
    return score, owner


def regressed_poses(keypoints, owner, cells):
    """The owner's pose at each cell `[B, P, 17, 2]`, through a float32 offset."""
    labelled = keypoints[..., 2:] > 0
    mean = np.sum(keypoints[..., :2] * labelled, axis=2, keepdims=True) / np.maximum(
        labelled.sum(axis=2, keepdims=True), 1
    )
    # Nobody knows the keypoints that are not labelled; the centre hides no other.
    whole = np.where(labelled, keypoints[..., :2], mean)
    image = np.arange(len(keypoints))[:, None]
    person = owner[image, cells[..., 1], cells[..., 0]]
    source = cells[:, :, None] * np.float32(STRIDE)
    offsets = (whole[image, person] - source).astype(np.float32)
    return source + offsets


def chunks(labels, count):
    """Labels of so many images at a time, of one orientation: no map is a square."""
    upright = [[], []]
    for image in labels["images"]:
        upright[image["height"] > image["width"]].append(image)
    for images in upright:
        for first in range(0, len(images), count):
            yield labels | {"images": images[first : first + count]}


def dekr_results(labels):
    """COCO results of DEKR's decoder on perfect heatmaps and displacements."""
    decoding = DEKRDecoderSettings().to_dict()
    count = decoding.pop("max_detections")
    results = []
    for part in chunks(labels, DEKR_BATCH):
        keypoints, area, matrices, (height, width) = facts(part)
        map_hw = height // STRIDE, width // STRIDE
        centre, heatmaps = heat_targets(keypoints, area, map_hw)
        _, owner = perfect_maps(keypoints, area, map_hw)
        scores, cells = top_cells(peaks(centre), count)
        poses = regressed_poses(keypoints, owner, np.asarray(cells)) / STRIDE
        poses = ops.convert_to_tensor(poses.astype("float32"))
        found = people(scores, poses, cells, heatmaps, **decoding)
        results += coco_results(part, matrices, found)
    return results


def oracle_results(labels):
    """COCO results of the decoder on perfect maps."""
    results = []
    for part in chunks(labels, BATCH):
        keypoints, area, matrices, (height, width) = facts(part)
        map_hw = height // STRIDE, width // STRIDE
        score, owner = perfect_maps(keypoints, area, map_hw)
        scores, cells = top_cells(local_maxima(score), 30)
        poses = regressed_poses(keypoints, owner, np.asarray(cells))
        keep = pose_nms(poses, scores) & (scores > 0.01)
        scores, poses = rank(scores, keep, ops.convert_to_tensor(poses))
        results += coco_results(part, matrices, {"scores": scores, "poses": poses})
    return results


def coco_results(labels, matrices, found):
    """The people found in the images, in COCO's form."""
    scores = np.asarray(found["scores"])
    poses = moved(np.asarray(found["poses"]), np.linalg.inv(matrices)[:, None, None])
    return [
        {
            "image_id": labels["images"][image]["id"],
            "category_id": 1,
            "keypoints": np.concatenate([poses[image, row], np.ones([17, 1])], -1)
            .reshape(-1)
            .tolist(),
            "score": float(scores[image, row]),
        }
        for image, row in zip(*np.nonzero(scores), strict=True)
    ]


@needs_labels
@pytest.mark.slow
def test_perfect_maps_decode_to_the_labelled_people():
    labels = json.loads(LABELS.read_text())
    figures = coco_metrics(data_set(labels, COCO), oracle_results(labels))
    assert figures["AP"] >= 0.97


@needs_labels
@pytest.mark.slow
def test_dekrs_perfect_maps_decode_to_the_labelled_people():
    labels = json.loads(LABELS.read_text())
    figures = coco_metrics(data_set(labels, COCO), dekr_results(labels))
    assert figures["AP"] >= 0.97
