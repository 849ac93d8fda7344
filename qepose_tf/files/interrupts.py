"""Ctrl-C that no library can swallow.

Python raises `KeyboardInterrupt` wherever the program happens to be. Inside a
destructor or a callback of TensorFlow it is printed and dropped, or comes out as an
error of another kind, so the interruption is remembered as well.
"""

import contextlib
import signal
import threading
from collections.abc import Generator
from types import FrameType

_pressed = threading.Event()


@contextlib.contextmanager
def remembered_interrupts() -> Generator[threading.Event]:
    """Remembers Ctrl-C while it still raises `KeyboardInterrupt`.

    Nothing changes where the signal is ignored or has a handler of its own, nor
    outside of the main thread, where Python allows no handlers.

    Yields:
        An event that is set once Ctrl-C was pressed.
    """
    _pressed.clear()
    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not usual or threading.current_thread() is not threading.main_thread():
        yield _pressed
        return
    signal.signal(signal.SIGINT, _remember)
    try:
        yield _pressed
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _pressed.clear()


def raise_if_interrupted() -> None:
    """Ends work whose interruption was swallowed, before its result is published.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed within `remembered_interrupts`. The
            interruption is forgotten, so that what was done until then can be written.
    """
    if _pressed.is_set():
        _pressed.clear()
        raise KeyboardInterrupt


def _remember(number: int, frame: FrameType | None) -> None:
    _pressed.set()
    signal.default_int_handler(number, frame)
