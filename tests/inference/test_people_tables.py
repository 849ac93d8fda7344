"""Results as objects of pandas and supervision, compared with arrays by hand."""

import sys

import numpy as np
import pandas
import pytest
import supervision

from qepose_tf.inference.people import ImagePoses
from qepose_tf.skeleton import Skeleton

PAIR = Skeleton("pair", ("nose", "tail"), (), (("nose", "tail"),), (0.05, 0.05))
POSES = np.array([[[10, 20], [30, 5]], [[1, 2], [4, 8]]], np.float32)
SCORES = np.array([0.75, 0.5], np.float32)
KEYPOINT_SCORES = np.array([[0.7, 0.8], [0.4, 0.6]], np.float32)
BOXES = [[10, 5, 30, 20], [1, 2, 4, 8]]


def found(ids=None):
    return ImagePoses("a.png", (40, 50), POSES, SCORES, KEYPOINT_SCORES, PAIR, ids)


def test_boxes_are_the_extent_of_the_keypoints():
    np.testing.assert_array_equal(found().boxes, BOXES)
    assert found().boxes.dtype == np.float32
    assert found()[:0].boxes.shape == (0, 4)


def test_ids_follow_their_people():
    people = found(np.array([4, 9]))
    assert people[1].ids.tolist() == [9] and people[[True, False]].ids.tolist() == [4]
    assert found()[0].ids is None and found().frame is None and found().seconds is None


def test_a_table_has_a_row_for_each_person():
    table = found(np.array([4, 9])).to_dataframe()
    assert table.columns.tolist() == [
        *("frame", "seconds", "id", "score", "x1", "y1", "x2", "y2"),
        *("nose_x", "nose_y", "nose_score", "tail_x", "tail_y", "tail_score"),
    ]
    assert table["id"].tolist() == [4, 9] and table["frame"].isna().all()
    values = table.loc[1, "score":].to_numpy(float)
    expected = [0.5, 1, 2, 4, 8, 1, 2, 0.4, 4, 8, 0.6]
    np.testing.assert_allclose(values, expected, atol=1e-6)
    empty = found()[:0].to_dataframe()
    assert empty.shape == (0, 14)
    assert pandas.concat([empty, table]).dtypes["id"] == "Int64"


def test_supervision_takes_key_points_and_detections():
    keypoints, detections = found(np.array([4, 9])).to_supervision()
    np.testing.assert_array_equal(keypoints.xy, POSES)
    np.testing.assert_array_equal(keypoints.keypoint_confidence, KEYPOINT_SCORES)
    np.testing.assert_array_equal(detections.xyxy, BOXES)
    np.testing.assert_array_equal(detections.confidence, SCORES)
    np.testing.assert_array_equal(detections.tracker_id, [4, 9])
    image = np.zeros((40, 50, 3), np.uint8)
    drawn = supervision.VertexAnnotator().annotate(image.copy(), keypoints)
    assert (drawn != image).any()
    nobody, none = found()[:0].to_supervision()
    assert (
        len(nobody) == len(none) == 0 and found().to_supervision()[1].tracker_id is None
    )


def test_a_missing_package_is_named(monkeypatch):
    for package, method in (
        ("pandas", "to_dataframe"),
        ("supervision", "to_supervision"),
    ):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(ImportError, match=f"{package} is missing: pip install"):
            getattr(found(), method)()
