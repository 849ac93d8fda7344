"""Measures the export of a large model, and its poses on real images.

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
from pathlib import Path

from qepose_tf.exporting.accuracy import megabytes
from qepose_tf.exporting.exporter import every_file
from qepose_tf.images.finding import find_images

PHOTOS = 4
COLUMNS = ("seconds", "GiB", "MB", "median px", "max px", "same cells", "people")


def measured(model: Path, format: str, precision: str, out: Path, images: Path) -> dict:
    """Exports in a process of its own, and returns the values of `COLUMNS`."""
    report = out.with_name("report.json")
    words: list[str | Path] = [sys.executable, "-c"]
    words += ["import sys, qepose_tf.cli as c; sys.exit(c.main())"]
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
        # In a process of its own, whose memory does not count as that of an export.
        words = [sys.executable, Path(__file__).with_name("settle.py")]
        words += [options.config, options.images, file]
        subprocess.run([str(word) for word in words], check=True)
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
