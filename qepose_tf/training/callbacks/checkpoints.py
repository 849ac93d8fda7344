"""Checkpoints: where the run stands, its best model and its last one."""

import logging
import math
import os
import time
from pathlib import Path
from typing import Any

import keras

from qepose_tf.files.whole_files import whole
from qepose_tf.training.callbacks.validation import is_due
from qepose_tf.training.callbacks.weights_copy import WeightsCopy
from qepose_tf.training.run_folder.folder import BEST, CHECKPOINTS, LAST
from qepose_tf.training.run_folder.state import (
    RunState,
    checkpoint_path,
    checkpoints_in,
    snapshot,
    write_checkpoint,
)

logger = logging.getLogger(__name__)


class Checkpoints(keras.callbacks.Callback):
    """Writes `checkpoints/step-*.safetensors` and `best.keras`.

    A checkpoint is written every few steps, and when an epoch ends: before its
    validation, where it has one, and after. It stands behind the callbacks that add
    to an epoch's logs, for it also closes the epoch in the run's state.

    Args:
        folder: the run's folder; None writes nothing (workers other than the chief,
            which must read the variables with it all the same).
        state: of the run; kept up to date here.
        copy: of the model, to be saved.
        every: steps from one checkpoint to the next.
        keep: how many of them stay.
        monitor: the log whose highest value marks the best model; a value below 0 or
            NaN is no figure and marks none.
    """

    def __init__(
        self,
        folder: Path | None,
        state: RunState,
        copy: WeightsCopy,
        every: int = 500,
        keep: int = 3,
        monitor: str = "val_ap",
    ):
        super().__init__()
        self.folder = folder
        self.state = state
        self.copy = copy
        self.every = every
        self.keep = keep
        self.monitor = monitor
        self._saved_at = state.total_steps
        self._clock = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Saves if it is time to."""
        if self.state.total_steps - self._saved_at >= self.every:
            self.save()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Closes the epoch and saves."""
        logs = {name: float(value) for name, value in (logs or {}).items()}
        value = logs.get(self.monitor, math.nan)
        if value >= 0 and value > self.best_value:
            self.state.best_logs = {"epoch": epoch, **logs}
            self._save_best()
        self.state.history.append({"epoch": epoch, **logs})
        self.state.epoch, self.state.step = epoch + 1, 0
        self.save()

    @property
    def best_value(self) -> float:
        """The best so far."""
        return self.state.best_logs.get(self.monitor, -math.inf)

    def save(self) -> None:
        """Writes a checkpoint of this moment.

        Raises:
            OSError: it cannot be written; those before it are as they were.
        """
        now = time.monotonic()
        self.state.seconds += now - self._clock
        self._clock = now
        tensors = snapshot(self.model)
        self._saved_at = self.state.total_steps
        if self.folder is None:
            return
        folder = self.folder / CHECKPOINTS
        path = checkpoint_path(folder, self.state.total_steps)
        try:
            folder.mkdir(exist_ok=True)
            write_checkpoint(path, tensors, self.state)
        except OSError as error:
            before = next(iter(checkpoints_in(folder)), None)
            last = f"the last good one is {before}" if before else "there is none yet"
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise OSError(
                f"{path}: cannot write the checkpoint, {reason}; {last}"
            ) from error
        for old in checkpoints_in(folder)[self.keep :]:
            old.unlink()

    def save_last(self) -> None:
        """Writes `last.keras`, the model of this moment."""
        if self.folder is not None:
            save_model(self.copy.updated(), self.folder / LAST)

    def _save_best(self) -> None:
        if self.folder is None:
            return
        save_model(self.copy.updated(), self.folder / BEST)
        logger.info(
            "epoch %d: %s %.4f is the best so far",
            *(self.state.best_logs["epoch"] + 1, self.monitor, self.best_value),
        )


class BeforeValidation(keras.callbacks.Callback):
    """Saves a checkpoint before a validation, which may take longer than an epoch.

    Args:
        checkpoints: that write it.
        every: epochs from one validation to the next.
    """

    params: dict[str, Any]  # `fit` sets them before its first call.

    def __init__(self, checkpoints: Checkpoints, every: int):
        super().__init__()
        self.checkpoints = checkpoints
        self.every = every

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Saves the epoch as trained and not yet ended."""
        if is_due(epoch, self.every, self.params["epochs"]):
            self.checkpoints.save()


def save_model(model: keras.Model, path: Path) -> None:
    """Saves a `.keras` file; it is there completely or not at all.

    Raises:
        OSError: it cannot be written; a file of the name is as it was.
    """
    with whole(path) as temporary:
        model.save(temporary)
