"""Measures how close inference and training come to the limit of a device.

    KERAS_BACKEND=jax|torch|tensorflow python benchmarks/gpu.py [--json FILE]

The script runs on the first GPU that the backend finds, or on the CPU. Inference takes
uint8 images and returns poses; a training step is Keras' own `train_on_batch`. The
weights are random, for the times do not depend on them. If PyTorch and timm are
installed, the body of timm in PyTorch, channels last, is timed in turn. TensorFlow is
needed only as a backend.
"""

import argparse
import gc
import importlib.util
import os
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

# JAX would reserve three quarters of the memory, and the peer would have too little.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import keras
import numpy as np
from keras import ops

import devices
from devices import Device
from qepose_tf.benchmark.report import Report
from qepose_tf.benchmark.timing import Timing, measure
from qepose_tf.models.complexity import macs
from qepose_tf.models.hrnet import VARIANTS
from qepose_tf.models.pose_estimator import PoseEstimator
from qepose_tf.skeleton import COCO

POLICIES = {"bfloat16": "mixed_bfloat16", "float32": "float32"}
STEPS = ("inference", "training")
# Forward, and two products as large for the gradients of inputs and weights.
FORWARD_PASSES = {"inference": 1, "training": 3}
PEOPLE = 5
OUT_OF_MEMORY = ("out of memory", "RESOURCE_EXHAUSTED", "OOM when allocating")


@dataclass(frozen=True)
class Work:
    """A call that is timed.

    Attributes:
        run: A function that runs it once and returns when the device has finished.
        flops: The floating-point operations of its convolutions and products.
        bytes: The peak of the device's memory, or None if it is not known.
    """

    run: Callable[[], object]
    flops: float
    bytes: int | None


def our_work(
    step: str, options: Namespace, batch: int, dtype: str, device: Device
) -> Work:
    """Returns inference or a training step of the pose estimator, after a first run."""
    count = device.memory_counter()
    keras.utils.set_random_seed(0)
    model = PoseEstimator(
        COCO, options.backbone, input_size=options.size, dtype=POLICIES[dtype]
    )
    make = {"inference": _inference, "training": _training}[step]
    run = make(model, options, batch, device)
    run()
    flops = 2.0 * macs(model, options.size, options.size) * batch
    return Work(run, FORWARD_PASSES[step] * flops, count())


def _inference(
    model: PoseEstimator, options: Namespace, batch: int, device: Device
) -> Callable[[], object]:
    shape = (batch, options.size, options.size, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    detect = device.compiled_model(model, options.compile)
    return partial(device.done, detect, ops.convert_to_tensor(pixels))


def _training(
    model: PoseEstimator, options: Namespace, batch: int, device: Device
) -> Callable[[], object]:
    side = options.size
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (batch, side, side, 3)).astype("float32")
    points = rng.uniform(0, side, (batch, PEOPLE, COCO.num_keypoints, 2))
    seen = np.ones_like(points[..., :1])
    facts = {
        "keypoints": np.concatenate([points, seen], -1).astype("float32"),
        "area": np.full((batch, PEOPLE), side * side / 16, "float32"),
        "ignore": np.zeros((batch, side // 4, side // 4, 1), "float32"),
    }
    # Keras' own choice: XLA on JAX, a graph on TensorFlow, eager on PyTorch.
    jit = True if options.compile else "auto"
    model.compile(optimizer=keras.optimizers.Adam(5e-4), jit_compile=jit)
    x = ops.convert_to_tensor(images)
    y = {name: ops.convert_to_tensor(array) for name, array in facts.items()}
    return partial(device.done, model.train_on_batch, x, y)


def timm_work(step: str, options: Namespace, batch: int, dtype: str) -> Work:
    """Returns the same step of timm's body, after a first run."""
    from timm_body import TimmBody

    body = TimmBody(options.peer, options.size, batch, dtype)
    run = {"inference": body.infer, "training": body.train}[step]
    run()
    return Work(run, FORWARD_PASSES[step] * body.forward_flops, body.peak_bytes())


def product_limit(
    dtype: str, sizes: tuple[int, ...], device: Device, runs: int
) -> float:
    """Returns the speed of the fastest product of square matrices in FLOP/s."""
    calls = {}
    for side in sizes:
        factors = [keras.random.normal((side, side), dtype=dtype) for _ in range(2)]
        calls[str(side)] = partial(device.done, device.compiled(ops.matmul), *factors)
    timings = measure(calls, runs)
    return max(2.0 * int(side) ** 3 / t.median for side, t in timings.items())


def add_row(
    report: Report, name: str, place: str, work: Work, timing: Timing, **more: Any
) -> None:
    """Adds a row with the measurements and their share of the limit."""
    flops = work.flops / timing.median
    limit = more.pop("limit")
    report.add(
        what=name,
        device=place,
        dtype=more["dtype"],
        batch=more["batch"],
        ms=1e3 * timing.median,
        spread_ms=f"{1e3 * timing.low:.3g}-{1e3 * timing.high:.3g}",
        images_per_s=more["batch"] / timing.median,
        tflops=flops / 1e12,
        share_of_limit=flops / limit,
        peak_gib=None if work.bytes is None else work.bytes / 2**30,
        time_to_timm=more.get("ratio"),
    )


def add_rows(
    report: Report,
    step: str,
    options: Namespace,
    batch: int,
    dtype: str,
    limit: float,
    device: Device,
) -> None:
    """Adds our row and timm's, or a row without values if memory is too small."""
    name = f"{options.backbone}, {step}"
    backend = f"{keras.backend.backend()} on {device.name}"
    try:
        ours = our_work(step, options, batch, dtype, device)
        calls = {"ours": ours.run}
        timm = options.peer and timm_work(step, options, batch, dtype)
        if timm:
            calls["timm"] = timm.run
        # On a CPU one framework's threads wait for work on the other's cores.
        pause = 0.0 if device.is_gpu else 0.2
        timings = measure(calls, options.runs, pause=pause)
    except Exception as error:
        # Each framework has its own class; the words are the same.
        if not any(words in str(error) for words in OUT_OF_MEMORY):
            raise
        report.add(what=f"{name}: out of memory", device=backend, dtype=dtype)
        report.rows[-1]["batch"] = batch
        return
    row = {"dtype": dtype, "batch": batch, "limit": limit}
    ratio = timings["ours"].ratio_to(timings["timm"]) if timm else None
    add_row(report, name, backend, ours, timings["ours"], ratio=ratio, **row)
    if timm:
        from timm_body import device_name

        body = f"timm {options.peer} body, {step}"
        place = f"torch on {device_name()}"
        add_row(report, body, place, timm, timings["timm"], **row)


def arguments() -> Namespace:
    """Reads and checks the options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--backbone", default="w32", choices=sorted(VARIANTS))
    add("--size", type=int, default=512, help="side of the images, pixels")
    add("--batch", type=int, nargs="+", default=[1, 8, 32])
    add("--dtype", nargs="+", choices=sorted(POLICIES), default=sorted(POLICIES))
    add("--step", nargs="+", choices=STEPS, default=list(STEPS))
    add("--runs", type=int, default=10, help="of each, after two that do not count")
    add("--compile", action="store_true", help="PyTorch backend: torch.compile")
    add("--peer", help="timm's name of a HRNet; the backbone's own by default")
    text = "the device's limit, one for each --dtype; measured by default"
    add("--peak-tflops", type=float, nargs="+", help=text)
    add("--json", type=Path)
    options = parser.parse_args()
    if options.size < 32 or options.size % 32:
        parser.error(f"--size: expected a multiple of 32, got {options.size}")
    if min(*options.batch, options.runs) < 1:
        parser.error(f"--batch and --runs: expected 1 or more, got {options.batch}")
    if options.compile and keras.backend.backend() != "torch":
        parser.error("--compile: expected KERAS_BACKEND=torch; the others compile")
    given = options.peak_tflops
    if given and (len(given) != len(options.dtype) or min(given) <= 0):
        parser.error(f"--peak-tflops: expected one for each --dtype, got {given}")
    missing = [m for m in ("torch", "timm") if importlib.util.find_spec(m) is None]
    if options.peer and not options.peer.startswith("hrnet_"):
        parser.error(f"--peer: expected hrnet_..., got {options.peer!r}")
    if options.peer and missing:
        parser.error(f"--peer: expected {' and '.join(missing)} to be installed")
    if options.peer is None and options.backbone != "tiny" and not missing:
        options.peer = f"hrnet_{options.backbone}"
    return options


def limits(options: Namespace, device: Device) -> dict[str, float]:
    """Returns the limits in FLOP/s by type, as given or measured."""
    if options.peak_tflops:
        return {
            dtype: 1e12 * tflops
            for dtype, tflops in zip(options.dtype, options.peak_tflops, strict=True)
        }
    return {
        dtype: product_limit(dtype, device.product_sides, device, options.runs)
        for dtype in options.dtype
    }


def main() -> None:
    """Prints the table."""
    options = arguments()
    device = devices.of_backend(keras.backend.backend())
    found = limits(options, device)
    backend = keras.backend.backend()
    report = Report()
    report.facts = {
        "device": device.name,
        "backend": f"{backend} {version(backend)}",
        "keras": keras.__version__,
        "size": options.size,
        "people": PEOPLE,
        "limit_tflops": {dtype: flops / 1e12 for dtype, flops in found.items()},
        "limit": "given" if options.peak_tflops else "largest matrix product measured",
    }
    # Small batches come first, for JAX's peak of memory never falls.
    for step in [step for step in STEPS if step in options.step]:
        for batch in sorted(options.batch):
            for dtype in sorted(options.dtype):
                limit = found[dtype]
                add_rows(report, step, options, batch, dtype, limit, device)
                gc.collect()
    for name, fact in report.facts.items():
        print(f"{name}: {fact}")
    print(f"\n{report.markdown()}")
    if options.json:
        report.write(options.json)


if __name__ == "__main__":
    main()
