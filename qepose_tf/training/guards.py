"""What ends a run early: a loss that is no number, a failing op, and Ctrl-C."""

import logging
import math
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

import keras
import numpy as np
import tensorflow as tf

logger = logging.getLogger(__name__)


class NonFiniteLoss(keras.callbacks.Callback):
    """Stops the run at the first loss, or weight, that is NaN or infinite.

    The loss in the logs is the epoch's running mean; once it is not finite it stays so,
    and the first step that shows it is the one that made it. The weights are looked at
    too, every few steps and before an epoch's end saves anything: TensorFlow's fused
    CPU kernels turn a NaN into 0 at the next ReLU, so that an early layer can be lost
    behind a loss that looks well.

    Args:
        every: steps from one look at the weights to the next.

    Raises (from `fit`):
        ValueError: names the step, or the range of steps that may be to blame.
    """

    def __init__(self, every: int = 20):
        super().__init__()
        self.every = every

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Counts from here."""
        self._epoch, self._first = epoch, 0
        self._last = self._sound = -1

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Notes the first step of this execution."""
        self._first = batch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Looks at the loss and, now and then, at the weights."""
        per_epoch = self.params.get("steps")
        # The last execution of an epoch may be shorter than its nominal end.
        self._last = batch if per_epoch is None else min(batch, per_epoch - 1)
        loss = (logs or {}).get("loss")
        if loss is not None and not math.isfinite(loss):
            self._stop(f"the loss became {loss}", self._first)
        if self._last - self._sound >= self.every:
            self._check_weights()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Looks at the weights that would be saved."""
        self._check_weights()

    def _check_weights(self) -> None:
        if not weights_are_finite(self.model):
            self._stop("weights became NaN or infinite", self._sound + 1)
        self._sound = self._last

    def _stop(self, what: str, first: int) -> None:
        steps = f"step {first + 1}"
        if self._last > first:
            steps = f"steps {first + 1} to {self._last + 1}"
        per_epoch = self.params.get("steps")
        of = "" if per_epoch is None else f" of {per_epoch}"
        raise ValueError(
            f"{what} in epoch {self._epoch + 1} of {self.params['epochs']}, "
            f"{steps}{of}; try a lower train.learning_rate or train.gradient_clip_norm"
        )


def weights_are_finite(model: keras.Model) -> bool:
    """Tells whether every weight of the model is a number."""
    return all(
        np.isfinite(keras.ops.convert_to_numpy(weight)).all()
        for weight in model.weights
    )


@contextmanager
def readable_op_errors() -> Iterator[None]:
    """Turns TensorFlow's page-long errors of one op into a ValueError of one line.

    Such an op is the reading of a broken image in a strict run, or one that needs
    more memory than there is.
    """
    try:
        yield
    except tf.errors.OpError as error:
        # The op's own words stand somewhere between TensorFlow's.
        found = re.search(r"\b\w+Error: .*|\bOOM .*", error.message)
        reason = found.group() if found else error.message.strip().split("\n")[0]
        raise ValueError(f"training stopped: {reason}") from error


class Interrupt:
    """Context in which the first Ctrl-C asks, and the second one raises.

    `check` raises KeyboardInterrupt once Ctrl-C was pressed: called between steps, no
    step is cut in half. Threads other than the main one, and processes that ignore
    Ctrl-C (nohup), keep their handling.
    """

    def __init__(self) -> None:
        self.requested = False
        self._previous: Any = None

    def check(self) -> None:
        """Raises KeyboardInterrupt if one was asked for."""
        if self.requested:
            raise KeyboardInterrupt

    def __enter__(self) -> "Interrupt":
        current = signal.getsignal(signal.SIGINT)
        in_main_thread = threading.current_thread() is threading.main_thread()
        if in_main_thread and current not in (signal.SIG_IGN, None):
            self._previous = signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        logger.warning("stopping after this step; Ctrl-C again stops at once")


class StopOnInterrupt(keras.callbacks.Callback):
    """Raises KeyboardInterrupt between two steps after Ctrl-C.

    Args:
        interrupt: the context `fit` runs in.
    """

    def __init__(self, interrupt: Interrupt):
        super().__init__()
        self.interrupt = interrupt

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Stops here if asked to."""
        self.interrupt.check()
