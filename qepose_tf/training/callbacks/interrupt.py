"""Ctrl-C and SIGTERM, heard at once and obeyed between two steps."""

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
    """The run was told to end by SIGTERM; its checkpoint is written.

    As an exit it leaves a program with code 75, by which a scheduler knows that the
    same command goes on with the run.
    """

    def __init__(self) -> None:
        super().__init__(RESUME)


class Interrupt:
    """Context in which the first Ctrl-C or SIGTERM asks, and a second Ctrl-C raises.

    `check` raises once one was heard: called between steps, no step is cut in half.
    Threads other than the main one, and processes that ignore a signal (nohup), keep
    their handling.

    Attributes:
        requested: the signal that was heard; 0 before.
    """

    def __init__(self) -> None:
        self.requested = 0
        self._previous: dict[int, Any] = {}

    def check(self) -> None:
        """Raises what was asked for.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed.
            Preempted: SIGTERM came.
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
        interrupt: the context `fit` runs in.
        agreed: what all workers have heard of; they stop after the same step.
    """

    def __init__(
        self, interrupt: Interrupt, agreed: Callable[[int], int] = lambda heard: heard
    ):
        super().__init__()
        self.interrupt = interrupt
        self.agreed = agreed

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Stops here if asked to."""
        self.interrupt.requested = self.agreed(self.interrupt.requested)
        self.interrupt.check()
