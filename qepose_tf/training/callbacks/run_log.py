"""The logs of a run: learning rate, CSV file and TensorBoard."""

import csv
import io
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from qepose_tf.data.coco.dataset import CocoDataset, ImageRecord
from qepose_tf.data.coco.pictures import read_record_image
from qepose_tf.evaluation.evaluate import Evaluation
from qepose_tf.files.whole_files import write_file
from qepose_tf.images.drawing import draw_poses
from qepose_tf.training.callbacks.validation import CocoAP, is_due
from qepose_tf.training.run_folder.state import RunState


class LearningRate(keras.callbacks.Callback):
    """Adds the learning rate of the last step of an epoch to its logs."""

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


class CsvLog(keras.callbacks.Callback):
    """Writes the history of the run as a table with one row for each epoch.

    The callback must come after `Checkpoints`, which ends the epoch in the state. In a
    continued run the table has exactly the rows up to its checkpoint.

    Args:
        path: The path of the CSV file.
        state: The state of the run.
        columns: The names of logs that only some epochs have.
    """

    def __init__(self, path: Path, state: RunState, columns: Sequence[str] = ()):
        super().__init__()
        self.path = path
        self.state = state
        self.columns = tuple(columns)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Writes the rows of earlier epochs."""
        self._write()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes all rows, which now include this epoch."""
        self._write()

    def _write(self) -> None:
        if not self.state.history:
            return
        names = {name for row in self.state.history for name in row}
        columns = ["epoch", *sorted((names | set(self.columns)) - {"epoch"})]
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.state.history)
        write_file(self.path, text.getvalue())


class TensorBoardLog(keras.callbacks.Callback):
    """Writes scalars after each epoch and drawn predictions after each validation.

    `keras.callbacks.TensorBoard` writes no images, and its writer stays the default one
    if `fit` ends with an exception.

    Args:
        folder: The folder of the event file.
        validation: The callback whose predictions are drawn; it must come before this
            one.
        num_pictures: The number of validation images that are drawn.
        histograms: Whether histograms of the weights are written.
        crops: A function that draws training crops, each `[H, W, 3]` uint8.
        every: The number of epochs from one drawing of crops to the next.
    """

    params: dict[str, Any]  # `fit` sets them before its first call.

    def __init__(
        self,
        folder: Path,
        validation: CocoAP | None = None,
        num_pictures: int = 6,
        histograms: bool = False,
        crops: Callable[[], list[np.ndarray]] | None = None,
        every: int = 10,
    ):
        super().__init__()
        self.folder = folder
        self.validation = validation
        self.num_pictures = num_pictures
        self.histograms = histograms
        self.crops = crops
        self.every = every
        self._drawn: Evaluation | None = None
        self._writer: tf.summary.SummaryWriter | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Opens an event file."""
        self.close()
        self._writer = tf.summary.create_file_writer(str(self.folder))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes scalars, and images if this epoch was validated."""
        assert self._writer is not None  # `on_train_begin` opened it.
        with self._writer.as_default(step=epoch):
            for name, value in (logs or {}).items():
                if math.isfinite(value):
                    tf.summary.scalar(name, value)
            validation = self.validation
            evaluation = validation.evaluation if validation else None
            if validation and evaluation and evaluation is not self._drawn:
                self._drawn = evaluation
                self._write_pictures(validation.coco, evaluation.results)
            if self.crops and is_due(epoch, self.every, self.params["epochs"]):
                for number, picture in enumerate(self.crops()):
                    tf.summary.image(f"training/{number}", picture[None])
            if self.histograms:
                for weight in self.model.trainable_variables:
                    tf.summary.histogram(weight.path, weight.value)
        self._writer.flush()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Closes the event file."""
        self.close()

    def close(self) -> None:
        """Closes the event file; call it if `fit` has raised an exception."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _write_pictures(self, coco: CocoDataset, results: list[dict[str, Any]]) -> None:
        for record, image in islice(_readable(coco), self.num_pictures):
            found = [r for r in results if r["image_id"] == record.image_id]
            poses = np.array([r["keypoints"] for r in found], np.float32)
            poses = poses.reshape(-1, coco.skeleton.num_keypoints, 3)[..., :2]
            scores = np.array([r["score"] for r in found], np.float32)
            drawn = draw_poses(image, poses, scores, coco.skeleton)
            tf.summary.image(f"predictions/{record.image_id}", drawn[None])


def _readable(coco: CocoDataset) -> Iterator[tuple[ImageRecord, np.ndarray]]:
    """Yields the records whose images can be read, with their pixels.

    There is no warning here because the evaluation has named the broken images.
    """
    for record in coco.records:
        try:
            image = read_record_image(record)
        except (OSError, ValueError):
            continue
        yield record, image
