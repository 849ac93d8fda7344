"""The people of a picture as objects of pandas and of supervision."""

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas
    import supervision


def data_frame(found: Any) -> "pandas.DataFrame":
    """Returns the people as a table, see `ImagePoses.to_dataframe`.

    Args:
        found: An `ImagePoses`, whose module imports this one.
    """
    pandas = _imported("pandas", "to_dataframe")
    count = len(found)
    missing = [pandas.NA] * count
    columns: dict[str, Any] = {
        "frame": pandas.array([found.frame] * count, dtype="Int64"),
        "seconds": pandas.array([found.seconds] * count, dtype="Float64"),
        "id": pandas.array(missing if found.ids is None else found.ids, dtype="Int64"),
        "score": found.scores,
    }
    columns |= zip(("x1", "y1", "x2", "y2"), found.boxes.T, strict=True)
    for index, name in enumerate(found.skeleton.keypoints):
        columns[f"{name}_x"], columns[f"{name}_y"] = found.poses[:, index].T
        columns[f"{name}_score"] = found.keypoint_scores[:, index]
    return pandas.DataFrame(columns)


def supervision_objects(
    found: Any,
) -> "tuple[supervision.KeyPoints, supervision.Detections]":
    """Returns key points and detections, see `ImagePoses.to_supervision`.

    Args:
        found: An `ImagePoses`.
    """
    supervision = _imported("supervision", "to_supervision")
    classes = np.zeros(len(found), int)
    keypoints = supervision.KeyPoints(
        xy=found.poses.astype(np.float32),
        class_id=classes,
        keypoint_confidence=found.keypoint_scores.astype(np.float32),
        detection_confidence=found.scores.astype(np.float32),
    )
    detections = supervision.Detections(
        xyxy=found.boxes,
        confidence=found.scores.astype(np.float32),
        class_id=classes,
        tracker_id=None if found.ids is None else np.asarray(found.ids, int),
    )
    return keypoints, detections


def _imported(package: str, needed_by: str) -> Any:
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError:
        raise ImportError(
            f"{needed_by}: {package} is missing: pip install 'qepose-tf[video]'"
        ) from None
