"""Ids stay with people who walk, cross, disappear and return."""

import numpy as np
import pytest

from qepose_tf.data.synthetic.video import drawn_video
from qepose_tf.evaluation.tracking import (
    TrackedFrame,
    oks_similarity,
    tracking_figures,
)
from qepose_tf.inference.tracking.similarity import pose_scales
from qepose_tf.inference.tracking.tracker import Tracker
from qepose_tf.skeleton import COCO


def test_two_drawn_people_who_cross_keep_their_ids():
    tracker, frames = Tracker(COCO), []
    for frame in drawn_video(2, seed=0, seconds=3, fps=12.5, posts=0):
        labelled = frame.keypoints[..., 2:] > 0
        poses = np.where(labelled, frame.keypoints[..., :2], np.nan)
        ids = tracker.update(poses, np.full(len(poses), 0.9), frame.seconds)
        areas = pose_scales(poses) ** 2
        alike = oks_similarity(frame.keypoints, areas, poses, np.array(COCO.sigmas))
        frames.append(TrackedFrame(frame.ids, ids, alike))
    figures = tracking_figures(frames)
    assert figures.people > 60
    assert figures.idf1 == pytest.approx(1.0) and figures.hota == pytest.approx(1.0)
