"""`fit` from wherever a run stands to its end."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from qepose_tf.models.pose_estimator import PoseEstimator
from qepose_tf.training.run_folder.state import RunState, bring_back_metrics

logger = logging.getLogger(__name__)


class StepCount(keras.callbacks.Callback):
    """Counts the steps of the run's state; it stands before all other callbacks.

    Args:
        state: of the run.
        tensors: a snapshot from within an epoch, whose running metrics the first
            epoch goes on with.
    """

    def __init__(self, state: RunState, tensors: dict[str, np.ndarray] | None = None):
        super().__init__()
        self.state = state
        self._tensors = tensors if state.step else None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Brings back what `fit` has just reset."""
        self._first = self.state.step
        if self._tensors is not None:
            bring_back_metrics(self.model, self._tensors)
            self._tensors = None

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Counts; the last execution of an epoch may end before its nominal end."""
        self.state.step = min(self._first + batch + 1, self.state.steps_per_epoch)


class _EndAfter(keras.callbacks.Callback):
    """Ends `fit` before its nominal end; it stands behind all other callbacks."""

    def __init__(self, epoch: int):
        super().__init__()
        self.epoch = epoch
        self.stopped = False

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        # Whether somebody else, such as early stopping, has asked for an end.
        self.stopped = self.model.stop_training
        if epoch + 1 >= self.epoch:
            self.model.stop_training = True


def fit(
    model: PoseEstimator,
    state: RunState,
    callbacks: Sequence[keras.callbacks.Callback],
    dataset: Callable[[int, int], tf.data.Dataset],
    *,
    epochs: int,
    frozen_epochs: int = 0,
    frozen_layers: Sequence[keras.Layer] = (),
    verbose: int = 0,
) -> None:
    """Trains until `epochs` are done, from the state's epoch and step.

    Keras' `fit` begins with an epoch and has one set of trainable weights: it is
    called again for the rest of an epoch that was cut in two, and when the body is
    set free.

    Args:
        model: compiled, its optimiser built.
        state: of the run; `callbacks` begin with a `StepCount` that counts in it.
        callbacks: told of all epochs, whatever the calls.
        dataset: endless batches from an epoch and a step of it.
        epochs: in all.
        frozen_epochs: the first ones, in which the body keeps its weights.
        frozen_layers: of the body, that keep their weights in all of them.
        verbose: of Keras.
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
            shuffle=False,  # the dataset has its own order
        )
        if last.stopped:
            logger.info("a callback ended training after epoch %d", state.epoch)
            break
    _freeze(model, False, frozen_layers)


def _freeze(model: PoseEstimator, frozen: bool, always: Sequence[keras.Layer]) -> None:
    if model.body.trainable == frozen:
        model.body.trainable = not frozen
        for layer in always:
            layer.trainable = False
        # The traced step knows the weights that it was traced with.
        model.train_function = None


def _end_epoch(
    model: PoseEstimator,
    state: RunState,
    callbacks: Sequence[keras.callbacks.Callback],
    epochs: int,
) -> None:
    """What `fit` does after the last step of an epoch."""
    chain = keras.callbacks.CallbackList(
        list(callbacks), model=model, epochs=epochs, steps=state.steps_per_epoch
    )
    chain.on_train_begin()
    chain.on_epoch_begin(state.epoch)
    chain.on_epoch_end(state.epoch, dict(model.get_metrics_result()))
    chain.on_train_end()
