"""What a run leaves to look at: learning rate, CSV and TensorBoard."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from qepose_tf.data.images import read_image
from qepose_tf.drawing import draw_poses
from qepose_tf.training.validation import CocoValidation


class LearningRate(keras.callbacks.Callback):
    """Puts the learning rate of the epoch's last step into the logs."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Adds `learning_rate`."""
        optimizer = self.model.optimizer
        # A mixed-precision optimiser wraps the one that counts the steps.
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        rate = optimizer._learning_rate
        if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
            steps = int(keras.ops.convert_to_numpy(optimizer.iterations))
            rate = rate(max(steps - 1, 0))
        if logs is not None:
            logs["learning_rate"] = float(keras.ops.convert_to_numpy(rate))


class CsvLog(keras.callbacks.CSVLogger):
    """One row per epoch, with columns that only some epochs fill.

    Keras takes the columns from the first epoch's logs; validation comes later. A
    file that is already there is continued in its own columns.

    Args:
        path: of the CSV file.
        columns: names that may be absent from the first epoch's logs.
    """

    def __init__(self, path: Path, columns: Sequence[str] = ()):
        super().__init__(str(path), append=True)
        self.columns = list(columns)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Opens the file."""
        super().on_train_begin(logs)
        with open(self.filename, encoding="utf-8", newline="") as file:
            header = next(csv.reader(file), None)
        if header is not None:
            self.keys = header[1:]

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes the row."""
        row = dict.fromkeys([*(self.keys or ()), *self.columns], "")
        super().on_epoch_end(epoch, {**row, **(logs or {})})

    def close(self) -> None:
        """Closes the file; to be called where `fit` may raise."""
        self.on_train_end()


class TensorBoardLog(keras.callbacks.Callback):
    """Scalars of every epoch, and predictions drawn after each validation.

    `keras.callbacks.TensorBoard` writes no pictures, and keeps its writer as the
    default one if `fit` ends by an exception.

    Args:
        folder: for the event file.
        validation: whose predictions are drawn; it stands before this callback.
        num_pictures: the first images of its dataset.
    """

    def __init__(
        self,
        folder: Path,
        validation: CocoValidation | None = None,
        num_pictures: int = 6,
    ):
        super().__init__()
        self.folder = folder
        self.validation = validation
        self.num_pictures = num_pictures
        self._writer: tf.summary.SummaryWriter | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Opens the event file."""
        self._writer = tf.summary.create_file_writer(str(self.folder))
        self._drawn = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes scalars, and pictures if there was a validation."""
        with self._writer.as_default(step=epoch):
            for name, value in (logs or {}).items():
                if math.isfinite(value):
                    tf.summary.scalar(name, value)
            evaluation = self.validation and self.validation.evaluation
            if evaluation is not self._drawn:
                self._drawn = evaluation
                self._write_pictures(evaluation.results)
        self._writer.flush()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Closes the event file."""
        self.close()

    def close(self) -> None:
        """Closes the event file; to be called where `fit` may raise."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _write_pictures(self, results: list[dict[str, Any]]) -> None:
        coco = self.validation.coco
        for record in coco.records[: self.num_pictures]:
            found = [r for r in results if r["image_id"] == record.image_id]
            poses = np.array([r["keypoints"] for r in found], np.float32)
            poses = poses.reshape(-1, coco.skeleton.num_keypoints, 3)[..., :2]
            scores = np.array([r["score"] for r in found], np.float32)
            image = read_image(record.file, exif=False)
            drawn = draw_poses(image, poses, scores, coco.skeleton)
            tf.summary.image(f"predictions/{record.image_id}", drawn[None])
