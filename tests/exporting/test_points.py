"""Poses without extent are suppressed in every exported form as in Keras."""

import keras
import numpy as np
import pytest

from qepose_tf.exporting import Exporter
from qepose_tf.images.drawn_image import made_image
from qepose_tf.models.pose_estimator import PoseEstimator
from qepose_tf.skeleton import Skeleton

pytestmark = pytest.mark.slow


def point_model(keypoints, distance):
    """An untrained model, whose poses are points beside their cells."""
    keras.utils.set_random_seed(0)
    names = tuple(f"point {k}" for k in range(keypoints))
    skeleton = Skeleton("points", names, (), (), (0.1,) * keypoints)
    decoder = {"nms_distance": distance, "score_threshold": 0.0}
    model = PoseEstimator(skeleton, "tiny", 96, decoder=decoder)
    kernel, bias = model.get_layer("score").weights
    kernel.assign(kernel * 0.02)
    bias.assign(bias + 0.3)
    return model


@pytest.mark.usefixtures("micro_body", "one_process")
@pytest.mark.parametrize(
    ("format", "package", "keypoints"),
    [
        ("saved_model", "tensorflow", 1),
        ("tflite", "ai_edge_litert", 1),
        ("onnx", "onnxruntime", 2),
        ("openvino", "openvino", 2),
    ],
)
def test_points_are_suppressed_as_in_keras(tmp_path, format, package, keypoints):
    pytest.importorskip(package)
    images = [made_image(96, 96, seed) for seed in range(3)]
    everybody = point_model(keypoints, 0.0).predict(np.stack(images), verbose=0)
    model = point_model(keypoints, 0.15)  # a point reaches six cells
    kept = model.predict(np.stack(images), verbose=0)
    file = tmp_path / ("points.tflite" if format == "tflite" else "points")
    with Exporter(model, height=96, width=96, images=images) as exporter:
        comparison = exporter.write(format, file)
    if format != "saved_model":  # which pads by itself, so that other cells score
        assert comparison.people == (kept["scores"] > 0).sum()
    assert comparison.people < (everybody["scores"] > 0).sum(), "nobody is suppressed"
    assert comparison.unmatched == 0
    assert comparison.max_pose_difference_px < 0.01
