"""What it takes to export a large model, and what each file does with real images.

    python benchmarks/exports.py CONFIG IMAGES [--out DIR]

Builds the config's model untrained, settles its batch statistics on four of the images,
exports it with `qepose export` to every format and precision, each in a process of its
own, and prints seconds, peak memory, size and the poses' distance from Keras' on these
images, as a Markdown table. int8 is calibrated on them, too.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import keras
import numpy as np

from qepose_tf.config import load_config
from qepose_tf.data.images import read_image
from qepose_tf.data.letterbox import fit_inside
from qepose_tf.exporting import metadata
from qepose_tf.exporting.export import every_file
from qepose_tf.inference import find_images
from qepose_tf.models import PoseEstimator
from qepose_tf.skeleton import Skeleton
from qepose_tf.training.run import model_settings
from qepose_tf.verdict import megabytes

PHOTOS = 4
TYPICAL_SCORE = 0.3  # the middle of an untrained score map, which is 0 otherwise
COLUMNS = ("seconds", "GiB", "MB", "median px", "max px", "same cells", "people")


def write_settled_model(config_file: Path, photos: list[Path], file: Path) -> None:
    """Writes an untrained model whose activations are normalised on real images.

    By the initial statistics a deep network is not, and its poses are too wild to
    compare.
    """
    images = [read_image(photo, exif=True) for photo in photos]
    config = load_config(config_file)
    keras.utils.set_random_seed(config.seed)
    settings = {**model_settings(config), "batch_norm_momentum": 0.0}
    model = PoseEstimator(Skeleton.load(config.skeleton), **settings)
    side, fill = model.input_size, metadata.fill_colour(model)
    frames = np.stack([fit_inside(image, side, side, fill)[0] for image in images])
    scores = model(model.normalise(frames), training=True)["score_map"]
    bias = model.get_layer("score").bias
    bias.assign(bias + TYPICAL_SCORE - np.mean(scores))
    model.save(file)


def measured(model: Path, format: str, precision: str, out: Path, images: Path) -> dict:
    """Exports in a process of its own; its figures by the names of `COLUMNS`."""
    report = out.with_name("report.json")
    words = [sys.executable, "-c", "import sys, qepose_tf.cli as c; sys.exit(c.main())"]
    words += ["export", model, "--format", format, "--precision", precision]
    words += ["--out", out, "--calibrate", images, "--json", report]
    started = time.monotonic()
    process = subprocess.Popen([str(word) for word in words], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - started
    if status:
        raise ValueError(f"{format} {precision} failed, see above")
    found = json.loads(report.read_text())
    values = (
        f"{seconds:.0f}",
        f"{usage.ru_maxrss / 2**20:.1f}",  # KiB, as Linux counts
        f"{megabytes(out):.0f}",
        f"{found['median_pose_difference_px']:.1g}",
        f"{found['max_pose_difference_px']:.1g}",
        str(found["matched"]),
        str(found["people"]),
    )
    return dict(zip(COLUMNS, values, strict=True))


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("images", type=Path, help="a folder of photos")
    parser.add_argument("--out", type=Path, help="keeps the exported files here")
    options = parser.parse_args()
    files = find_images(options.images)[:PHOTOS]
    with tempfile.TemporaryDirectory() as folder:
        out = options.out or Path(folder)
        out.mkdir(parents=True, exist_ok=True)
        file = out / "untrained.keras"
        # In a process of its own: what this one once held would count as an export's.
        work = (options.config, files, file)
        builder = get_context("spawn").Process(target=write_settled_model, args=work)
        builder.start()
        builder.join()
        if builder.exitcode:
            sys.exit("the model was not built, see above")
        photos = Path(folder) / "photos"
        photos.mkdir()
        for photo in files:
            shutil.copy(photo, photos)
        print("| format | precision |", " | ".join(COLUMNS), "|")
        print("|---" * (2 + len(COLUMNS)) + "|")
        for format, precision, path in every_file(out):
            row = measured(file, format, precision, path, photos)
            cells = " | ".join(row[name] for name in COLUMNS)
            print(f"| {format} | {precision} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
