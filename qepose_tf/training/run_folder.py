"""The folder of a run: chosen so that no run is lost, checked before work begins."""

import logging
import shutil
from itertools import count
from pathlib import Path

from qepose_tf.output_files import writable_folder

logger = logging.getLogger(__name__)

CONFIG = "config.yaml"
LOG = "log.csv"
TENSORBOARD = "tensorboard"
BEST = "best.keras"
LAST = "last.keras"


def open_run_folder(wanted: Path, overwrite: bool = False) -> Path:
    """Makes the folder of a new run and checks that it can be written.

    A folder that already holds a run (its config.yaml) is left alone: the new run goes
    to `wanted`-2, -3, ... With `overwrite`, the earlier run's own files are removed
    and nothing else.

    Raises:
        OSError: The folder cannot be made or written.
    """
    folder = wanted
    if not overwrite:
        numbered = (wanted.with_name(f"{wanted.name}-{n}") for n in count(2))
        while (folder / CONFIG).exists():
            folder = next(numbered)
        if folder != wanted:
            logger.info("%s holds an earlier run; this one is in %s", wanted, folder)
    writable_folder(folder)
    if overwrite:
        _remove_run(folder)
    return folder


def _remove_run(folder: Path) -> None:
    for name in (BEST, LAST, LOG, CONFIG):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / TENSORBOARD, ignore_errors=True)
