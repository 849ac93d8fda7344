"""How the time of an image grows with people, pixels, batch, N and K.

    python benchmarks/scaling.py [--backbone w32] [--runs 5] [--json FILE]

The whole in TensorFlow, uint8 pixels in and poses out, of untrained models settled on
drawn scenes. Each group's points take turns. Beside each ratio of times stands that of
the multiply-adds: what more keypoints or pixels cost by the network's definition.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path

import numpy as np
import tensorflow as tf

from qepose_tf.benchmark.report import Report
from qepose_tf.benchmark.settled import settled_model
from qepose_tf.benchmark.timing import Timing, measure
from qepose_tf.data.synthetic.scene import random_scene
from qepose_tf.exporting.frozen import Frozen
from qepose_tf.exporting.served_graph import detect
from qepose_tf.models import PoseEstimator, complexity
from qepose_tf.skeleton import COCO, Skeleton

SIDE = 512
PEOPLE = (0, 4, 16, 32, 60)
SIDES = (256, 384, 512, 768, 1024)
BATCHES = (1, 2, 4, 8)
SEMANTIC_POINTS = (0, 3, 9, 15)
KEYPOINTS = (5, 17, 68, 133)
PAUSE = 0.1  # seconds between calls

Detect = Callable[[tf.Tensor], dict[str, tf.Tensor]]


def scene(people: int, side: int = SIDE) -> np.ndarray:
    """A drawn picture `[side, side, 3]` uint8 of four scenes with people in each."""
    quarters = [
        np.array(
            random_scene(side // 2, people // 4, people // 4, (seed,), 0.2).picture
        )
        for seed in range(4)
    ]
    return np.block([[[quarters[0]], [quarters[1]]], [[quarters[2]], [quarters[3]]]])


def skeleton(keypoints: int) -> Skeleton:
    """COCO's where it has so many keypoints, else one of numbered points."""
    if keypoints == COCO.num_keypoints:
        return COCO
    names = tuple(f"point {number}" for number in range(keypoints))
    return Skeleton(f"{keypoints} points", names, (), (), (0.05,) * keypoints)


@cache
def frozen(
    backbone: str, keypoints: int = 17, semantic_points: int = 9
) -> tuple[PoseEstimator, Detect]:
    """A model and what detects with it, for any size of images."""
    settings = {"backbone": backbone, "head": {"semantic_points": semantic_points}}
    model = settled_model(skeleton(keypoints), settings, [scene(4), scene(16)])
    images = tf.TensorSpec([None, None, None, 3], tf.uint8)
    return model, Frozen.of(partial(detect, model), images)


class Scaling:
    """Times groups of points and reports each against its first one.

    Args:
        backbone: of the models.
        runs: counted rounds.
        report: takes rows and targets.
    """

    def __init__(self, backbone: str, runs: int, report: Report) -> None:
        self.backbone = backbone
        self.runs = runs
        self.report = report

    def group(
        self,
        name: str,
        points: Mapping[int, tuple[PoseEstimator, Detect, np.ndarray]],
    ) -> dict[int, Timing]:
        """Times points in turn and adds their rows."""
        print(f"timing {name}", file=sys.stderr, flush=True)
        tensors = {
            key: tf.convert_to_tensor(pixels) for key, (*_, pixels) in points.items()
        }
        calls = {
            str(key): lambda run=run, key=key: run(tensors[key])["poses"].numpy()
            for key, (_, run, _) in points.items()
        }
        found = measure(calls, self.runs, warmup=1, pause=PAUSE)
        timings = {key: found[str(key)] for key in points}
        first = next(iter(points))
        for key, (model, run, pixels) in points.items():
            self.report.add(
                **{
                    "group": name,
                    "point": key,
                    "median ms": 1000 * timings[key].median,
                    "low": 1000 * timings[key].low,
                    "high": 1000 * timings[key].high,
                    "x first": timings[key].ratio_to(timings[first]),
                    "multiply-adds x first": _macs(model, pixels)
                    / _macs(points[first][0], points[first][2]),
                    "people found": int(run(tensors[key])["count"].numpy().sum()),
                }
            )
        return timings

    def people(self) -> None:
        """Images of nobody to a crowd."""
        model, run = frozen(self.backbone)
        found = self.group("people", {n: (model, run, scene(n)[None]) for n in PEOPLE})
        ratios = [timing.ratio_to(found[PEOPLE[0]]) for timing in found.values()]
        self.report.aim(
            "0 to 60 people: slowest / fastest", max(ratios) / min(ratios), 1.1
        )

    def pixels(self) -> None:
        """Square images of all sizes."""
        model, run = frozen(self.backbone)
        points = {side: (model, run, scene(16, side)[None]) for side in SIDES}
        found = self.group("side in px", points)
        ratio = found[SIDES[-1]].ratio_to(found[SIDES[0]])
        area = (SIDES[-1] / SIDES[0]) ** 2
        self.report.aim("time per pixel: 1024 / 256", ratio / area, 1.1)

    def batch(self) -> None:
        """Several images at once."""
        model, run = frozen(self.backbone)
        images = np.stack([scene(16)] * BATCHES[-1])
        found = self.group("batch", {n: (model, run, images[:n]) for n in BATCHES})
        ratio = found[BATCHES[-1]].ratio_to(found[1])
        self.report.aim("time per image: batch 8 / 1", ratio / BATCHES[-1], 1.1)

    def semantic_points(self) -> None:
        """N of the keypoint query encoding."""
        points = {
            n: (*frozen(self.backbone, semantic_points=n), scene(16)[None])
            for n in SEMANTIC_POINTS
        }
        found = self.group("N", points)
        self.report.aim("N: 15 / 0", found[15].ratio_to(found[0]), 1.1)

    def keypoints(self) -> None:
        """K of the skeleton."""
        points = {
            k: (*frozen(self.backbone, keypoints=k), scene(16)[None]) for k in KEYPOINTS
        }
        found = self.group("K", points)
        self.report.aim("K: 133 / 5", found[133].ratio_to(found[5]), 1.25)


def _macs(model: PoseEstimator, pixels: np.ndarray) -> int:
    return pixels.shape[0] * complexity.macs(model, *pixels.shape[1:3])


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="w32")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path, help="writes the figures there")
    options = parser.parse_args()
    report = Report(facts={"backbone": options.backbone, "runs": options.runs})
    scaling = Scaling(options.backbone, options.runs, report)
    scaling.people()
    scaling.pixels()
    scaling.batch()
    scaling.semantic_points()
    scaling.keypoints()
    print(report.markdown())
    if options.json:
        report.write(options.json)


if __name__ == "__main__":
    main()
