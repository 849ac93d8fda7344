"""Keeps the notices of TensorFlow's C++ converters off the terminal."""

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Generator

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def native_logs_hidden() -> Generator[None, None, None]:
    """Hides what C++ code writes to stderr; at level DEBUG it is logged afterwards.

    Converters write of devices, passes and ignored options, which no setting turns
    off. Their errors come as exceptions all the same.
    """
    try:
        terminal = os.dup(2)
    except OSError:  # there is no stderr to protect
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
