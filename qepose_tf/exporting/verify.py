"""Reloads what an export wrote and compares its poses with the Keras model's."""

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from qepose_tf.data.images import resize_image
from qepose_tf.data.letterbox import capped_short_side, letterbox, original_points
from qepose_tf.exporting.serving import OUTPUTS
from qepose_tf.models.pose_estimator import PoseEstimator
from qepose_tf.ops.geometry import fit_short_side

Detections = dict[str, np.ndarray]
Detector = Callable[[np.ndarray], Detections]

POSE_TOLERANCE_PX = 0.5
SCORE_TOLERANCE = 0.01
# Of the people found: a tie or a threshold may fall otherwise.
UNMATCHED_TOLERANCE = 0.1


@dataclass(frozen=True)
class Comparison:
    """How far an exported model is from the Keras model.

    Attributes:
        max_pose_difference_px: greatest distance in x or y of a keypoint, in rows of
            the same cell; the rows that are empty for their low score count, too.
        max_score_difference: greatest difference of scores in rows of the same cell.
        matched: rows of the same cell.
        unmatched: people (score > 0) whose cell only one of the two found.
        people: people that the Keras model found.
    """

    max_pose_difference_px: float
    max_score_difference: float
    matched: int
    unmatched: int
    people: int

    def check(self, name: str) -> None:
        """Raises `ValueError` where the two do not give the same poses."""
        faults = []
        if not self.matched:
            faults.append("no cell in common")
        # written so that NaN is a fault
        if not self.max_pose_difference_px <= POSE_TOLERANCE_PX:
            faults.append(
                f"poses differ by {self.max_pose_difference_px:.3g} px "
                f"(at most {POSE_TOLERANCE_PX:g})"
            )
        if not self.max_score_difference <= SCORE_TOLERANCE:
            faults.append(
                f"scores differ by {self.max_score_difference:.3g} "
                f"(at most {SCORE_TOLERANCE:g})"
            )
        if self.unmatched > max(1, UNMATCHED_TOLERANCE * self.people):
            faults.append(
                f"{self.unmatched} people found by one only, of {self.people}"
            )
        if faults:
            raise ValueError(
                f"{name} does not give the Keras model's poses: {'; '.join(faults)}"
            )


def compare(expected: Sequence[Detections], actual: Sequence[Detections]) -> Comparison:
    """Compares two runtimes' detections on the same batches, row by row of a cell."""
    pose, score, matched, unmatched, people = [], [], 0, 0, 0
    for first, second in zip(expected, actual, strict=True):
        people += int(np.sum(first["scores"] > 0))
        same = np.all(
            first["cells"][:, :, None] == second["cells"][:, None, :], axis=-1
        )  # [B, P, P]
        image, row, other = np.nonzero(same)
        matched += len(image)
        pose.append(first["poses"][image, row] - second["poses"][image, other])
        for name in ("scores", "keypoint_scores"):
            score.append(first[name][image, row] - second[name][image, other])
        for detections, axis in ((first, 2), (second, 1)):
            alone = ~same.any(axis=axis)
            unmatched += int(np.sum(alone & (detections["scores"] > 0)))
    return Comparison(
        max_pose_difference_px=_greatest(pose),
        max_score_difference=_greatest(score),
        matched=matched,
        unmatched=unmatched,
        people=people,
    )


def _greatest(differences: list[np.ndarray]) -> float:
    flat = np.concatenate([np.abs(d).ravel() for d in differences])
    return float(flat.max(initial=0.0))


def made_image(height: int, width: int, seed: int) -> np.ndarray:
    """An image of smooth shapes under noise: `[height, width, 3]` uint8."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 6, 3)).astype(np.uint8)
    smooth = resize_image(coarse, height, width).astype(np.float32)
    y, x = np.mgrid[:height, :width]
    for _ in range(8):
        centre, radius = rng.uniform(0, 1, 2), rng.uniform(0.05, 0.2)
        away = np.hypot(y / height - centre[0], x / width - centre[1])
        smooth[away < radius] = rng.integers(0, 256, 3)
    noisy = smooth + rng.normal(0, 12, smooth.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def keras_any_size(model: PoseEstimator) -> Detector:
    """The Keras model behind the letterbox of evaluation and prediction.

    The resize itself is TensorFlow's, rounded to 8 bits: Pillow's, of which the
    letterbox would make use, is off by one grey level here and there.
    """

    def detect(images: np.ndarray) -> Detections:
        height, width = images.shape[1:3]
        side = capped_short_side(height, width, model.input_size)
        resized_hw, _ = fit_short_side(height, width, side)
        resized = tf.image.resize(images, resized_hw, antialias=True).numpy()
        resized = resized.round().clip(0, 255).astype(np.uint8)
        boxed = [letterbox(image, side, model.mean, model.std)[0] for image in resized]
        outputs = model(np.stack(boxed), training=False)
        detections = {name: np.asarray(outputs[name]) for name in OUTPUTS}
        scale = np.divide(resized_hw[::-1], (width, height))
        detections["poses"] = original_points(detections["poses"], scale)
        return detections

    return detect


def keras_fixed_size(model: PoseEstimator) -> Detector:
    """The Keras model on images of the network's size."""

    def detect(images: np.ndarray) -> Detections:
        outputs = model(model.normalise(images), training=False)
        return {name: np.asarray(outputs[name]) for name in OUTPUTS}

    return detect


def saved_model_detector(path: str | Path) -> Detector:
    """A SavedModel, loaded as any client would."""
    loaded = tf.saved_model.load(str(path))

    def detect(images: np.ndarray) -> Detections:
        serve = loaded.signatures["serving_default"]
        return {k: v.numpy() for k, v in serve(images=tf.constant(images)).items()}

    return detect


def tflite_detector(path: str | Path) -> Detector:
    """A TFLite file, loaded as any client would."""
    with warnings.catch_warnings():
        # TensorFlow 2.20 says that a later version moves the class to LiteRT.
        warnings.filterwarnings("ignore", message=r"(?s).*tf\.lite\.Interpreter is dep")
        interpreter = tf.lite.Interpreter(str(path), num_threads=os.cpu_count())
    serve = interpreter.get_signature_runner("serving_default")
    return lambda images: serve(images=images)
