"""Ends a run with a clear message if the loss is not finite or an operation fails."""

import gc
import logging
import math
import re
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from qepose_tf.training.run_folder.state import RunState
from qepose_tf.training.step import NORM, SKIPPED

logger = logging.getLogger(__name__)

TERMS = {
    "score_loss": "the score loss (Eq. 3)",
    "heatmap_loss": "the heatmap loss",
    "offset_loss": "the offset loss (Eq. 6)",
    "loss": "the loss",
    NORM: "the gradient",
}
_SHOWN = 16  # image ids in a message
_LONGEST = 120  # characters of TensorFlow's reason
# The errors of operations across workers if one of them does not answer.
_GONE = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
    tf.errors.UnavailableError,
)


class NonFinite(keras.callbacks.Callback):
    """Stops the run at the first loss, gradient or weight that is NaN or infinite.

    The losses in the logs are running means of the epoch. Such a mean stays NaN or
    infinite once a loss was, so the first step that shows it is the cause. The weights
    are checked as well, every few steps and before the end of an epoch saves anything:
    TensorFlow's fused CPU kernels can turn a NaN into 0 at the next ReLU, so the loss
    can be finite although the weights of an early layer are not.

    Args:
        state: The state of the run; a callback before this one counts its steps.
        epochs: The number of epochs of the run.
        images: A function of `(epoch, step)`, from 0, to the image ids of the step.
        skip: Whether the run continues with a warning if the optimiser has skipped such
            a step.
        every: The number of steps from one check of the weights to the next.

    Raises (from `fit`):
        ValueError: A value is not finite. The message names the step, the loss term and
            the images, or the range of steps after which weights were not finite.

    Example:
        >>> state = RunState(steps_per_epoch=100)  # doctest: +SKIP
        >>> callbacks = [StepCount(state), NonFinite(state, 5)]  # doctest: +SKIP
        >>> model.fit(batches, epochs=5, callbacks=callbacks)  # doctest: +SKIP
    """

    def __init__(
        self,
        state: RunState,
        epochs: int,
        images: Callable[[int, int], Sequence[int]] | None = None,
        skip: bool = False,
        every: int = 20,
    ):
        super().__init__()
        self.state = state
        self.epochs = epochs
        self.images = images
        self.skip = skip
        self.every = every

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Starts the checks of an epoch at its first step."""
        self._sound = self._before = self.state.step
        self._skipped = 0.0
        self._remember()

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Checks the losses and, every few steps, the weights."""
        logs = logs or {}
        skipped = float(logs.get(SKIPPED, 0.0))
        wrong = [n for n in TERMS if n in logs and not math.isfinite(logs[n])]
        if wrong or (self.skip and skipped > self._skipped):
            self._found(TERMS[wrong[0]] if wrong else TERMS[NORM])
        if self.state.step - self._sound >= self.every:
            self._check_weights()
        self._before, self._skipped = self.state.step, skipped
        self._remember()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Checks the weights before they are saved."""
        self._check_weights()

    def _found(self, term: str) -> None:
        steps = self._steps(self._before, self.state.step)
        shown = self._ids(self._before, self.state.step)
        if not self.skip:
            raise ValueError(
                f"{term} became NaN or infinite in {steps}{shown}; try a lower "
                "train.learning_rate or train.gradient_clip_norm, or "
                "train.non_finite=skip"
            )
        logger.warning("%s is NaN or infinite in %s; left out%s", term, steps, shown)
        for metric, values in zip(self.model.metrics, self._metrics, strict=True):
            if not _finite(metric.variables):
                for variable, value in zip(metric.variables, values, strict=True):
                    variable.assign(value)

    def _remember(self) -> None:
        """Copies the running means, so that a skipped step can be removed from them."""
        if self.skip:
            self._metrics = [
                [keras.ops.convert_to_numpy(v) for v in metric.variables]
                for metric in self.model.metrics
            ]

    def _check_weights(self) -> None:
        if not weights_are_finite(self.model):
            steps = self._steps(self._sound, self.state.step)
            raise ValueError(
                f"weights became NaN or infinite in {steps}; try a lower "
                "train.learning_rate or train.gradient_clip_norm"
            )
        self._sound = self.state.step

    def _steps(self, before: int, last: int) -> str:
        last = max(last, before + 1)
        steps = (
            f"step {last}" if last == before + 1 else f"steps {before + 1} to {last}"
        )
        epoch = f"epoch {self.state.epoch + 1} of {self.epochs}"
        return f"{epoch}, {steps} of {self.state.steps_per_epoch}"

    def _ids(self, before: int, last: int) -> str:
        if self.images is None:
            return ""
        ids = [i for s in range(before, last) for i in self.images(self.state.epoch, s)]
        more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
        return f" (images {', '.join(map(str, ids[:_SHOWN]))}{more})"


def weights_are_finite(model: keras.Model) -> bool:
    """Tells whether every weight of the model is finite."""
    return _finite(model.weights)


def _finite(variables: Sequence[keras.Variable]) -> bool:
    return all(
        np.isfinite(keras.ops.convert_to_numpy(variable)).all()
        for variable in variables
    )


@contextmanager
def readable_op_errors(several_workers: bool = False) -> Generator[None, None, None]:
    """A context that turns TensorFlow's long errors into a ValueError of one line.

    Such errors come from broken images in a strict run, from a lack of memory, or from
    another worker that has ended.
    """
    try:
        yield
    except tf.errors.OpError as error:
        # The message of the operation itself is one line of TensorFlow's message.
        found = re.search(r"\b\w+Error: .*|\bOOM .*", error.message)
        reason = found.group() if found else error.message.strip().split("\n")[0]
        if several_workers and isinstance(error, _GONE):
            _let_go(error)
            raise ValueError(
                f"another worker is gone ({reason[:_LONGEST]}); start all of them "
                "again with the same command to continue from the last checkpoint"
            ) from error
        raise ValueError(f"training stopped: {reason}") from error


def _let_go(error: BaseException) -> None:
    """Frees the objects in the stack frames of an error.

    If a sum over workers fails, TensorFlow leaves a thread pool open. If Python frees
    it only at exit, it prints another error as the last line of the run:
    https://github.com/tensorflow/tensorflow/issues/50487.
    """
    chained: BaseException | None = error
    while chained is not None:
        traceback.clear_frames(chained.__traceback__)
        chained = chained.__cause__ or chained.__context__
    gc.collect()
