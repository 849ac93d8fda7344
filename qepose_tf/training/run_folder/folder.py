"""Chooses, locks and checks the folder of a run, so that no other run is lost."""

import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from qepose_tf.config.changes import differing_keys
from qepose_tf.config.reading import load_config
from qepose_tf.config.schema import Config
from qepose_tf.files.folder_lock import FolderLock
from qepose_tf.files.whole_files import left_behind, writable_folder

logger = logging.getLogger(__name__)

CONFIG = "config.yaml"
LOG = "log.csv"
TENSORBOARD = "tensorboard"
BEST = "best.keras"
LAST = "last.keras"
CHECKPOINTS = "checkpoints"
ENVIRONMENT = "environment.json"
SUMMARY = "run.json"


@dataclass
class RunFolder:
    """The folder of a run, locked while this process trains in it.

    Attributes:
        path: The path of the folder.
        resumed: Whether the folder holds a run that is to be continued.
    """

    path: Path
    resumed: bool
    _lock: FolderLock | None = None

    def close(self) -> None:
        """Releases the lock, so that other processes can use the folder."""
        if self._lock is not None:
            self._lock.close()


def open_run_folder(
    config: Config,
    *,
    overwrite: bool = False,
    resume: bool = False,
    allowed: Sequence[str] = (),
    numbered: bool = True,
) -> RunFolder:
    """Finds the folder to train in and locks it.

    A stopped run of the same config is continued. A folder with another run is not
    touched: the new run goes to `run_dir`-2, -3, ...

    Args:
        config: The config of the run, with the wanted `run_dir`.
        overwrite: Whether the files of an earlier run are removed from `run_dir`.
            Other files are kept.
        resume: Whether only `run_dir` itself may be used, to continue the run there or
            to start it.
        allowed: The config keys that may differ from those of the continued run.
        numbered: Whether another name may be taken. Several workers must share one
            folder, so they pass False.

    Raises:
        ValueError: `run_dir` cannot be used: it holds a run with another config (the
            message names the keys) or a finished one, or another process uses it.
        OSError: The folder cannot be made or written.
    """
    wanted = config.run_dir
    if overwrite:
        folder = _claimed(wanted)
        if folder is None:
            raise ValueError(
                f"{wanted}: another process trains in this folder; wait for its end or "
                "choose another train.run_dir"
            )
        remove_run(wanted)
        return folder
    others = (wanted.with_name(f"{wanted.name}-{n}") for n in count(2))
    path = wanted
    while True:
        folder = _claimed(path)
        different = _difference(path, config, allowed) if folder else None
        if folder and different == []:
            folder.resumed = _has_begun(path) and (resume or not _is_finished(path))
        if folder and (different is None or folder.resumed):
            remove_leftovers(path)
            return folder
        if folder:
            folder.close()
        if resume or not numbered:
            raise ValueError(_refusal(path, folder, different))
        logger.info("%s holds another run; the next free name is used", path)
        path = next(others)


def _is_finished(path: Path) -> bool:
    return (path / SUMMARY).exists()


def _has_begun(path: Path) -> bool:
    """Tells whether the run can continue or has nothing yet that could be lost."""
    return any((path / CHECKPOINTS).glob("step-*")) or not (path / LOG).exists()


def _refusal(path: Path, folder: RunFolder | None, different: list[str] | None) -> str:
    if folder is None:
        return (
            f"{path}: another process trains in this folder; wait for its end or "
            "choose another train.run_dir"
        )
    if different:
        return (
            f"{path / CONFIG}: expected the config of this run to resume it, "
            f"different: {', '.join(different)}"
        )
    if not _has_begun(path):
        return (
            f"{path / CHECKPOINTS}: expected checkpoints to continue from, found none; "
            "--overwrite starts the run again"
        )
    return f"{path}: holds a finished run; --overwrite replaces it"


def _difference(path: Path, config: Config, allowed: Sequence[str]) -> list[str] | None:
    """Returns the config keys that differ from those of the run in the folder.

    The result is None if the folder holds no run.
    """
    if not (path / CONFIG).exists():
        return None
    keys = differing_keys(load_config(path / CONFIG), config)
    # The run of a numbered folder has the name without a number in its config.
    return [key for key in keys if key not in ("train.run_dir", *allowed)]


def _claimed(path: Path) -> RunFolder | None:
    """Makes and locks the folder; None if another process has locked it."""
    writable_folder(path)
    try:
        return RunFolder(path, False, FolderLock(path))
    except BlockingIOError:
        return None


def remove_leftovers(folder: Path) -> None:
    """Removes the temporary files that a killed process has left."""
    for name in (CONFIG, LOG, ENVIRONMENT, SUMMARY, BEST, LAST):
        for file in left_behind(folder / name):
            file.unlink(missing_ok=True)
    for file in folder.glob(f"{CHECKPOINTS}/.*"):
        file.unlink(missing_ok=True)


def remove_run(folder: Path) -> None:
    """Removes a run's own files, and nothing else."""
    remove_leftovers(folder)
    for name in (BEST, LAST, LOG, CONFIG, ENVIRONMENT, SUMMARY):
        (folder / name).unlink(missing_ok=True)
    for name in (TENSORBOARD, CHECKPOINTS):
        shutil.rmtree(folder / name, ignore_errors=True)
