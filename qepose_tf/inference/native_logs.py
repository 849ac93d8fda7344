"""Hides the messages of TensorFlow's C++ converters."""

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Generator

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def native_logs_hidden() -> Generator[None, None, None]:
    """Hides what C++ code writes to stderr, and logs it afterwards at level DEBUG.

    No setting turns off what converters write about devices, passes and ignored
    options. Their errors are raised as exceptions all the same.
    """
    try:
        terminal = os.dup(2)
    except OSError:  # stderr is closed
        yield
        return
    sys.stderr.flush()
    with tempfile.TemporaryFile() as hidden:
        os.dup2(hidden.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
            hidden.seek(0)
            for line in hidden.read().decode(errors="replace").splitlines():
                logger.debug(line)
