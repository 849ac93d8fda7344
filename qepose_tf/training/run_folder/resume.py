"""Going on with a run that was stopped, from the step that it had reached."""

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
    """Brings back weights, statistics and the optimiser from the newest checkpoint.

    Args:
        model: compiled, its optimiser built.
        folder: of the run.
        steps_per_epoch: of the run as it is now; where it is another number than
            before, an epoch that was begun is trained from its first step.
        agreement: of several workers: all take the chief's checkpoint, from a folder
            that all of them see.

    Returns:
        Where the run stands, and the checkpoint's arrays; the run's beginning where it
        was stopped before its first checkpoint.

    Raises:
        ValueError: no checkpoint can be read, or it is of another model.
    """
    found = _agreed_checkpoint(folder / CHECKPOINTS, agreement)
    if found is None:
        logger.info("%s: stopped before its first checkpoint, begun again", folder)
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
    # One more than the steps, for 0 says that there is none.
    steps = found[1].total_steps + 1 if agreement.chief and found else 0
    steps = agreement.of_chief(steps)
    if agreement.chief or not steps:
        return found if agreement.chief else None
    path = checkpoint_path(folder, steps - 1)
    if not path.exists():
        raise FileNotFoundError(f"{path}: expected the chief's folder on every worker")
    return read_checkpoint(path)
