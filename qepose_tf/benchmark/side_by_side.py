"""Times the stages of a model, its exported files and its peers in one run."""

import contextlib
import itertools
import logging
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from qepose_tf.benchmark import exported, peers, products, stages
from qepose_tf.benchmark.report import Report
from qepose_tf.benchmark.rows import Measured, add_rows
from qepose_tf.benchmark.runtimes import (
    ALL,
    TENSORFLOW,
    File,
    References,
    check_names,
    chosen_files,
    installed_versions,
)
from qepose_tf.benchmark.timing import Timing
from qepose_tf.benchmark.worker import Worker, check_cpus, time_in_turn, usable_cpus
from qepose_tf.exporting.checks.comparison import Comparison
from qepose_tf.exporting.exporter import Exporter
from qepose_tf.images.decoding import read_image
from qepose_tf.models import PoseEstimator, complexity
from qepose_tf.ops.geometry import STRIDE

PAUSE = 0.3  # seconds; idle threads wait for work by spinning for up to 0.2 s
PRODUCT_RUNS = 3  # rounds of matrix products, of which the fastest counts
COMPARED_IMAGES = 4

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """What is timed, and how.

    Attributes:
        runtimes: Keys of `exporting.FORMATS`, `tensorflow` or `all`.
        precisions: The precisions of the exported files, see `chosen_files`.
        peers: Names in `peers.PEERS`.
        batch: The number of images in a batch.
        runs: The number of rounds that count.
        warmup: The number of rounds before these, which do not count.
        cpus: The number of CPUs that each process may use; by default all.
        files: The folder that `qepose export --format all` wrote. By default the model
            is exported into a temporary folder.

    Raises:
        ValueError: A number is too small, or a name does not exist.
    """

    runtimes: Sequence[str] = (TENSORFLOW,)
    precisions: Sequence[str] = ()
    peers: Sequence[str] = ()
    batch: int = 1
    runs: int = 10
    warmup: int = 2
    cpus: int | None = None
    files: Path | None = None

    def __post_init__(self) -> None:
        for name, least in (("batch", 1), ("runs", 1), ("warmup", 0)):
            if getattr(self, name) < least:
                raise ValueError(
                    f"{name}: expected at least {least}, got {getattr(self, name)}"
                )
        check_names(self.runtimes, self.precisions)
        check_cpus(self.cpus)


@dataclass
class _Contest(contextlib.AbstractContextManager):
    """The processes, and the process of each call."""

    cpus: int | None
    workers: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    requests: dict[str, Callable[[], float]] = field(default_factory=dict)

    def enter(self, name: str, start: Callable, *arguments: Any) -> Worker:
        """Starts a process and adds its calls to those that are timed."""
        worker = Worker(name, start, *arguments, cpus=self.cpus)
        self.workers.enter_context(worker)
        for call in worker.calls:
            key = name if call == "detect" else call
            self.requests[key] = lambda call=call: worker.seconds(call)
        return worker

    def __exit__(self, *_: object) -> None:
        self.workers.close()


def side_by_side(
    model: PoseEstimator,
    contents: Mapping[str, bytes],
    settings: Settings,
    calibration: Sequence[np.ndarray] = (),
) -> Report:
    """Times the stages of a model, its exported files and its peers alternately.

    Each runtime has a process of its own, and every round has one call of each.

    Args:
        model: The model, which is timed at its input size.
        contents: The contents of image files by name, repeated to fill a batch.
        settings: What is timed, and how.
        calibration: `[H, W, 3]` uint8 images for `int8`.

    Returns:
        A report with a row for each call.

    Raises:
        ValueError: A peer does not have the backbone, an image cannot be decoded, or a
            runtime fails.
        ImportError: A package of a runtime or peer is not installed.
        FileNotFoundError: An exported file does not exist.
    """
    images = [_image(*item) for item in contents.items()]
    backbone = model.backbone_name
    for peer in settings.peers:
        peers.check_peer(peer, backbone)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        files = chosen_files(
            settings.runtimes,
            settings.precisions,
            settings.files or folder,
            settings.files is not None,
            bool(calibration),
        )
        compared = images[:COMPARED_IMAGES]
        exporter = stack.enter_context(
            Exporter(
                model,
                batch=settings.batch,
                images=compared,
                calibration=calibration,
            )
        )
        for file in files:
            if not file.path.exists():
                logger.info("exporting %s", file.name)
                exporter.write(file.format, file.path, file.precision)
        references = References(exporter, compared)
        contest = stack.enter_context(_Contest(settings.cpus))
        apart = _enter_all(
            contest, model, folder, files, contents, settings, references
        )
        timings = _timed(contest.requests, settings)
    measured = Measured(timings, apart, *_operations(model), settings.batch)
    report = Report(facts=_facts(model, images, settings))
    add_rows(report, measured)
    return report


def _enter_all(
    contest: _Contest,
    model: PoseEstimator,
    folder: Path,
    files: Sequence[File],
    contents: Mapping[str, bytes],
    settings: Settings,
    references: References,
) -> dict[str, Comparison]:
    """Starts all processes and compares the poses of the runtimes with Keras."""
    batch, side = settings.batch, model.input_size
    apart = {}

    def compared(format: str, worker: Worker) -> Comparison:
        return references.compare(
            format, [worker.answer(b) for b in references.batches]
        )

    if {TENSORFLOW, ALL} & set(settings.runtimes):
        logger.info("starting %s", TENSORFLOW)
        file = folder / "model.keras"
        model.save(file)
        shown = list(itertools.islice(itertools.cycle(contents.values()), batch))
        worker = contest.enter(TENSORFLOW, stages.start, file, shown)
        apart[stages.PIXELS] = compared(TENSORFLOW, worker)
    for file in files:
        logger.info("starting %s", file.name)
        arguments = (file.format, file.path, references.batches[0])
        worker = contest.enter(file.name, exported.start, *arguments)
        apart[file.name] = compared(file.format, worker)
    for peer in settings.peers:
        logger.info("starting %s", peer)
        parameters = complexity.trainable_params(model.body)
        arguments = (model.backbone_name, parameters, batch, side, side)
        contest.enter(peer, peers.start, *arguments)
    return apart


def _timed(
    requests: Mapping[str, Callable[[], float]], settings: Settings
) -> dict[str, Timing]:
    logger.info("timing %d + %d rounds", settings.warmup, settings.runs)
    limits = {n: request for n, request in requests.items() if products.is_product(n)}
    others = {n: request for n, request in requests.items() if n not in limits}
    found = time_in_turn(others, settings.runs, settings.warmup, PAUSE)
    if limits:
        logger.info("timing matrix products")
        found |= time_in_turn(limits, min(settings.runs, PRODUCT_RUNS), 1, PAUSE)
    return found


def _operations(model: PoseEstimator) -> tuple[float, float]:
    """Returns the operations of the body and of the head's kernels for an image."""
    side = model.input_size
    within = {weight.path for weight in model.body.trainable_weights}
    kernels = [
        math.prod(weight.shape)
        for weight in model.trainable_weights
        if weight.name == "kernel" and weight.path not in within
    ]
    head = side**2 // STRIDE**2 * sum(kernels)
    body = complexity.macs(model, side, side) - head
    return 2.0 * body, 2.0 * head


def _image(name: str, content: bytes) -> np.ndarray:
    try:
        return read_image(content, exif=True)
    except ValueError as error:
        reason = str(error).removeprefix("image bytes: ")
        raise ValueError(f"{name}: {reason}") from None


def _facts(
    model: PoseEstimator, images: Sequence[np.ndarray], settings: Settings
) -> dict[str, Any]:
    return {
        "backbone": model.backbone_name,
        "input_size": model.input_size,
        "keypoints": model.skeleton.num_keypoints,
        "batch": settings.batch,
        "runs": settings.runs,
        "cpus": settings.cpus or usable_cpus(),
        "image": list(images[0].shape[:2]),
        "versions": installed_versions(),
    }
