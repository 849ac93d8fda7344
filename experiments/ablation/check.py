"""Checks a row: builds, trains a step, saves, reads and exports its model."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from experiments.ablation.rows import ROW_FOLDER
from qepose_tf.building import model_settings
from qepose_tf.config.reading import load_config
from qepose_tf.exporting.exporter import Exporter
from qepose_tf.models import load_model
from qepose_tf.models.pose_model import NETWORKS, PoseModel
from qepose_tf.skeleton import Skeleton

# Small images make a step fast, and still run every part of the model.
CHECK_SIZE = 64
EXPORTED = ("saved_model", "tflite")
# The layer of the score map; in DEKR, of the keypoints' heatmaps, too.
_SCORES = {"pose_estimator": "score", "dekr": "head_heatmap_1"}
_TYPICAL_SCORE = 0.3  # is added to the scores, which are 0 in an untrained model


@dataclass(frozen=True)
class RowCheck:
    """The result of the check of one row.

    Attributes:
        row: The stem of the config's name.
        parameters: The number of parameters, trainable or not.
        loss: The loss of the step.
        max_pose_difference_px: The largest difference from Keras, by export format.
        seconds: The time of the check in s.
    """

    row: str
    parameters: int
    loss: float
    max_pose_difference_px: dict[str, float]
    seconds: float


def row_files(rows: tuple[str, ...] = ()) -> list[Path]:
    """The configs of the rows asked for, by default of all, in the order of names.

    Raises:
        ValueError: there is no such row.
    """
    files = {path.stem: path for path in sorted(ROW_FOLDER.glob("*.yaml"))}
    for row in rows:
        if row not in files:
            raise ValueError(f"expected rows of {', '.join(files)}, got {row!r}")
    return [files[row] for row in rows or files]


def row_settings(path: Path, smaller: dict[str, Any] | None = None) -> dict[str, Any]:
    """Arguments of `PoseEstimator` for the check of a row.

    Args:
        path: The config.
        smaller: Arguments that replace the config's; of `head`, only what it names.
    """
    settings = model_settings(load_config(path))
    smaller = smaller or {}
    # With momentum 0, the statistics of the step are used at once. The initial ones do
    # not normalise a deep network, and its poses are too large to be compared.
    check = {"input_size": CHECK_SIZE, "batch_norm": {"momentum": 0.0}}
    head = {**settings["head"], **smaller.get("head", {})}
    return {**settings, **check, **smaller, "head": head}


def check_row(
    path: Path,
    folder: Path,
    exported: tuple[str, ...] = EXPORTED,
    smaller: dict[str, Any] | None = None,
) -> RowCheck:
    """Builds, trains a step, saves, reads and exports the model of a row's config.

    Args:
        path: The config.
        folder: The folder of the files, which are kept.
        exported: The formats that the model is exported in.
        smaller: As `row_settings` takes it.

    Raises:
        ValueError: A weight did not change, or a copy does not give the same poses.
    """
    started = time.monotonic()
    config = load_config(path)
    keras.utils.set_random_seed(config.seed)
    skeleton = Skeleton.load(config.skeleton, config.data.categories)
    model = NETWORKS[config.model.network](skeleton, **row_settings(path, smaller))
    loss = _train_a_step(model, path)
    bias = model.get_layer(_SCORES[config.model.network]).bias
    bias.assign(bias + _TYPICAL_SCORE)
    file = folder / "model.keras"
    model.save(file)
    _check_same(model, load_model(file), file)
    differences = {}
    with Exporter(model) as exporter:
        for name in exported:
            comparison = exporter.write(name, folder / f"exported.{name}")
            differences[name] = comparison.max_pose_difference_px
    seconds = round(time.monotonic() - started, 1)
    return RowCheck(path.stem, model.count_params(), loss, differences, seconds)


def _train_a_step(model: PoseModel, path: Path) -> float:
    before = [weight.numpy() for weight in model.trainable_variables]
    # Eager execution, for tracing a large model takes longer than a single step.
    model.compile(optimizer=keras.optimizers.Adam(1e-3), run_eagerly=True)
    images, facts = _images(model.input_size), _facts(model)
    loss = float(model.train_on_batch(images, facts, return_dict=True)["loss"])
    pairs = zip(model.trainable_variables, before, strict=True)
    still = [weight.path for weight, old in pairs if (weight.numpy() == old).all()]
    if still or not np.isfinite(loss):
        raise ValueError(f"{path}: loss {loss}, these weights did not learn: {still}")
    return loss


def _check_same(model: PoseModel, again: PoseModel, file: Path) -> None:
    images = _images(model.input_size)
    first, second = model(images), again(images)
    for name in first:
        if not np.array_equal(first[name], second[name]):
            raise ValueError(f"{file}: expected the same {name} as before saving")


def _images(side: int) -> np.ndarray:
    pixels = np.random.default_rng(0).uniform(0, 255, (2, side, side, 3))
    return pixels.astype("float32")


def _facts(model: PoseModel) -> dict[str, np.ndarray]:
    """Two people in each image, all keypoints labelled."""
    side, keypoints = model.input_size, model.skeleton.num_keypoints
    points = np.random.default_rng(1).uniform(4, side - 4, (2, 2, keypoints, 3))
    points[..., 2] = 2
    return {
        "keypoints": points.astype("float32"),
        "area": np.full((2, 2), side * side / 8, "float32"),
        "ignore": np.zeros((2, side // 4, side // 4, 1), "float32"),
    }
