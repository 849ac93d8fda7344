"""Handles Ctrl-C and SIGTERM: training stops between two steps."""

import logging
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

import keras

logger = logging.getLogger(__name__)

RESUME = 75  # exit code: "temporary failure, try again" (EX_TEMPFAIL of sysexits.h)


class Preempted(SystemExit):
    """SIGTERM has ended the run; its checkpoint is written.

    Python exits with code 75, which tells a scheduler to repeat the same command, which
    continues the run.
    """

    def __init__(self) -> None:
        super().__init__(RESUME)


class Interrupt:
    """A context in which signals are noted; only a second Ctrl-C raises at once.

    `check` raises if a signal has arrived. It is called between steps, so every step is
    completed. In threads other than the main one, and for signals that the process
    ignores (nohup), nothing is changed.

    Attributes:
        requested: The number of the signal that has arrived, or 0.
    """

    def __init__(self) -> None:
        self.requested = 0
        self._previous: dict[int, Any] = {}

    def check(self) -> None:
        """Raises the exception of the signal that has arrived, if any.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed.
            Preempted: SIGTERM has arrived.
        """
        if self.requested == signal.SIGTERM:
            raise Preempted
        if self.requested:
            raise KeyboardInterrupt

    def __enter__(self) -> "Interrupt":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, previous in self._previous.items():
            signal.signal(number, previous)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = self.requested or number
        if number == signal.SIGTERM:
            logger.warning("SIGTERM: stopping after this step")
        else:
            logger.warning("stopping after this step; Ctrl-C again stops at once")


class StopOnInterrupt(keras.callbacks.Callback):
    """Ends `fit` between two steps after a signal.

    Args:
        interrupt: The context in which `fit` runs.
        agreed: A function from the signal of this worker to the signal that all workers
            agree on, so that all stop after the same step.
    """

    def __init__(
        self, interrupt: Interrupt, agreed: Callable[[int], int] = lambda heard: heard
    ):
        super().__init__()
        self.interrupt = interrupt
        self.agreed = agreed

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Stops training if a signal has arrived."""
        self.interrupt.requested = self.agreed(self.interrupt.requested)
        self.interrupt.check()
