"""What ends a run early: a loss that is no number, and a failing op."""

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
    "offset_loss": "the offset loss (Eq. 6)",
    "loss": "the loss",
    NORM: "the gradient",
}
_SHOWN = 16  # image ids in a message
_LONGEST = 120  # characters of TensorFlow's reason
# What operations across workers raise where one does not answer.
_GONE = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
    tf.errors.UnavailableError,
)


class NonFinite(keras.callbacks.Callback):
    """Stops the run at the first loss, gradient or weight that is NaN or infinite.

    The losses in the logs are the epoch's running means; once one is not finite it
    stays so, and the first step that shows it is the one that made it. The weights are
    looked at too, every few steps and before an epoch's end saves anything:
    TensorFlow's fused CPU kernels turn a NaN into 0 at the next ReLU, so that an early
    layer can be lost behind a loss that looks well.

    Args:
        state: of the run; a callback before this one counts its steps.
        epochs: of the run.
        images: the ids of the images of an epoch's step, by (epoch, step) from 0.
        skip: go on with a warning where the optimiser left such a step out.
        every: steps from one look at the weights to the next.

    Raises (from `fit`):
        ValueError: names the step, the term and the images; or the range of steps that
            may be to blame for the weights.
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
        """Counts from here."""
        self._sound = self._before = self.state.step
        self._skipped = 0.0
        self._remember()

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Looks at the losses and, now and then, at the weights."""
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
        """Looks at the weights that would be saved."""
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
        """Keeps the running means, to take a step out of them again."""
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
    """Tells whether every weight of the model is a number."""
    return _finite(model.weights)


def _finite(variables: Sequence[keras.Variable]) -> bool:
    return all(
        np.isfinite(keras.ops.convert_to_numpy(variable)).all()
        for variable in variables
    )


@contextmanager
def readable_op_errors(several_workers: bool = False) -> Generator[None, None, None]:
    """Turns TensorFlow's page-long errors of one op into a ValueError of one line.

    Such an op is the reading of a broken image in a strict run, or one that needs
    more memory than there is, or one that waits for a worker that is gone.
    """
    try:
        yield
    except tf.errors.OpError as error:
        # The op's own words stand somewhere between TensorFlow's.
        found = re.search(r"\b\w+Error: .*|\bOOM .*", error.message)
        reason = found.group() if found else error.message.strip().split("\n")[0]
        if several_workers and isinstance(error, _GONE):
            _let_go(error)
            raise ValueError(
                f"another worker is gone ({reason[:_LONGEST]}); start all of them "
                "again with the same command; the run goes on from its last checkpoint"
            ) from error
        raise ValueError(f"training stopped: {reason}") from error


def _let_go(error: BaseException) -> None:
    """Frees what an error's calls still hold.

    Where a sum over workers fails, TensorFlow leaves a thread pool open. One that is
    freed only when Python ends prints an error of its own, as the run's last line:
    https://github.com/tensorflow/tensorflow/issues/50487.
    """
    chained: BaseException | None = error
    while chained is not None:
        traceback.clear_frames(chained.__traceback__)
        chained = chained.__cause__ or chained.__context__
    gc.collect()
