"""Exported files run in a process of their own, without this package."""

import contextlib
import functools
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE

import numpy as np

from qepose_tf.exporting.checks import runner
from qepose_tf.exporting.checks.comparison import Detections


@dataclass(frozen=True)
class Answers:
    """What an exported model answered.

    Attributes:
        detections: of each batch.
        seconds: that each call took; the first ones set the runtime up.
    """

    detections: list[Detections]
    seconds: list[float]

    @property
    def latency_seconds(self) -> float:
        """Median of the calls, without the first where there are more."""
        return float(np.median(self.seconds[1:] or self.seconds))


Run = Callable[[Path, Iterable[np.ndarray]], Answers]


@contextlib.contextmanager
def waiting_process(format: str) -> Generator[Run, None, None]:
    """A process that imports a format's runtime while its file is still being written.

    Args:
        format: a key of `runner.RUNTIMES`.

    Yields:
        What runs a file or folder on batches, once; see `run_exported`.
    """
    # -I: neither the environment nor the working directory brings modules along.
    words = [sys.executable, "-I", runner.__file__, format]
    with subprocess.Popen(
        words, stdin=PIPE, stdout=DEVNULL, stderr=PIPE, text=True, errors="replace"
    ) as process:
        try:
            yield functools.partial(_run, process, format)
        finally:
            process.kill()


def run_exported(format: str, path: Path, batches: Iterable[np.ndarray]) -> Answers:
    """Runs an exported model in a new process that has only the format's runtime.

    Args:
        format: a key of `runner.RUNTIMES`.
        path: of the exported file or folder.
        batches: uint8 `[B, H, W, 3]` each; written to disk one by one.

    Raises:
        ValueError: the runtime failed; its last line is in the message.
    """
    with waiting_process(format) as run:
        return run(path, batches)


def _run(
    process: subprocess.Popen, format: str, path: Path, batches: Iterable[np.ndarray]
) -> Answers:
    with tempfile.TemporaryDirectory() as folder:
        count = 0
        for count, images in enumerate(batches, start=1):
            np.save(Path(folder) / f"{count - 1}.npy", images)
        _, errors = process.communicate(json.dumps([str(path), folder]) + "\n")
        if process.returncode:
            lines = errors.strip().splitlines()
            reason = lines[-1] if lines else f"exit code {process.returncode}"
            raise ValueError(f"{path.name} does not run as {format}: {reason}")
        found = [_read(Path(folder) / f"{number}.npz") for number in range(count)]
        seconds = json.loads((Path(folder) / "seconds.json").read_text("utf-8"))
    return Answers(found, seconds)


def _read(file: Path) -> Detections:
    with np.load(file) as outputs:
        return dict(outputs)
