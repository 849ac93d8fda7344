"""Writes and reads calibration.json, and writes calibration.png."""

import dataclasses
import json
from pathlib import Path

from qepose_tf.evaluation.calibration.measures import Bin, Calibration
from qepose_tf.files.whole_files import writable_folder, write_file

JSON, PICTURE = "calibration.json", "calibration.png"


def write_calibration(calibration: Calibration, folder: str | Path) -> None:
    """Writes calibration.json and calibration.png, which needs matplotlib.

    The JSON file holds the attributes of `Calibration` by name, and `num_bins`. A value
    that is undefined is null.

    Args:
        calibration: The measurements.
        folder: The folder, which is made if it does not exist.

    Raises:
        OSError: The folder cannot be made or written.
    """
    from qepose_tf.evaluation.calibration.one_model import draw_calibration

    folder = writable_folder(folder)
    fields = dataclasses.asdict(calibration)
    tables = {name: fields.pop(name) for name in ("bins", "sample")}
    content = {**fields, "num_bins": len(calibration.bins), **tables}
    draw_calibration(calibration, folder / PICTURE)
    write_file(folder / JSON, json.dumps(content, allow_nan=False, indent=1) + "\n")


def read_calibration(path: str | Path) -> Calibration:
    """Reads a file that `write_calibration` wrote.

    Args:
        path: A calibration.json, or the folder that it is in.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file was not written by `write_calibration`.
    """
    path = Path(path)
    if path.is_dir():
        path = path / JSON
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        del content["num_bins"]
        bins = tuple(Bin(**entry) for entry in content.pop("bins"))
        sample = tuple((score, oks) for score, oks in content.pop("sample"))
        return Calibration(**content, bins=bins, sample=sample)
    except FileNotFoundError:
        raise FileNotFoundError(f"calibration file not found: {path}") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        text = f"{type(error).__name__}: {error}"
        raise ValueError(
            f"{path}: expected a calibration.json of `qepose evaluate`, got {text}"
        ) from None
