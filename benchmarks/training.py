"""Times training steps that regress poses in Omega against steps at every cell.

    python benchmarks/training.py [--backbone tiny w32] [--json FILE]

Both steps train the same model on the same batch, and their losses are compared. The
dense step regresses a pose at every cell and takes those of Omega from this map. Each
step runs in a process of its own. They are timed in turn, and memory is the rise of the
process's peak. A third row without the second hop shows how much memory this hop adds.
Further rows time the sparse step with other numbers of people. The script needs
TensorFlow and Linux.
"""

import argparse
import contextlib
import gc
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from qepose_tf.benchmark.report import Report
from qepose_tf.benchmark.timing import Timing
from qepose_tf.benchmark.worker import Loaded, Worker, time_in_turn

CONFIGS = Path(__file__).parents[1] / "configs"
NO_HOP = "first hop only"
VARIANTS = ("sparse", "dense", NO_HOP)
CROWDS = ("1", "5", "30")  # people in every image
USUAL = "5"
LOSS_TOLERANCE = 1e-4
PAUSE = 0.2  # seconds, for the threads of the other process to fall asleep


@dataclass(frozen=True)
class Case:
    """A batch to train on, and whose model.

    Attributes:
        config: the file with the model's settings.
        size: side of the images, pixels.
        batch: number of images.
    """

    config: str
    size: int
    batch: int


CASES = {
    "tiny": Case("quickstart.yaml", 128, 16),
    "w32": Case("coco_w32_512.yaml", 256, 4),
    "w48": Case("coco_w48_640.yaml", 256, 4),
}


def start(variant: str, case: Case) -> Loaded:
    """A process's steps by number of people, and what they lose and take.

    The answer has to be asked for before any step is timed.
    """
    import keras

    from qepose_tf.building import model_settings
    from qepose_tf.config.reading import load_config
    from qepose_tf.skeleton import Skeleton

    config = load_config(CONFIGS / case.config)
    skeleton = Skeleton.load(config.skeleton, config.data.categories)
    settings = model_settings(config) | {"input_size": case.size}
    keras.utils.set_random_seed(0)
    model = model_class(variant)(skeleton, **settings)
    # At a rate of 0 all steps of a process start from the same weights.
    model.compile(keras.optimizers.Adam(0.0), jit_compile=False)

    def step(case: Case, people: str) -> Callable[[], float]:
        batch = images_of(case), people_in(case, int(people), skeleton.num_keypoints)

        def run() -> float:
            model.reset_metrics()
            return float(model.train_on_batch(*batch, return_dict=True)["loss"])

        return run

    # Two small batches: afterwards there is a graph for images of any size and number,
    # and what follows takes no memory but a step's.
    for small in (1, 2):
        step(Case(case.config, 32 * small, small), str(small))()
    gc.collect()
    steps = {people: step(case, people) for people in CROWDS}
    return Loaded(steps, lambda crowds: first_steps({p: steps[p] for p in crowds}))


def images_of(case: Case) -> np.ndarray:
    """Noise, RGB in 0..255."""
    shape = (case.batch, case.size, case.size, 3)
    return np.random.default_rng(0).uniform(0, 255, shape).astype("float32")


def model_class(variant: str) -> type:
    """The model itself, or one with another way to the poses in Omega."""
    from keras import ops

    from qepose_tf.models import PoseEstimator
    from qepose_tf.ops.facts import Facts, Omega
    from qepose_tf.ops.sampling import take_cells
    from qepose_tf.ops.targets import scatter_to_map

    class Dense(PoseEstimator):
        def poses_in_omega(
            self, facts: Facts, outputs: dict[str, Any], training: bool = False
        ) -> tuple[Omega, Any]:
            features, offsets = outputs["keypoint_features"], outputs["query_offsets"]
            batch, height, width, keypoints, _ = ops.shape(offsets)
            hw = (height, width)
            omega = self.cir_target.locate(facts.keypoints, facts.area, hw)
            # A cell has one owner: the statistics are those of the same cells.
            shape = (batch, *hw)
            counted = scatter_to_map(omega.owned, omega.images, omega.cells, shape)
            counted = ops.reshape(counted, [batch, height * width])
            poses = self.encoding(features, offsets, training=training, counted=counted)
            poses = ops.reshape(poses, [batch, height, width, keypoints, 2])
            return omega, take_cells(poses, omega.cells, omega.images)

    class FirstHop(PoseEstimator):
        def poses_in_omega(
            self, facts: Facts, outputs: dict[str, Any], training: bool = False
        ) -> tuple[Omega, Any]:
            hw = ops.shape(outputs["score_map"])[1:3]
            omega = self.cir_target.locate(facts.keypoints, facts.area, hw)
            hops = outputs["query_offsets"]
            hops = take_cells(hops, omega.cells, omega.images)
            cells = ops.expand_dims(ops.cast(omega.cells, "float32"), 2)
            return omega, cells + hops

    return dict(zip(VARIANTS, (PoseEstimator, Dense, FirstHop), strict=True))[variant]


def people_in(case: Case, people: int, keypoints: int) -> dict[str, np.ndarray]:
    """Facts of as many people in every image, a fifth of the image's side across."""
    rng = np.random.default_rng(people)
    reach = case.size / 10
    centres = rng.uniform(reach, case.size - reach, (case.batch, people, 1, 2))
    spread = rng.uniform(-reach, reach, (case.batch, people, keypoints, 2))
    points = centres + spread
    points = np.concatenate([points, np.ones_like(points[..., :1])], axis=-1)
    return {
        "keypoints": points.astype("float32"),
        "area": rng.uniform(1, 2, (case.batch, people)).astype("float32") * reach**2,
        "ignore": np.zeros((case.batch, case.size // 4, case.size // 4, 1), "float32"),
    }


def first_steps(steps: dict[str, Callable[[], float]]) -> dict[str, dict[str, float]]:
    """The loss of each step, and the bytes that the process has grown by since.

    TensorFlow keeps what it once had, so the steps come from small to large.
    """
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    held = memory("VmRSS")
    return {
        name: {"loss": step(), "bytes": memory("VmHWM") - held}
        for name, step in steps.items()
    }


def memory(name: str) -> int:
    """Bytes of this process by the kernel's name for them."""
    status = Path("/proc/self/status").read_text()
    (kibibytes,) = re.findall(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE)
    return 1024 * int(kibibytes)


def compare(report: Report, backbone: str, case: Case, runs: int) -> None:
    """Rows of the three steps, then of the sparse one by people."""
    name = f"{backbone} {case.size} px"
    workers, found = {}, {}
    # One after the other: two that trace at once would only take turns.
    with Worker(f"{name}, {NO_HOP}", start, NO_HOP, case) as worker:
        found[NO_HOP] = worker.answer((USUAL,))
    with contextlib.ExitStack() as stack:
        for variant, crowds in (("sparse", CROWDS), ("dense", (USUAL,))):
            worker = Worker(f"{name}, {variant}", start, variant, case)
            workers[variant] = stack.enter_context(worker)
            found[variant] = worker.answer(crowds)
        check_losses(found["sparse"][USUAL]["loss"], found["dense"][USUAL]["loss"])
        requests = {v: partial(w.seconds, USUAL) for v, w in workers.items()}
        timings = time_in_turn(requests, runs, 2, PAUSE)
        requests = {p: partial(workers["sparse"].seconds, p) for p in CROWDS}
        by_people = time_in_turn(requests, runs, 2, PAUSE)
    row = partial(add_row, report, model=name, batch=case.batch)
    dense = timings["dense"], found["dense"][USUAL]
    for variant in VARIANTS:
        row(variant, USUAL, timings.get(variant), found[variant][USUAL], dense)
    for people in CROWDS:
        row("sparse", people, by_people[people], found["sparse"][people])
    memory = {variant: found[variant][USUAL]["bytes"] for variant in VARIANTS}
    add_targets(report, name, timings, memory)
    longest = by_people[CROWDS[-1]].ratio_to(by_people[CROWDS[0]])
    report.facts[name] = {
        "MiB of the second hop, sparse": (memory["sparse"] - memory[NO_HOP]) / 2**20,
        "MiB of the second hop, dense": (memory["dense"] - memory[NO_HOP]) / 2**20,
        f"time with {CROWDS[-1]} people / with {CROWDS[0]}": longest,
    }


def check_losses(sparse: float, dense: float) -> None:
    """Refuses to compare steps that do not compute the same."""
    if not abs(sparse - dense) <= LOSS_TOLERANCE * abs(dense):
        raise ValueError(
            f"expected the same loss within {LOSS_TOLERANCE:g}, got {sparse} (sparse) "
            f"and {dense} (dense)"
        )


def add_row(
    report: Report,
    step: str,
    people: str,
    timing: Timing | None,
    found: dict[str, float],
    dense: tuple[Timing, dict[str, float]] | None = None,
    **of_model: Any,
) -> None:
    """A row, with ratios to the dense step where that was measured beside it."""
    report.add(**of_model, people=int(people), step=step)
    row = report.rows[-1]
    if timing:
        row["ms"] = 1e3 * timing.median
        row["spread_ms"] = f"{1e3 * timing.low:.0f}-{1e3 * timing.high:.0f}"
    if timing and dense:
        row["time_to_dense"] = timing.ratio_to(dense[0])
    row["peak_mib"] = found["bytes"] / 2**20
    if dense:
        row["memory_to_dense"] = found["bytes"] / dense[1]["bytes"]
    row["loss"] = found["loss"]


def add_targets(
    report: Report, name: str, timings: dict[str, Timing], memory: dict[str, float]
) -> None:
    """Sparse costs no more than dense."""
    time = timings["sparse"].ratio_to(timings["dense"])
    report.aim(f"{name}: time of a sparse step / a dense one", time, 1.0)
    share = memory["sparse"] / memory["dense"]
    report.aim(f"{name}: memory of a sparse step / a dense one", share, 1.0)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--backbone", nargs="+", choices=sorted(CASES), default=["tiny", "w32"])
    add("--size", type=int, help="side of the images, pixels")
    add("--batch", type=int, help="number of images")
    add("--runs", type=int, default=10, help="of each, after two that do not count")
    add("--json", type=Path)
    options = parser.parse_args()
    if options.size is not None and (options.size < 32 or options.size % 32):
        parser.error(f"--size: expected a multiple of 32, got {options.size}")
    if options.runs < 1 or (options.batch is not None and options.batch < 1):
        parser.error("--runs and --batch: expected 1 or more")
    report = Report()
    for backbone in options.backbone:
        usual = CASES[backbone]
        size, batch = options.size or usual.size, options.batch or usual.batch
        compare(report, backbone, Case(usual.config, size, batch), options.runs)
    print(report.markdown())
    for name, facts in report.facts.items():
        print(f"{name}:", ", ".join(f"{k} {v:.3g}" for k, v in facts.items()))
    if options.json:
        report.write(options.json)


if __name__ == "__main__":
    main()
