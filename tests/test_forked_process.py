"""A fork looks like any process that Python starts."""

import signal

import pytest

pytestmark = pytest.mark.slow


def test_arguments_variables_output_and_exit_code(forks):
    code = "import os, sys; print(sys.argv); sys.stderr.write(os.environ['A']); exit(3)"
    process = forks.start("-c", code, 7, env={"A": "b"})
    assert process.communicate() == ("['-c', '7']\n", "b")
    assert process.returncode == process.poll() == 3


def test_an_exception_is_shown_and_the_next_process_starts(forks):
    process = forks.start("-c", "raise KeyError('lost')")
    assert process.communicate()[1].endswith("KeyError: 'lost'\n")
    assert process.returncode == 1
    assert forks.start("-c", "").wait() == 0


def test_signals_reach_it(forks):
    process = forks.start("-c", "import time; time.sleep(600)")
    assert process.poll() is None
    process.kill()
    assert process.wait() == -signal.SIGKILL
