"""Calls Keras' `fit` from the current position of a run to its end."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from qepose_tf.models.pose_model import PoseModel
from qepose_tf.training.run_folder.state import RunState, bring_back_metrics

logger = logging.getLogger(__name__)


class StepCount(keras.callbacks.Callback):
    """Counts steps in the state of the run; it must be the first callback.

    Args:
        state: The state of the run.
        tensors: The arrays of a checkpoint within an epoch. Its running metrics are
            restored in the first epoch.
    """

    def __init__(self, state: RunState, tensors: dict[str, np.ndarray] | None = None):
        super().__init__()
        self.state = state
        self._tensors = tensors if state.step else None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Restores the running metrics, which `fit` has just reset."""
        self._first = self.state.step
        if self._tensors is not None:
            bring_back_metrics(self.model, self._tensors)
            self._tensors = None

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Counts the steps; the last execution of an epoch may have fewer of them."""
        self.state.step = min(self._first + batch + 1, self.state.steps_per_epoch)


class _EndAfter(keras.callbacks.Callback):
    """Ends `fit` after an epoch; it must be the last callback."""

    def __init__(self, epoch: int):
        super().__init__()
        self.epoch = epoch
        self.stopped = False

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        # Another callback, such as early stopping, may have asked to stop.
        self.stopped = self.model.stop_training
        if epoch + 1 >= self.epoch:
            self.model.stop_training = True


def fit(
    model: PoseModel,
    state: RunState,
    callbacks: Sequence[keras.callbacks.Callback],
    dataset: Callable[[int, int], tf.data.Dataset],
    *,
    epochs: int,
    frozen_epochs: int = 0,
    frozen_layers: Sequence[keras.Layer] = (),
    verbose: int = 0,
) -> None:
    """Trains from the epoch and step of the state until `epochs` are done.

    Keras' `fit` starts with a whole epoch and cannot change the set of trainable
    weights. It is therefore called once for the rest of an interrupted epoch, and
    again after the epochs in which the body is frozen.

    Args:
        model: A compiled model.
        state: The state of the run.
        callbacks: The callbacks, of which the first is a `StepCount` of `state`.
        dataset: A function of `(epoch, step)` that returns the batches from there on.
        epochs: The number of epochs of the run.
        frozen_epochs: The number of first epochs in which the body is frozen.
        frozen_layers: The layers of the body that are frozen in all epochs.
        verbose: The `verbose` of Keras' `fit`.
    """
    while state.epoch < epochs:
        _freeze(model, state.epoch < frozen_epochs, frozen_layers)
        if state.step >= state.steps_per_epoch:
            _end_epoch(model, state, callbacks, epochs)
            continue
        end = frozen_epochs if state.epoch < frozen_epochs else epochs
        if state.step:
            end = state.epoch + 1
        last = _EndAfter(min(end, epochs))
        model.fit(
            dataset(state.epoch, state.step),
            initial_epoch=state.epoch,
            epochs=epochs,
            steps_per_epoch=state.steps_per_epoch - state.step,
            callbacks=[*callbacks, last],
            verbose=verbose,
            shuffle=False,  # the data set has its own order
        )
        if last.stopped:
            logger.info("a callback ended training after epoch %d", state.epoch)
            break
    _freeze(model, False, frozen_layers)


def _freeze(model: PoseModel, frozen: bool, always: Sequence[keras.Layer]) -> None:
    if model.body.trainable == frozen:
        model.body.trainable = not frozen
        for layer in always:
            layer.trainable = False
        # The traced step updates the weights that were trainable when it was traced.
        model.train_function = None


def _end_epoch(
    model: PoseModel,
    state: RunState,
    callbacks: Sequence[keras.callbacks.Callback],
    epochs: int,
) -> None:
    """Calls the callbacks as `fit` does after the last step of an epoch."""
    chain = keras.callbacks.CallbackList(
        list(callbacks), model=model, epochs=epochs, steps=state.steps_per_epoch
    )
    chain.on_train_begin()
    chain.on_epoch_begin(state.epoch)
    chain.on_epoch_end(state.epoch, dict(model.get_metrics_result()))
    chain.on_train_end()
