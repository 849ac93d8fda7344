"""The state of a run, and the checkpoint files that hold it."""

import dataclasses
import hashlib
import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import safetensors
import safetensors.numpy

from qepose_tf.files.whole_files import write_file

logger = logging.getLogger(__name__)

SUFFIX = ".safetensors"


@dataclass
class RunState:
    """The position of a run and its logs so far.

    Attributes:
        steps_per_epoch: The number of optimiser steps in one epoch.
        epoch: The current epoch, from 0.
        step: The number of steps done in the current epoch. It is `steps_per_epoch`
            until the callbacks have processed the end of the epoch.
        seconds: The time spent on training, summed over all starts of the run.
        history: The logs of each finished epoch, which include "epoch".
        best_logs: The logs of the best epoch; empty before the first validation.
    """

    steps_per_epoch: int
    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    best_logs: dict[str, float] = field(default_factory=dict)

    @property
    def total_steps(self) -> int:
        """The number of steps since the start of the run."""
        return self.epoch * self.steps_per_epoch + self.step

    def by_name(self) -> dict[str, list[float]]:
        """Returns the history in Keras' form: the list of values of each log.

        A list has values only for the epochs that have the log.
        """
        names = dict.fromkeys(name for row in self.history for name in row)
        return {
            name: [row[name] for row in self.history if name in row]
            for name in names
            if name != "epoch"
        }


def snapshot(model: keras.Model) -> dict[str, np.ndarray]:
    """Copies all variables that training changes: weights, optimiser, metrics.

    Several workers must call it at the same step, because they read variables together.

    Returns:
        The arrays by name.
    """
    return {
        name: np.array(keras.ops.convert_to_numpy(variable), order="C")
        for name, variable in _variables(model).items()
    }


def bring_back(model: keras.Model, tensors: dict[str, np.ndarray]) -> None:
    """Sets the weights and the optimiser of a compiled model to a snapshot.

    Running metrics are not set, because `fit` resets them: see `bring_back_metrics`.

    Raises:
        ValueError: The snapshot is that of another model or optimiser.
    """
    variables = _variables(model)
    unlike = sorted(variables.keys() ^ tensors.keys())
    unlike += [
        n for n in variables.keys() & tensors.keys() if _differ(variables, tensors, n)
    ]
    if unlike:
        raise ValueError(
            f"expected the variables of this model, {len(unlike)} differ, "
            f"the first is {unlike[0]}"
        )
    for name, variable in variables.items():
        if not name.startswith("metrics/"):
            variable.assign(tensors[name])


def bring_back_metrics(model: keras.Model, tensors: dict[str, np.ndarray]) -> None:
    """Sets the running metrics of an interrupted epoch to a snapshot."""
    for name, variable in _variables(model).items():
        if name.startswith("metrics/"):
            variable.assign(tensors[name])


def _differ(variables: dict, tensors: dict, name: str) -> bool:
    return tuple(variables[name].shape) != tensors[name].shape


def _variables(model: keras.Model) -> dict[str, Any]:
    parts = {
        "weights": model.weights,
        "optimizer": model.optimizer.variables,
        "metrics": model.metrics_variables,
        "averages": [pair[1] for pair in getattr(model.train_step, "statistics", ())],
    }
    return {
        f"{part}/{index:04d}": variable
        for part, variables in parts.items()
        for index, variable in enumerate(variables)
    }


def write_checkpoint(
    path: Path, tensors: dict[str, np.ndarray], state: RunState
) -> None:
    """Writes a checkpoint; after a power cut the file is complete or absent.

    Raises:
        OSError: The file cannot be written.
    """
    metadata = {
        "format": "1",
        "state": json.dumps(dataclasses.asdict(state)),
        "sha256": _digest(tensors),
    }
    write_file(path, safetensors.numpy.save(tensors, metadata), durable=True)


def read_checkpoint(path: Path) -> tuple[dict[str, np.ndarray], RunState]:
    """Reads the arrays and the state of a checkpoint.

    Raises:
        ValueError: The file is truncated, damaged or no checkpoint.
    """
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        state = RunState(**json.loads(metadata["state"]))
    except (safetensors.SafetensorError, OSError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: expected a checkpoint, {error}") from None
    if _digest(tensors) != metadata.get("sha256"):
        raise ValueError(f"{path}: the checkpoint is damaged, its checksum differs")
    return tensors, state


def _digest(tensors: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].tobytes())
    return digest.hexdigest()


def checkpoints_in(folder: Path) -> list[Path]:
    """Lists the checkpoints of a folder, newest first."""
    return sorted(folder.glob(f"step-*{SUFFIX}"), reverse=True)


def checkpoint_path(folder: Path, steps: int) -> Path:
    """Returns the path of the checkpoint after `steps` steps of a run."""
    return folder / f"step-{steps:09d}{SUFFIX}"


def newest_checkpoint(
    folder: Path,
) -> tuple[dict[str, np.ndarray], RunState] | None:
    """Reads the newest checkpoint that is not damaged; None if there is no file.

    Each damaged checkpoint is skipped with a warning.

    Raises:
        ValueError: There are checkpoints, but none can be read.
    """
    files = checkpoints_in(folder)
    for path in files:
        try:
            return read_checkpoint(path)
        except ValueError as error:
            logger.warning("%s; the one before it is used", error)
    if files:
        raise ValueError(
            f"{folder}: none of its {len(files)} checkpoints can be read; "
            "qepose train --overwrite starts the run again"
        )
    return None
