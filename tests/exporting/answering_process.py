"""A process with TensorFlow alone that runs one SavedModel after another.

An export starts a process of its own to run what it wrote, and TensorFlow's import
takes longer than that run. Tests that write many SavedModels share one such process.
As a program, `python -I answering_process.py RUNNER`, it answers every line on stdin
as `runner` answers its only one.
"""

import contextlib
import functools
import importlib.util
import io
import subprocess
import sys
from collections.abc import Iterator
from subprocess import PIPE

ANSWERED = "answered"


class AnsweringProcess:
    """Looks to `clean_process` like a process that is started for each file."""

    returncode = None

    def __init__(self, process: subprocess.Popen) -> None:
        self._process = process

    def communicate(self, request: str) -> tuple[None, str]:
        self._process.stdin.write(request)
        self._process.stdin.flush()
        if self._process.stdout.readline().strip() == ANSWERED:
            return None, ""
        _, errors = self._process.communicate()
        self.returncode = self._process.returncode or 1
        return None, errors


@contextlib.contextmanager
def answering_process() -> Iterator:
    """In place of `clean_process.waiting_process`, for SavedModels one process."""
    from qepose_tf.exporting.checks import clean_process, runner

    words = [sys.executable, "-I", __file__, runner.__file__]
    pipes = {"stdin": PIPE, "stdout": PIPE, "stderr": PIPE}
    with subprocess.Popen(words, text=True, **pipes) as process:

        @contextlib.contextmanager
        def waiting_process(format):
            if format != "saved_model":
                with clean_process.waiting_process(format) as run:
                    yield run
            else:
                shared = AnsweringProcess(process)
                yield functools.partial(clean_process._run, shared, format)

        try:
            yield waiting_process
        finally:
            process.kill()


def main(path: str) -> None:
    spec = importlib.util.spec_from_file_location("runner", path)
    runner = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(runner)
    import tensorflow  # noqa: F401, before the first request

    for request in sys.stdin:
        sys.stdin = io.StringIO(request)
        runner.main("saved_model")
        print(ANSWERED, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
