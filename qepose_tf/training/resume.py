"""Going on with a run that was stopped, from the epoch that it did not finish."""

import csv
import io
import logging
from pathlib import Path

import keras

from qepose_tf.config import Config, load_config
from qepose_tf.config_changes import differing_keys
from qepose_tf.output_files import write_file
from qepose_tf.training.run_folder import BEST, CONFIG, LAST, LOG

logger = logging.getLogger(__name__)


def open_stopped_run(config: Config) -> Path:
    """The folder of the run to go on with.

    Raises:
        FileNotFoundError: there is no run, or it left no model.
        ValueError: its config is another one; the message names the keys.
    """
    folder = config.run_dir
    for name in (CONFIG, LAST):
        if not (folder / name).exists():
            raise FileNotFoundError(f"{folder / name}: expected a run to resume")
    different = differing_keys(load_config(folder / CONFIG), config)
    # A numbered folder is another one than its config asked for.
    different = [key for key in different if key != "train.run_dir"]
    if different:
        raise ValueError(
            f"{folder / CONFIG}: expected the config of this run to resume it, "
            f"different: {', '.join(different)}"
        )
    return folder


def restore(model: keras.Model, folder: Path, steps_per_epoch: int) -> int:
    """Brings back weights, statistics and the optimiser; call it after `compile`.

    Returns:
        The epoch to go on with, from 0. Where the run was stopped within an epoch,
        that epoch is trained from its first step, and the schedule counts it once.
    """
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    # Its slots must exist to be loaded.
    model.optimizer.build(model.trainable_variables)
    model.load_weights(folder / LAST)
    steps = int(keras.ops.convert_to_numpy(optimizer.iterations))
    epoch = steps // steps_per_epoch
    optimizer.iterations.assign(epoch * steps_per_epoch)
    logger.info("resuming %s after %d epochs", folder, epoch)
    return epoch


def restored_log(folder: Path, epoch: int) -> list[dict[str, str]]:
    """The rows of the epochs before `epoch`; later ones leave the file."""
    path = folder / LOG
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        columns = reader.fieldnames or []
        every = list(reader)
    rows = [row for row in every if int(row["epoch"]) < epoch]
    if len(rows) < len(every):
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_file(path, text.getvalue())
    return rows


def best_row(folder: Path, rows: list[dict[str, str]], monitor: str) -> dict:
    """The logs of the best epoch so far; empty where no best model is there."""
    scored = [row for row in rows if row.get(monitor)]
    if not scored or not (folder / BEST).exists():
        return {}
    best = max(scored, key=lambda row: float(row[monitor]))
    return {key: float(value) for key, value in best.items() if value}
