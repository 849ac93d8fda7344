"""Measures the speed of a run, its waits for images, and the remaining time."""

import datetime
import logging
import time
from typing import Any

import keras

from qepose_tf.training.run_folder.state import RunState

logger = logging.getLogger(__name__)


class Throughput(keras.callbacks.Callback):
    """Adds `images_per_second` and `data_wait` to an epoch's logs.

    `data_wait` is the share of the time in which a step waited for its batch. Near 0
    the devices limit the speed, near 1 the input pipeline does. The first step after a
    start is not counted if others follow in its epoch, because TensorFlow compiles the
    graph in it.

    Args:
        state: The state of the run.
        batch_size: The number of images in a step, on all devices.
    """

    params: dict[str, Any]  # `fit` sets them before its first call.

    def __init__(self, state: RunState, batch_size: int):
        super().__init__()
        self.state = state
        self.batch_size = batch_size
        self._ready: dict[int, float] = {}
        self._taken = 0

    def batch_is_ready(self, number: int) -> None:
        """Notes that a batch is ready; `train_dataset(on_batch=...)` calls it."""
        self._ready[number] = time.monotonic()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Counts batches from 0, because the pipeline starts again."""
        self._taken = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Starts the clock."""
        self._start_clock()

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Notes when a batch is wanted."""
        self._wanted = time.monotonic()
        self._before = self.state.step

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Adds the time that the step waited for its batch."""
        compiled = self._taken == 0
        ready = self._ready.get(self._taken, self._wanted)
        self._waited += max(0.0, ready - self._wanted)
        taken = self._taken + self.state.step - self._before
        for number in range(self._taken, taken):
            self._ready.pop(number, None)
        self._taken = taken
        if compiled and self.state.step < self.state.steps_per_epoch:
            self._start_clock()

    def _start_clock(self) -> None:
        self._first = self.state.step
        self._began = time.monotonic()
        self._waited = 0.0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Adds `images_per_second` and `data_wait` to the logs."""
        seconds = time.monotonic() - self._began
        images = (self.state.step - self._first) * self.batch_size
        if logs is not None and images:
            logs["images_per_second"] = images / seconds
            logs["data_wait"] = self._waited / seconds
            self._tell(seconds / (self.state.step - self._first))

    def _tell(self, seconds_per_step: float) -> None:
        """Logs the remaining time at the rate of this epoch, without validations."""
        epochs = self.params["epochs"] - self.state.epoch - 1
        if epochs > 0:
            seconds = round(epochs * self.state.steps_per_epoch * seconds_per_step)
            logger.info(
                "epoch %d of %d done, training takes %s more",
                *(self.state.epoch + 1, self.params["epochs"]),
                datetime.timedelta(seconds=seconds),
            )
