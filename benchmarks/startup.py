"""Measures the time until the help, a model or the first poses are there.

    python benchmarks/startup.py MODEL.keras [--saved-model DIR] [--json FILE]

Each time is the median of new processes. MODEL is a saved W32 at 512 px, trained or
not; DIR is the folder of `qepose export MODEL --format saved_model`. Times count from
the start of the process, and once more from the end of the import of TensorFlow.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from qepose_tf.benchmark.report import Report
from qepose_tf.benchmark.timing import Timing

SIDE = 512  # side of the picture, px
# The programs. They print the time after the import of TensorFlow and at their end.
IMPORT = "import sys, time, tensorflow as tf; print(time.time());"
HELP = "import sys, qepose_tf.cli as c; c.main(['--help']); print(); import time;"
BUILD = (
    "from qepose_tf.models import PoseEstimator; from qepose_tf.skeleton import COCO;"
    "print(time.time()); PoseEstimator(COCO, backbone='w32');"
)
PREDICT = (
    "from qepose_tf.inference.predictor import Predictor;"
    "print(len(list(Predictor(sys.argv[1]).predict(sys.argv[2]))[0].poses));"
)
SERVE = (
    "import numpy as np; model = tf.saved_model.load(sys.argv[1]);"
    "serve = model.signatures['serving_default'];"
    f"images = np.zeros((1, {SIDE}, {SIDE}, 3), np.uint8);"
    "print(serve(images=tf.constant(images))['poses'].numpy().shape);"
)
DONE = "print(time.time())"


@dataclass(frozen=True)
class Waits:
    """The times of several processes that ran the same program.

    Attributes:
        done: The time from the start of the process to its end, in s.
        since_import: The time since the end of the import in s, or NaN if the program
            does not print it.
    """

    done: Timing
    since_import: Timing


def waits(code: str, *arguments: Path | str, runs: int) -> Waits:
    """Runs a program several times, each in a new process.

    Raises:
        ValueError: The program fails. The message has its last line.
    """
    done, since = [], []
    for _ in range(runs):
        started = time.time()
        process = subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)],
            capture_output=True,
            text=True,
            errors="replace",
        )
        if process.returncode:
            lines = process.stderr.strip().splitlines() or ["no reason given"]
            raise ValueError(f"a process failed: {lines[-1]}")
        times = [t for t in map(_seconds, process.stdout.splitlines()) if t > started]
        done.append(times[-1] - started)
        since.append(times[-1] - times[-2] if len(times) > 1 else np.nan)
    return Waits(Timing(tuple(done)), Timing(tuple(since)))


def _seconds(line: str) -> float:
    """Returns a line as a time, or 0 if it is none."""
    try:
        return float(line)
    except ValueError:
        return 0.0


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="a saved W32 at 512 px")
    parser.add_argument("--saved-model", type=Path, help="its SavedModel")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path, help="writes the figures there")
    options = parser.parse_args()
    if not options.model.is_file():
        sys.exit(f"{options.model}: expected a .keras model file, found none")
    report = Report(facts={"runs": options.runs})
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "picture.jpg"
        pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
        Image.fromarray(pixels).save(picture)
        rows = [
            ("qepose --help", HELP + DONE, (), 0.7, False),
            ("import tensorflow", IMPORT + DONE, (), None, False),
            ("W32 built, imports not counted", IMPORT + BUILD + DONE, (), 6.0, True),
            (
                "first poses of a saved W32",
                IMPORT + PREDICT + DONE,
                (options.model, picture),
                20.0,
                False,
            ),
        ]
        if options.saved_model:
            folder = _version(options.saved_model)
            code = IMPORT + SERVE + DONE
            rows.append(("SavedModel's first answer", code, (folder,), 10.0, False))
        for name, code, arguments, target, counted in rows:
            print(f"timing {name}", file=sys.stderr, flush=True)
            found = waits(code, *arguments, runs=options.runs)
            _add(report, name, found, target, counted)
    print(report.markdown())
    if options.json:
        report.write(options.json)


def _version(folder: Path) -> Path:
    """Returns the folder of the model itself, which may be that of a version."""
    found = sorted(folder.rglob("saved_model.pb"))
    if not found:
        sys.exit(f"{folder}: expected a SavedModel, found none")
    return found[0].parent


def _add(
    report: Report, name: str, found: Waits, target: float | None, imported: bool
) -> None:
    since = found.since_import.median
    report.add(
        name=name,
        **{
            "seconds": found.done.median,
            "low": min(found.done.seconds),
            "high": max(found.done.seconds),
            "without imports": None if np.isnan(since) else since,
        },
    )
    if target is not None:
        report.aim(f"{name}, s", since if imported else found.done.median, target)


if __name__ == "__main__":
    main()
