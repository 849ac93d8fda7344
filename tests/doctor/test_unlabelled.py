"""People whom a model finds and nobody labelled."""

import numpy as np
import pytest

from qepose_tf.data.coco.dataset import ImageRecord
from qepose_tf.doctor.pictures import look_at
from qepose_tf.doctor.unlabelled import new_people, unlabelled_people
from qepose_tf.inference.people import ImagePoses
from qepose_tf.models import PoseEstimator
from qepose_tf.skeleton import COCO
from tests.doctor.planting import ACCUSED, FOUND


def found_by_a_model(poses, scores=None):
    scores = np.full(len(poses), 0.8) if scores is None else scores
    ones = np.ones((len(poses), 17))
    return ImagePoses("a.jpg", (96, 96), np.array(poses), scores, ones, COCO)


def whole(record):
    """Rows of the people of a record with all keypoints."""
    return np.flatnonzero((record.keypoints[..., 2] > 0).all(axis=-1))


def test_whoever_is_left_out_is_found(scenes):
    """A model that finds everybody, and labels that lack one person a picture."""
    rng = np.random.default_rng(0)
    found = accused = planted = right = 0
    for row, record in enumerate(scenes.records):
        everybody = whole(record)
        if len(everybody) < 2:
            continue
        poses = record.keypoints[everybody, :, :2]
        noise = 0.03 * np.sqrt(record.area[everybody])[:, None, None]
        poses = poses + rng.normal(0, 1, poses.shape) * noise
        gone = everybody[0]
        kept = np.arange(len(record.area)) != gone
        less = ImageRecord(
            *(record.image_id, record.file, record.width, record.height),
            *(record.keypoints[kept], record.area[kept], record.boxes[kept], ()),
        )
        findings = new_people(row, less, found_by_a_model(poses))
        named = [np.array_equal(f.pose, poses[0]) for f in findings]
        apart = gap(record.boxes[gone], record.boxes[kept]) > 0
        planted += apart
        found += any(named) and apart
        accused += len(named) - sum(named)
        right += len(everybody) - 1
    assert planted >= 30
    assert found >= FOUND * planted
    assert accused <= ACCUSED * right


def gap(box, others):
    """How far a box is from the nearest of others, along one axis; negative inside."""
    low, high = box[:2], box[:2] + box[2:]
    apart = np.maximum(others[:, :2] - high, low - others[:, :2] - others[:, 2:])
    return apart.max(axis=-1).min()


def record_of(keypoints=(), boxes=(), ignore=(), everyone=True):
    keypoints = np.array(keypoints, np.float32).reshape(-1, 17, 3)
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    area = np.full(len(boxes), 400, np.float32)
    return ImageRecord(
        1, "a.jpg", 96, 96, keypoints, area, boxes, tuple(ignore), everyone
    )


def test_ignored_regions_hide_people_and_partly_labelled_pictures_say_so():
    pose = np.stack([np.linspace(20, 40, 17), np.linspace(20, 60, 17)], axis=-1)
    found = found_by_a_model([pose])
    (finding,) = new_people(3, record_of(), found)
    assert finding.picture == 3
    assert finding.why == "the model's score is 0.80"
    crowd = [[10.0, 10.0, 50.0, 10.0, 50.0, 70.0, 10.0, 70.0]]
    assert new_people(3, record_of(ignore=[crowd]), found) == []
    (partly,) = new_people(3, record_of(everyone=False), found)
    assert partly.why.endswith("not taught as background here")


@pytest.mark.usefixtures("micro_body")
def test_a_model_looks_at_every_readable_picture(scenes, tmp_path):
    path = tmp_path / "model.keras"
    PoseEstimator(COCO, backbone="tiny", input_size=64).save(path)
    records = scenes.records[:3]
    told = []
    findings = unlabelled_people(
        records, look_at(records), path, lambda *done: told.append(done)
    )
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert all(finding.certainty > 0.5 for finding in findings)
