"""Measures a long video: memory, frames a second, and what the network waits for.

    python benchmarks/video.py people.tflite [--frames 10000] [--json FILE]

The script draws a video of people before a background that moves, and runs
what `qepose predict` runs: decoding, the network, drawing, encoding and lines of
JSON. All figures are of that one run. The share that is not the network is the time in
which the network did not compute, because it waited for a frame or for room behind it.
The slope of the memory is that of the least-squares line through the second half.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from qepose_tf.benchmark.report import Report
from qepose_tf.data.synthetic.scene import random_scene
from qepose_tf.images.video import Video
from qepose_tf.images.video_writing import VideoWriter
from qepose_tf.inference.detections import Detections
from qepose_tf.inference.exported_model import ExportedModel
from qepose_tf.inference.people import ImagePoses, Unreadable
from qepose_tf.inference.prediction_files import write_predictions
from qepose_tf.inference.predictor import Predictor

WIDTH, HEIGHT, RATE = 640, 360, 30
MIB = 2**20
STEP = 2  # pixels that the scene moves in a frame
NOT_NETWORK = 0.20  # share of the time
SLOPE = 1.0  # MiB for 1,000 frames; a frame has 0.7


def resident() -> float:
    """Returns the resident memory of this process in MiB."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * 4096 / MIB


class Timed(ExportedModel):
    """A model that counts the seconds in which it computes."""

    seconds = 0.0

    def detect(self, images: Any) -> Detections:
        """Finds people as the model does, and adds the time that it took."""
        begun = time.perf_counter()
        try:
            return super().detect(images)
        finally:
            self.seconds += time.perf_counter() - begun


class Watched:
    """Results with the memory of the process at each hundredth."""

    def __init__(self, results: Iterator[ImagePoses | Unreadable]) -> None:
        self._results = results
        self.points: list[tuple[int, float]] = []
        self.people = 0

    def __iter__(self) -> Iterator[ImagePoses | Unreadable]:
        for number, result in enumerate(self._results):
            if isinstance(result, ImagePoses):
                self.people += len(result)
            if number % 100 == 0:
                self.points.append((number, resident()))
            yield result

    def slope(self) -> float:
        """The growth in MiB for 1,000 frames, in the second half."""
        frames, sizes = np.array(self.points[len(self.points) // 2 :]).T
        return 1000 * float(np.polyfit(frames, sizes, 1)[0])


def write_drawn(path: Path, frames: int) -> None:
    """Writes a video of drawn people that move to the left."""
    scenes = [
        np.asarray(random_scene(HEIGHT, 1, 2, (seed,)).picture) for seed in range(8)
    ]
    strip = np.concatenate([*scenes, *scenes[:2]], axis=1)  # its end is its beginning
    length = HEIGHT * len(scenes)
    with VideoWriter(path) as writer:
        for number in range(frames):
            left = number * STEP % length
            image = strip[:, left : left + WIDTH]
            writer.add(image, Fraction(number, RATE), Fraction(1, RATE))


def measure(model: Path, frames: int, min_score: float, folder: Path) -> Report:
    """Runs the video and returns its figures."""
    source = folder / "drawn.mp4"
    write_drawn(source, frames)
    network = Timed(model)
    predictor = Predictor(network, min_score=min_score)
    begun, cpu = time.perf_counter(), time.process_time()
    watched = Watched(predictor.outcomes(Video(source)))
    out = folder / "out"
    write_predictions(iter(watched), out, predictor.skeleton, out / "results.json")
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    report = Report()
    report.add(
        frames=frames,
        people=watched.people,
        seconds=seconds,
        frames_per_second=frames / seconds,
        network_ms=1000 * network.seconds / frames,
        cpu_ms=1000 * cpu / frames,
        memory_mib=watched.points[-1][1],
    )
    report.aim(
        "share that is not the network", 1 - network.seconds / seconds, NOT_NETWORK
    )
    report.aim("memory, MiB for 1,000 frames", watched.slope(), SLOPE)
    report.facts = {"model": str(model), "size": [WIDTH, HEIGHT]}
    return report


def main() -> None:
    """Parses the command line, measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="a file of `qepose export`")
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--min-score", type=float, default=0.2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = measure(options.model, options.frames, options.min_score, Path(folder))
    print(report.markdown())
    if options.json:
        report.write(options.json)
    sys.exit(0 if all(target.held for target in report.targets) else 1)


if __name__ == "__main__":
    main()
