"""Processes that are forks of one that has imported TensorFlow and the package.

That import takes longer than most of what tests run in processes of their own. A fork
has everything that a process has: its signals, its exit code, its environment, and
devices of its own, for the process that is forked has not started TensorFlow.

As a program, `python -m tests.forked_process`, it answers every line on stdin, which is
JSON, by a line: to `{"start": ...}` by a process id, and to `{"poll": id}` by the exit
code of that process, or null.
"""

import contextlib
import itertools
import json
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


class Forks:
    """Starts processes; made by `forks_in`."""

    def __init__(self, server: subprocess.Popen, folder: Path) -> None:
        self._server, self._folder = server, folder
        self._numbers = itertools.count()

    def start(self, *words: object, env: dict[str, str] | None = None):
        """Starts Python in the root of the repository, as `Popen` would.

        Args:
            *words: A module's name or `-c` and code, then arguments.
            env: Variables to set beside those of this process.
        """
        number = next(self._numbers)
        files = [self._folder / f"{number}.{kind}" for kind in ("out", "err")]
        request = {
            "words": list(map(str, words)),
            "env": {**os.environ, **(env or {})},
            "files": list(map(str, files)),
        }
        return ForkedProcess(self, self.ask(start=request), files)

    def ask(self, **request: Any) -> Any:
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        return json.loads(self._server.stdout.readline())


class ForkedProcess:
    """Behaves as `subprocess.Popen` with pipes for its text does."""

    def __init__(self, forks: Forks, pid: int, files: list[Path]) -> None:
        self.pid, self.returncode = pid, None
        self._forks, self._files = forks, files

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._forks.ask(poll=self.pid)
        return self.returncode

    def wait(self, timeout: float = 600) -> int:
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
            time.sleep(0.05)
        return code

    def communicate(self, timeout: float = 600) -> tuple[str, str]:
        self.wait(timeout)
        out, err = (file.read_text() for file in self._files)
        return out, err

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


@contextlib.contextmanager
def forks_in(folder: Path) -> Iterator[Forks]:
    """What starts processes that write into files of a folder."""
    words = [sys.executable, "-m", __spec__.name]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(
        words, cwd=ROOT, env=environment, text=True, **pipes
    ) as server:
        try:
            yield Forks(server, folder)
        finally:
            server.kill()


def main() -> None:
    import qepose_tf.cli
    import qepose_tf.training.run  # noqa: F401, before the first request

    for line in sys.stdin:
        request = json.loads(line)
        if "start" in request:
            answer = os.fork()
            if not answer:
                _become(**request["start"])
                sys.exit()
        else:
            ended, status = os.waitpid(request["poll"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if ended else None
        print(json.dumps(answer), flush=True)


def _become(words: list[str], env: dict[str, str], files: list[str]) -> None:
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for stream, file in enumerate(files, start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    os.environ.clear()
    os.environ.update(env)
    # A shell's background job ignores Ctrl-C, and so would its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = words
    if words[0] == "-c":
        exec(sys.argv.pop(1), {"__name__": "__main__"})
    else:
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
