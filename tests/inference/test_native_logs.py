import logging
import os
import sys

import pytest

from qepose_tf.inference.native_logs import native_logs_hidden


def test_hidden_lines_are_logged_at_debug_level(capfd, caplog):
    caplog.set_level(logging.DEBUG, "qepose_tf.inference")
    with native_logs_hidden():
        os.write(2, b"I0000 a notice\n")
    print("shown", file=sys.stderr)
    assert capfd.readouterr().err == "shown\n"
    assert "I0000 a notice" in caplog.messages


def test_an_error_comes_through_and_stderr_comes_back(capfd):
    with pytest.raises(ValueError, match="converter"):
        with native_logs_hidden():
            os.write(2, b"noise\n")
            raise ValueError("converter")
    os.write(2, b"shown\n")
    assert capfd.readouterr().err == "shown\n"
