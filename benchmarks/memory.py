"""Measures whether the memory of a long run grows.

    python benchmarks/memory.py [--images 5000] [--people 2 60] [--json FILE]

The script trains the tiny model for three epochs of drawn scenes with the given number
of people, and reads the resident memory of the process at every 50th step. The slope is
that of the least-squares line through all epochs except the first, in which caches and
allocators still grow.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from qepose_tf.benchmark.report import Report
from qepose_tf.config.schema import Config
from qepose_tf.data.synthetic.dataset import write_scenes
from qepose_tf.training.run import train

BATCH, SIDE, EVERY, EPOCHS = 8, 64, 50, 3
MIB = 2**20
MOST_DRAWN = 4  # people in a scene; more are the same ones again
LIMIT = 2.0  # MiB for 1,000 images: 0.2 GiB for an epoch of COCO


class Memory(keras.callbacks.Callback):
    """The resident memory of this process, in MiB, by steps done."""

    def __init__(self) -> None:
        super().__init__()
        self.points: list[tuple[int, float]] = []
        self._steps = 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Reads the memory at every 50th step."""
        if self._steps % EVERY == 0:
            self.points.append((self._steps, resident()))
        self._steps += 1


def resident() -> float:
    """Returns the resident memory of this process in MiB."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * 4096 / MIB


def slope(points: list[tuple[int, float]], batch_size: int) -> float:
    """Returns the growth in MiB for 1,000 images after the first epoch."""
    steps, sizes = np.array(points[len(points) // EPOCHS :]).T
    return 1000 * float(np.polyfit(steps * batch_size, sizes, 1)[0])


def config_of(folder: Path, images: int, people: int) -> Config:
    """Returns the config of a run of a few epochs."""
    drawn = min(people, MOST_DRAWN)
    height = 0.35 if people < MOST_DRAWN else 0.2
    annotations, pictures = write_scenes(
        folder / "scenes",
        images,
        80,
        min_people=drawn,
        max_people=drawn,
        min_height=height,
    )
    if people > drawn:
        crowd(annotations, people)
    files = {"annotations": annotations, "images": pictures}
    return Config.model_validate(
        {
            "name": "memory",
            "model": {"backbone": "tiny", "input_size": SIDE},
            "data": {"min_area": 0.0, "max_people": people, "train": files},
            "train": {
                "epochs": EPOCHS,
                "batch_size": BATCH,
                "validate_every": EPOCHS,
                "run_dir": folder / "run",
                "strategy": "one_device",
                "num_gpus": 0,
            },
        }
    )


def crowd(annotations: Path, people: int) -> None:
    """Repeats the people of each image up to a number."""
    content = json.loads(annotations.read_text("utf-8"))
    drawn = content["annotations"]
    content["annotations"] = [
        {**entry, "id": copy * len(drawn) + entry["id"]}
        for copy in range(people // MOST_DRAWN)
        for entry in drawn
    ]
    annotations.write_text(json.dumps(content), "utf-8")


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--people", type=int, nargs="+", default=[2, 60])
    parser.add_argument("--json", type=Path, help="writes the figures there")
    options = parser.parse_args()
    for people in options.people:
        if people < 1 or (people > MOST_DRAWN and people % MOST_DRAWN):
            parser.error(
                f"--people: expected 1 to {MOST_DRAWN} or a multiple of {MOST_DRAWN}, "
                f"got {people}"
            )
    if not Path("/proc/self/statm").exists():
        sys.exit("memory.py: expected /proc, which only Linux has")
    report = Report(facts={"batch size": BATCH, "side, px": SIDE})
    for people in options.people:
        memory = Memory()
        with tempfile.TemporaryDirectory() as folder:
            config = config_of(Path(folder), options.images, people)
            train(config, progress=False, callbacks=[memory])
        sizes = [size for _, size in memory.points]
        grown = slope(memory.points, BATCH)
        report.add(
            **{
                "people in an image": people,
                "images": options.images,
                "MiB at first": sizes[0],
                "after an epoch": sizes[len(sizes) // EPOCHS],
                "at the end": sizes[-1],
                "MiB for 1,000 images": grown,
            }
        )
        report.aim(f"{people} people: MiB for 1,000 images", grown, LIMIT)
    print(report.markdown())
    if options.json:
        report.write(options.json)


if __name__ == "__main__":
    main()
