"""Writes and reads the environment and the summary of a run."""

import json
import math
import platform
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import tensorflow as tf

from qepose_tf import __version__
from qepose_tf.config.reading import load_config
from qepose_tf.config.schema import Config
from qepose_tf.files.whole_files import write_file
from qepose_tf.training.run_folder.folder import (
    BEST,
    CHECKPOINTS,
    CONFIG,
    ENVIRONMENT,
    LAST,
    SUMMARY,
)
from qepose_tf.training.run_folder.state import RunState, newest_checkpoint

PACKAGES = ("tensorflow", "keras", "numpy", "pycocotools", "keras-cv")


def write_environment(folder: Path, config: Config, state: RunState) -> None:
    """Adds a start of the run to `environment.json`."""
    path = folder / ENVIRONMENT
    starts = json.loads(path.read_text("utf-8")) if path.exists() else []
    starts.append(
        {
            "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "epoch": state.epoch + 1,
            "step": state.step,
            "seed": config.seed,
            "python": platform.python_version(),
            "qepose_tf": __version__,
            "git_revision": git_revision(Path(__file__).parent),
            "packages": {name: _version(name) for name in PACKAGES},
            "devices": [d.device_type for d in tf.config.list_logical_devices()],
            "command": sys.argv,
        }
    )
    write_file(path, json.dumps(starts, indent=2) + "\n")


def git_revision(folder: Path) -> str | None:
    """Returns the commit of a folder, with "+" if files were changed since.

    The result is None outside of a git repository.
    """
    try:
        words = ["git", "-C", str(folder), "describe", "--always", "--dirty=+"]
        words += ["--abbrev=40", "--exclude=*"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def write_summary(folder: Path, config: Config, state: RunState) -> None:
    """Writes `run.json`, whose existence marks the run as finished."""
    report = _report(config, state) | {"finished": True}
    write_file(folder / SUMMARY, json.dumps(report, indent=2) + "\n")


def describe_run(folder: Path) -> dict[str, Any]:
    """Returns what `qepose info` shows about the folder of a run.

    Raises:
        ValueError: It is not the folder of a run, or its checkpoints cannot be read.
    """
    if not (folder / CONFIG).exists():
        raise ValueError(f"{folder}: expected the folder of a run, with a {CONFIG}")
    config = load_config(folder / CONFIG)
    found = newest_checkpoint(folder / CHECKPOINTS)
    state = found[1] if found else RunState(0)
    environment = folder / ENVIRONMENT
    starts = json.loads(environment.read_text("utf-8")) if environment.exists() else []
    return {
        "run": str(folder),
        **_report(config, state),
        "finished": (folder / SUMMARY).exists(),
        "starts": len(starts),
        "started": starts[0]["started"] if starts else None,
        "git_revision": starts[-1]["git_revision"] if starts else None,
        "versions": starts[-1]["packages"] if starts else {},
        "models": [name for name in (BEST, LAST) if (folder / name).exists()],
    }


def _report(config: Config, state: RunState) -> dict[str, Any]:
    last = state.history[-1] if state.history else {}
    steps = state.total_steps
    seconds = state.seconds
    return {
        "name": config.name,
        "epochs": f"{state.epoch} of {config.train.epochs}",
        "steps": steps,
        "seconds": round(seconds, 1),
        "images_per_second": _rounded(steps * config.train.batch_size / seconds)
        if seconds
        else None,
        "last": {name: _rounded(value) for name, value in last.items()},
        "best": {name: _rounded(value) for name, value in state.best_logs.items()},
    }


def _rounded(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None
