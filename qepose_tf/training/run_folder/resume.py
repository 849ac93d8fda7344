"""Restores a stopped run from its newest checkpoint."""

import logging
from pathlib import Path

import keras
import numpy as np

from qepose_tf.training.devices.workers import Agreement
from qepose_tf.training.run_folder.folder import CHECKPOINTS
from qepose_tf.training.run_folder.state import (
    RunState,
    bring_back,
    checkpoint_path,
    newest_checkpoint,
    read_checkpoint,
)

logger = logging.getLogger(__name__)


def restore(
    model: keras.Model,
    folder: Path,
    steps_per_epoch: int,
    agreement: Agreement | None = None,
) -> tuple[RunState, dict[str, np.ndarray]]:
    """Restores weights, statistics and the optimiser from the newest checkpoint.

    Args:
        model: A compiled model.
        folder: The folder of the run.
        steps_per_epoch: The present number of steps in an epoch. If it has changed, an
            epoch that was interrupted starts again at its first step.
        agreement: The agreement of several workers: all of them read the checkpoint
            that the chief chose, so all must see the same folder.

    Returns:
        The state of the run and the arrays of the checkpoint. If there is no checkpoint
        yet, the state is that of a new run and there are no arrays.

    Raises:
        ValueError: No checkpoint can be read, or it is that of another model.
    """
    found = _agreed_checkpoint(folder / CHECKPOINTS, agreement)
    if found is None:
        logger.info(
            "%s: the run was stopped before its first checkpoint and starts again",
            folder,
        )
        return RunState(steps_per_epoch), {}
    tensors, state = found
    try:
        bring_back(model, tensors)
    except ValueError as error:
        raise ValueError(f"{folder / CHECKPOINTS}: {error}") from None
    if state.steps_per_epoch != steps_per_epoch:
        state.steps_per_epoch, state.step = steps_per_epoch, 0
    logger.info(
        "resuming %s at epoch %d, after %d of %d steps",
        *(folder, state.epoch + 1, state.step, steps_per_epoch),
    )
    return state, tensors


def _agreed_checkpoint(
    folder: Path, agreement: Agreement | None
) -> tuple[dict[str, np.ndarray], RunState] | None:
    if agreement is None or agreement.chief:
        found = newest_checkpoint(folder)
    if agreement is None:
        return found
    # One is added to the steps because 0 means that there is no checkpoint.
    steps = found[1].total_steps + 1 if agreement.chief and found else 0
    steps = agreement.of_chief(steps)
    if agreement.chief or not steps:
        return found if agreement.chief else None
    path = checkpoint_path(folder, steps - 1)
    if not path.exists():
        raise FileNotFoundError(
            f"{path}: no such checkpoint on this worker; expected a train.run_dir that "
            "all workers share"
        )
    return read_checkpoint(path)
