"""Checkpoints: the last model and the one of the best AP, never half written."""

import logging
import math
import os
import shutil
import time
from pathlib import Path
from typing import Any

import keras

from qepose_tf.training.run_folder import BEST, LAST

logger = logging.getLogger(__name__)


class Checkpoints(keras.callbacks.Callback):
    """Writes `last.keras` and `best.keras`.

    The last model is written after every validation, at the end, and otherwise when
    an epoch ends and `seconds` have passed: a killed run loses little, and a run of
    short epochs doesn't spend its time on saving.

    Args:
        folder: the run's folder.
        monitor: the log whose highest value marks the best model.
        seconds: how old the last model may grow.

    Attributes:
        best: file of the best model; None before the first validation.
        last: file of the last model; None before it was written.
        best_logs: the logs of the best epoch.
    """

    def __init__(self, folder: Path, monitor: str = "val_ap", seconds: float = 60.0):
        super().__init__()
        self.folder = folder
        self.monitor = monitor
        self.seconds = seconds
        self.best: Path | None = None
        self.last: Path | None = None
        self.best_logs: dict[str, float] = {}
        self._best_value = -math.inf
        self._saved_at = time.monotonic()

    def go_on_from(self, best_logs: dict[str, float]) -> None:
        """Takes over from a stopped run in the same folder."""
        self.last = self.folder / LAST
        if best_logs:
            self.best, self.best_logs = self.folder / BEST, best_logs
            self._best_value = best_logs[self.monitor]

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Saves what this epoch calls for."""
        logs = logs or {}
        validated = self.monitor in logs
        ended = epoch + 1 == self.params["epochs"]
        if validated or ended or time.monotonic() - self._saved_at >= self.seconds:
            self.save_last()
        if validated and logs[self.monitor] > self._best_value:
            self._best_value = logs[self.monitor]
            self.best_logs = dict(logs)
            self.best = self.folder / BEST
            copy_file(self.last, self.best)
            logger.info(
                "epoch %d: %s %.4f is the best, saved to %s",
                epoch + 1,
                self.monitor,
                self._best_value,
                self.best,
            )

    def save_last(self) -> Path:
        """Writes `last.keras` now."""
        path = self.folder / LAST
        save_model(self.model, path)
        self.last = path
        self._saved_at = time.monotonic()
        return path


def save_model(model: keras.Model, path: Path) -> None:
    """Saves a `.keras` file; it is there completely or as it was before."""
    temporary = _temporary(path)
    try:
        model.save(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def copy_file(source: Path, path: Path) -> None:
    """Copies a file; the copy is there completely or as it was before."""
    temporary = _temporary(path)
    try:
        shutil.copyfile(source, temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    # Keras wants the suffix; tempfile's files would be readable by their owner alone.
    return path.with_name(f".{path.stem}-{os.getpid()}{path.suffix}")
