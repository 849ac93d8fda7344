"""Runs exported files in a process of their own, without this package."""

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
    """The outputs of an exported model.

    Attributes:
        detections: The detections of each batch.
        seconds: The time of each call in s. The first call includes the start-up of the
            runtime.
    """

    detections: list[Detections]
    seconds: list[float]

    @property
    def latency_seconds(self) -> float:
        """The median time of a call in s, without the first if there are several."""
        return float(np.median(self.seconds[1:] or self.seconds))


Run = Callable[[Path, Iterable[np.ndarray]], Answers]


@contextlib.contextmanager
def waiting_process(format: str) -> Generator[Run, None, None]:
    """Starts a process that imports a format's runtime while its file is written.

    Args:
        format: A key of `inference.runtimes.RUNTIMES`.

    Yields:
        A function of a path and batches, to be called once, see `run_exported`.
    """
    # With -I, no module comes from the environment or the working directory.
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
        format: A key of `inference.runtimes.RUNTIMES`.
        path: The exported file or folder.
        batches: uint8 arrays `[B, H, W, 3]`, which are written to disk one by one.

    Returns:
        The detections of each batch and the time of each call.

    Raises:
        ValueError: The runtime failed. The message has the last line of its output.
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
