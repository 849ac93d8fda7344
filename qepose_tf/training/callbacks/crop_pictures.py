"""Draws labels, predictions and targets on the crops of a training batch."""

from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np

from qepose_tf.images.drawing import draw_poses
from qepose_tf.models.pose_model import PoseModel
from qepose_tf.ops.facts import Facts

OMEGA = (60, 220, 220)
IGNORED = (200, 40, 40)
TARGET = (255, 230, 60)
_SHORTEST = 256  # px; smaller crops are enlarged, so that keypoints can be seen


class TrainingPictures:
    """Draws the first crops of the first batch with the current weights.

    Each picture has three panels: the labels with Omega (cyan) and the ignored cells
    (red), the predictions, and the target of the score map (yellow, brighter means
    higher). A left arm in the colour of right arms shows a wrong flip pair.

    Args:
        model: A function that returns the model.
        batches: A function that returns batches like those of `train_dataset`.
        count: The number of crops.
    """

    def __init__(
        self,
        model: Callable[[], PoseModel],
        batches: Callable[[], Iterable[tuple[Any, dict[str, Any]]]],
        count: int = 4,
    ):
        self._model = model
        self._batches = batches
        self._count = count
        self._batch: tuple[np.ndarray, dict[str, np.ndarray]] | None = None

    def __call__(self) -> list[np.ndarray]:
        """Returns the pictures, each `[H, 3 W, 3]` uint8."""
        if self._batch is None:
            images, facts = next(iter(self._batches()))
            self._batch = (
                np.asarray(images[: self._count]),
                {name: np.asarray(fact[: self._count]) for name, fact in facts.items()},
            )
        images, facts = self._batch
        model = self._model()
        outputs = model(images, training=False)
        target, weight = model.score_target(Facts.of(facts), outputs)
        arrays = {
            "poses": outputs["poses"],
            "scores": outputs["scores"],
            "target": target,
            "inside": keras.ops.cast(weight == 1.0, "float32"),
        }
        arrays = {k: keras.ops.convert_to_numpy(v) for k, v in arrays.items()}
        rows = [
            {name: values[i] for name, values in (arrays | facts).items()}
            for i in range(len(images))
        ]
        return [
            _panels(image, row, model.skeleton)
            for image, row in zip(_bytes(images), rows, strict=True)
        ]


def _panels(image: np.ndarray, row: dict[str, np.ndarray], skeleton: Any) -> np.ndarray:
    zoom = max(1, -(-_SHORTEST // min(image.shape[:2])))
    plain = image.repeat(zoom, 0).repeat(zoom, 1)
    taught = _tinted(plain, row["inside"], OMEGA, 0.35)
    taught = _tinted(taught, row["ignore"], IGNORED, 0.5)
    people = row["area"] > 0
    labelled = row["keypoints"][people]
    taught = draw_poses(
        taught,
        _enlarged(labelled[..., :2], zoom),
        np.ones(len(labelled)),
        skeleton,
        keypoint_visible=labelled[..., 2],
    )
    found = draw_poses(
        plain, _enlarged(row["poses"], zoom), row["scores"], skeleton, label=True
    )
    wanted = _tinted(plain, row["target"], TARGET, 0.9)
    return np.concatenate([taught, found, wanted], axis=1)


def _enlarged(points: np.ndarray, zoom: int) -> np.ndarray:
    return (points + 0.5) * zoom - 0.5


def _tinted(
    image: np.ndarray, cells: np.ndarray, colour: tuple[int, int, int], share: float
) -> np.ndarray:
    """Blends a colour into an image, weighted by a map `[H / 4, W / 4, 1]`."""
    side = image.shape[0] // cells.shape[0]
    opacity = share * cells.repeat(side, 0).repeat(side, 1)
    return _bytes(image * (1 - opacity) + np.asarray(colour) * opacity)


def _bytes(pixels: np.ndarray) -> np.ndarray:
    return pixels.round().clip(0, 255).astype(np.uint8)
