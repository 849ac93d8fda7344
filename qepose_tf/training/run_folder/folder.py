"""The folder of a run: chosen so that no run is lost, checked before work begins."""

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
from qepose_tf.files.whole_files import writable_folder

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
    """A run's folder while a process trains in it.

    Attributes:
        path: of the folder.
        resumed: it holds a run to go on with.
    """

    path: Path
    resumed: bool
    _lock: FolderLock | None = None

    def close(self) -> None:
        """Lets other processes have it."""
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
    """Finds the folder to train in and keeps other processes out of it.

    A run of the same config that was stopped before its end is gone on with. A folder
    with another run is left alone: the new run goes to `run_dir`-2, -3, ...

    Args:
        config: of the run; its `run_dir` is wanted.
        overwrite: remove an earlier run's own files, and nothing else.
        resume: only go on with the run that is in `run_dir`, or start it there.
        allowed: config keys that may differ from those of the run that is resumed.
        numbered: whether another name may be taken; several workers agree on one.

    Raises:
        ValueError: `resume`, and its config is another one (the message names the
            keys); or the folder is in use.
        OSError: The folder cannot be made or written.
    """
    wanted = config.run_dir
    if overwrite:
        folder = _claimed(wanted)
        if folder is None:
            raise ValueError(f"{wanted}: another process trains in this folder")
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
        logger.info("%s holds another run", path)
        path = next(others)


def _is_finished(path: Path) -> bool:
    return (path / SUMMARY).exists()


def _has_begun(path: Path) -> bool:
    """Whether there is something to go on from, or nothing that could be lost."""
    return any((path / CHECKPOINTS).glob("step-*")) or not (path / LOG).exists()


def _refusal(path: Path, folder: RunFolder | None, different: list[str] | None) -> str:
    if folder is None:
        return f"{path}: another process trains in this folder"
    if different:
        return (
            f"{path / CONFIG}: expected the config of this run to resume it, "
            f"different: {', '.join(different)}"
        )
    if not _has_begun(path):
        return f"{path / CHECKPOINTS}: expected checkpoints to go on from, found none"
    return f"{path}: holds a finished run; --overwrite replaces it"


def _difference(path: Path, config: Config, allowed: Sequence[str]) -> list[str] | None:
    """The keys in which the folder's run differs; None where there is no run."""
    if not (path / CONFIG).exists():
        return None
    keys = differing_keys(load_config(path / CONFIG), config)
    # A numbered folder is another one than its config asked for.
    return [key for key in keys if key not in ("train.run_dir", *allowed)]


def _claimed(path: Path) -> RunFolder | None:
    """Locks the folder; None where another process has it."""
    writable_folder(path)
    try:
        return RunFolder(path, False, FolderLock(path))
    except BlockingIOError:
        return None


def remove_leftovers(folder: Path) -> None:
    """Removes what a killed process was writing under temporary names."""
    names = (CONFIG, LOG, ENVIRONMENT, SUMMARY)
    patterns = [f".{name}.*" for name in names]
    patterns += [f".{Path(name).stem}-*.keras" for name in (BEST, LAST)]
    for pattern in [*patterns, f"{CHECKPOINTS}/.*"]:
        for file in folder.glob(pattern):
            file.unlink(missing_ok=True)


def remove_run(folder: Path) -> None:
    """Removes a run's own files, and nothing else."""
    remove_leftovers(folder)
    for name in (BEST, LAST, LOG, CONFIG, ENVIRONMENT, SUMMARY):
        (folder / name).unlink(missing_ok=True)
    for name in (TENSORBOARD, CHECKPOINTS):
        shutil.rmtree(folder / name, ignore_errors=True)
