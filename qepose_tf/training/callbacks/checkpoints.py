"""Writes the checkpoints, the best model and the last model of a run."""

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

    A checkpoint is written every few steps, before each validation, and at the end of
    each epoch. The callback also ends the epoch in the state of the run, so it must
    come after the callbacks that add to the logs of an epoch.

    Args:
        folder: The folder of the run. With None nothing is written: workers other than
            the chief read the variables together with it, but write no files.
        state: The state of the run, which the callback updates.
        copy: The copy of the model that is saved.
        every: The number of steps from one checkpoint to the next.
        keep: The number of checkpoints that are kept.
        monitor: The log whose highest value marks the best model. NaN and values below
            0 mark none.
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
        """Saves a checkpoint if `every` steps have passed."""
        if self.state.total_steps - self._saved_at >= self.every:
            self.save()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Ends the epoch in the state and saves a checkpoint."""
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
        """The best value of `monitor` so far; minus infinity before the first."""
        return self.state.best_logs.get(self.monitor, -math.inf)

    def save(self) -> None:
        """Writes a checkpoint of the current state.

        Raises:
            OSError: The file cannot be written; earlier checkpoints are not changed.
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
            last = f"the last good one is {before}" if before else "there is no other"
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise OSError(
                f"{path}: cannot write the checkpoint, {reason}; {last}"
            ) from error
        for old in checkpoints_in(folder)[self.keep :]:
            old.unlink()

    def save_last(self) -> None:
        """Writes the current model to `last.keras`."""
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
        checkpoints: The callback that writes the checkpoint.
        every: The number of epochs from one validation to the next.
    """

    params: dict[str, Any]  # `fit` sets them before its first call.

    def __init__(self, checkpoints: Checkpoints, every: int):
        super().__init__()
        self.checkpoints = checkpoints
        self.every = every

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Saves all steps of the epoch; the epoch itself is not ended yet."""
        if is_due(epoch, self.every, self.params["epochs"]):
            self.checkpoints.save()


def save_model(model: keras.Model, path: Path) -> None:
    """Saves a `.keras` file, completely or not at all.

    Raises:
        OSError: The file cannot be written; an earlier file is not changed.
    """
    with whole(path) as temporary:
        model.save(temporary)
