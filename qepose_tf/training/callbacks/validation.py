"""COCO AP while training."""

from collections.abc import Callable
from typing import Any

import keras

from qepose_tf.data.coco.dataset import CocoDataset
from qepose_tf.evaluation.evaluate import FIGURES, Evaluation, evaluate
from qepose_tf.training.callbacks.weights_copy import WeightsCopy

CORRELATION = "val_score_oks_rank_correlation"
COLUMNS = (*(f"val_{figure.lower()}" for figure in FIGURES), CORRELATION)


def is_due(epoch: int, every: int, epochs: int) -> bool:
    """Tells whether an epoch, from 0, is validated: every few, and the last one."""
    return epoch + 1 == epochs or (epoch + 1) % every == 0


class CocoValidation(keras.callbacks.Callback):
    """Evaluates every few epochs and at the end; the figures go into the logs.

    It stands before the callbacks that read the logs: `val_ap`, `val_ap50`, ...,
    `val_score_oks_rank_correlation` are there in the epochs that were validated.

    Args:
        coco: the validation data.
        copy: of the model, which is evaluated.
        every: epochs from one validation to the next.
        batch_size: images that run together.
        check: called after each batch; it may raise to stop.

    Attributes:
        evaluation: the latest one; None before the first.
    """

    def __init__(
        self,
        coco: CocoDataset,
        copy: WeightsCopy,
        every: int,
        batch_size: int = 8,
        check: Callable[[], None] = lambda: None,
    ):
        super().__init__()
        self.coco = coco
        self.copy = copy
        self.every = every
        self.batch_size = batch_size
        self.check = check
        self.evaluation: Evaluation | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Evaluates if this epoch's turn has come."""
        if not is_due(epoch, self.every, self.params["epochs"]):
            return
        self.evaluation = evaluate(
            self.copy.updated(),
            self.coco,
            self.batch_size,
            progress=lambda done, total: self.check(),
        )
        if logs is not None:
            for figure, value in self.evaluation.metrics.items():
                logs[f"val_{figure.lower()}"] = value
            logs[CORRELATION] = self.evaluation.score_oks_rank_correlation
