"""Times one exported file from a picture's bytes to its people."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qepose_tf.benchmark.report import Report
from qepose_tf.benchmark.side_by_side import PAUSE, Settings
from qepose_tf.benchmark.worker import Loaded, Worker, time_in_turn, usable_cpus
from qepose_tf.images.decoding import read_image
from qepose_tf.inference.exported_model import ExportedModel
from qepose_tf.inference.loop import PoseLoop

DECODE, BOXED, NETWORK, WHOLE = (
    "decode picture",
    "letterbox",
    "network and decoder",
    "picture to people",
)


def start(path: Path, contents: Sequence[bytes]) -> Loaded:
    """Loads a file and the calls that are timed, each on the next picture.

    Args:
        path: What `ExportedModel` takes.
        contents: Of picture files.
    """
    model = ExportedModel(path)
    pictures = [read_image(content, exif=True) for content in contents]
    boxed = [model.boxed(picture, model.input_size)[0] for picture in pictures]
    count = model.batch or 1
    batches = [np.repeat(image[None], count, axis=0) for image in boxed]
    loop = PoseLoop(model, model.input_size, count)
    turns = {name: itertools.count() for name in (DECODE, BOXED, NETWORK, WHOLE)}

    def picked(name: str, values: Sequence) -> Any:
        return values[next(turns[name]) % len(values)]

    def whole() -> None:
        content = picked(WHOLE, contents)
        list(loop([("picture", lambda: read_image(content, exif=True))]))

    return Loaded(
        {
            DECODE: lambda: read_image(picked(DECODE, contents), exif=True),
            BOXED: lambda: model.boxed(picked(BOXED, pictures), model.input_size),
            NETWORK: lambda: model.detect(picked(NETWORK, batches)),
            WHOLE: whole,
        }
    )


def time_exported(
    model: ExportedModel, contents: Mapping[str, bytes], settings: Settings
) -> Report:
    """Times an exported file in a process of its own.

    Args:
        model: The file, which that process loads for itself.
        contents: Of picture files, by name.
        settings: `runs`, `warmup` and `cpus` are used.

    Returns:
        A report with a row for each stage, in ms.

    Raises:
        ValueError: The file or a picture cannot be read.
    """
    path = model.path
    with Worker(str(path), start, path, [*contents.values()], cpus=settings.cpus) as w:
        requests = {name: lambda name=name: w.seconds(name) for name in w.calls}
        timings = time_in_turn(requests, settings.runs, settings.warmup, PAUSE)
    facts = {
        "model": str(path),
        "format": model.format,
        "precision": model.precision,
        "input_size": model.input_size,
        "batch": model.batch or 1,
        "runs": settings.runs,
        "cpus": settings.cpus or usable_cpus(),
        "images": [*contents],
    }
    report = Report(facts=facts)
    for name, timing in timings.items():
        low, median, high = (
            1000 * seconds for seconds in (timing.low, timing.median, timing.high)
        )
        report.add(**{"name": name, "median ms": median, "low": low, "high": high})
    return report
