"""Times the training input pipeline against a loop of OpenCV calls.

    python benchmarks/input_pipeline.py [--coco DIR] [--rounds N] [--json FILE]

Both make the same batches of the paper's recipe (512 px, its augmentation) from COCO's
training images in turn, each in a process of its own that is pinned to one core and
uses one thread. The processor's time is compared, because other programs on the machine
affect it less than the clock's time.
"""

import argparse
import dataclasses
import math
import os
import sys
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from qepose_tf.benchmark.report import Report, table
from qepose_tf.benchmark.timing import Timing

ROOT = Path(__file__).resolve().parents[1]
OURS, THEIRS, LESS = "tf.data", "OpenCV", "OpenCV, grey blend"
TARGET = 1.5
GPU_RATES = (25, 50, 100)  # images a second and GPU: assumed, not measured
BATCH = 16
REPEATS = 6


def recipe(coco: Path) -> dict:
    """Returns the data set and the settings of both pipelines."""
    from qepose_tf.config.reading import load_config
    from qepose_tf.data.batches.crop import AugmentSettings
    from qepose_tf.data.coco.dataset import read_coco
    from qepose_tf.models.pose_estimator import MEAN
    from qepose_tf.skeleton import Skeleton

    config = load_config(ROOT / "configs/coco_w32_512.yaml")
    data = read_coco(
        coco / "annotations/person_keypoints_train2017.json",
        coco / "images/train2017",
        Skeleton.load(config.skeleton, config.data.categories),
        only_labelled=True,
    )
    # The epoch is long, as in training, because its start builds the pipeline.
    data = dataclasses.replace(data, records=data.records * REPEATS)
    return {
        "coco": data,
        "input_size": config.model.input_size,
        "augment": AugmentSettings(**config.augment.model_dump()),
        "fill": np.asarray(MEAN, np.float32),
        "max_people": config.data.max_people,
        "min_area": config.data.min_area,
        "disc_radius": config.loss.disc_radius,
    }


def our_epoch(coco: Path) -> Callable[[], int]:
    """Returns an epoch of `train_dataset` as a call."""
    import tensorflow as tf

    from qepose_tf.data.batches.training import train_dataset

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    dataset = train_dataset(
        **recipe(coco), batch_size=BATCH, seed=0, drop_remainder=False
    )
    return lambda: sum(len(images) for images, _ in dataset)


def opencv_epoch(coco: Path, blend: bool = False) -> Callable[[], int]:
    """Returns an epoch of the loop; with `blend` the saturation is a mean with grey."""
    import cv2

    from qepose_tf.data.coco.dataset import ImageRecord
    from qepose_tf.data.coco.ignore_regions import rasterise

    cv2.setNumThreads(1)
    given = recipe(coco)
    records, side = given["coco"].records, given["input_size"]
    settings = given["augment"]
    fill = tuple(float(value) for value in given["fill"])
    rng = np.random.default_rng(0)

    def saturated(image: np.ndarray, factor: float) -> np.ndarray:
        if blend:
            grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
            grey = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)
            return cv2.addWeighted(image, factor, grey, 1 - factor, 0)
        hue, saturation, value = cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2HSV))
        saturation = cv2.convertScaleAbs(saturation, alpha=factor)
        return cv2.cvtColor(cv2.merge([hue, saturation, value]), cv2.COLOR_HSV2RGB)

    def example(
        record: ImageRecord, image_out: np.ndarray, ignore_out: np.ndarray
    ) -> np.ndarray:
        content = np.frombuffer(record.file.read_bytes(), np.uint8)
        image = cv2.imdecode(content, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        assert image is not None, f"{record.file}: not an image"
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        height, width = image.shape[:2]
        matrix = drawn_matrix(rng, height, width, side, settings)
        image = cv2.warpAffine(
            image, matrix, (side, side), flags=cv2.INTER_LINEAR, borderValue=fill
        )
        mask_hw = math.ceil(height / 4), math.ceil(width / 4)
        mask = rasterise(list(record.ignore), (height, width), mask_hw)
        small = matrix * [[1, 1, 0.25], [1, 1, 0.25]]
        ignore_out[...] = cv2.warpAffine(
            mask, small, (side // 4, side // 4), flags=cv2.INTER_LINEAR, borderValue=1
        )
        brightness, contrast, saturation = rng.uniform(-0.4, 0.4, 3)
        image = cv2.addWeighted(image, 1, image, 0, 255 * brightness)
        grey = sum(cv2.mean(image)[:3]) / 3
        image = cv2.addWeighted(image, 1 + contrast, image, 0, -contrast * grey)
        image_out[...] = saturated(image, 1 + saturation)
        points = record.keypoints.copy()
        points[..., :2] = points[..., :2] @ matrix[:, :2].T + matrix[:, 2]
        return points

    def epoch() -> int:
        order = rng.permutation(len(records))
        for first in range(0, len(order), BATCH):
            rows = order[first : first + BATCH]
            images = np.empty((len(rows), side, side, 3), np.float32)
            ignore = np.empty((len(rows), side // 4, side // 4), np.float32)
            people = np.zeros((len(rows), given["max_people"], 17, 3), np.float32)
            for number, row in enumerate(rows):
                points = example(records[row], images[number], ignore[number])
                points = points[: given["max_people"]]
                people[number, : len(points)] = points
        return len(order)

    return epoch


def drawn_matrix(
    rng: np.random.Generator, height: int, width: int, side: int, settings: Any
) -> np.ndarray:
    """Returns the matrix `[2, 3]` of a random crop of the recipe."""
    angle = math.radians(rng.uniform(-settings.rotation, settings.rotation))
    zoom = side / (rng.uniform(*settings.scale) * min(height, width))
    cos, sin = zoom * math.cos(angle), zoom * math.sin(angle)
    linear = np.array([[cos, -sin], [sin, cos]])
    if rng.random() < settings.flip:
        linear[0] *= -1
    shift = rng.uniform(-settings.shift, settings.shift, 2) + side / 2 - 0.5
    origin = shift - linear @ [width / 2 - 0.5, height / 2 - 0.5]
    return np.concatenate([linear, origin[:, None]], 1)


MAKERS = {
    OURS: our_epoch,
    THEIRS: opencv_epoch,
    LESS: lambda coco: opencv_epoch(coco, blend=True),
}


def worker(name: str, coco: Path, core: int, line: Connection) -> None:
    """Runs epochs on request, and sends the time of an image in s."""
    os.sched_setaffinity(0, {core})
    epoch = MAKERS[name](coco)
    epoch()  # allocates the buffers
    line.send(None)
    while line.recv():
        started, clock = time.process_time(), time.perf_counter()
        count = epoch()
        spent = time.process_time() - started, time.perf_counter() - clock
        line.send([seconds / count for seconds in spent])


def measured(coco: Path, rounds: int) -> dict[str, tuple[Timing, Timing]]:
    """Returns the processor's and the clock's time of an image in s, by name."""
    context, lines = get_context("spawn"), {}
    core = min(os.sched_getaffinity(0))
    for name in MAKERS:
        lines[name], theirs = context.Pipe()
        arguments = (name, coco, core, theirs)
        context.Process(target=worker, args=arguments, daemon=True).start()
        theirs.close()
        lines[name].recv()
    found: dict[str, list[list[float]]] = {name: [] for name in MAKERS}
    for _ in range(rounds):
        for name, line in lines.items():
            line.send(True)
            found[name].append(line.recv())
    for line in lines.values():
        line.send(False)
    timings = {}
    for name, seconds in found.items():
        processor, clock = zip(*seconds, strict=True)
        timings[name] = Timing(processor), Timing(clock)
    return timings


def feeding(rate: float) -> list[dict]:
    """Returns the cores that GPUs need if they are as fast as `GPU_RATES` assume."""
    return [
        {
            "assumed images/s of a GPU": speed,
            **{
                f"cores for {count} GPU{'s' if count > 1 else ''}": math.ceil(
                    speed * count / rate
                )
                for count in (1, 4, 8)
            },
        }
        for speed in GPU_RATES
    ]


def main() -> int:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--coco", type=Path, default=ROOT.parent / "shared/coco")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        import cv2
    except ImportError:
        print("OpenCV is missing: pip install 'qepose-tf[bench]'", file=sys.stderr)
        return 1
    if not (options.coco / "images/train2017").is_dir():
        expected = "expected images/train2017 and annotations (--coco DIR)"
        print(f"{options.coco}: {expected}", file=sys.stderr)
        return 1
    found = measured(options.coco, options.rounds)
    ours, report = found[OURS][0], Report()
    for name, (processor, clock) in found.items():
        spread = f"{1e3 * processor.low:.1f} to {1e3 * processor.high:.1f}"
        report.add(
            pipeline=name,
            **{
                "images/s and core": 1 / processor.median,
                "ms of a core for an image": 1e3 * processor.median,
                "10% to 90%": spread,
                "ms by the clock": 1e3 * clock.median,
                "ours is faster by": processor.ratio_to(ours),
            },
        )
    ratio = found[THEIRS][0].ratio_to(ours)
    report.aim("input pipeline, speed per core / OpenCV's", ratio, TARGET, "higher")
    report.facts = {
        "opencv": cv2.__version__,
        "rounds": options.rounds,
        "batch": BATCH,
        "feeding": feeding(1 / ours.median),
    }
    print(report.markdown())
    print("\nCores that feed GPUs (the GPUs' rates are assumed, not measured):\n")
    print(table(report.facts["feeding"]))
    if options.json:
        report.write(options.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
