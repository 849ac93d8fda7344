"""Computes COCO's metrics during training."""

from collections.abc import Callable
from typing import Any

import keras

from qepose_tf.data.coco.dataset import CocoDataset
from qepose_tf.evaluation.evaluate import FIGURES, Evaluation, evaluate
from qepose_tf.training.callbacks.weights_copy import WeightsCopy

CORRELATION = "val_score_oks_rank_correlation"
COLUMNS = (*(f"val_{figure.lower()}" for figure in FIGURES), CORRELATION)


def is_due(epoch: int, every: int, epochs: int) -> bool:
    """Tells whether an epoch, from 0, is validated: each `every`th and the last one."""
    return epoch + 1 == epochs or (epoch + 1) % every == 0


class CocoAP(keras.callbacks.Callback):
    """Evaluates the model every few epochs and adds the metrics to the logs.

    Callbacks after this one find `val_ap`, `val_ap50`, ... and
    `val_score_oks_rank_correlation` in the logs of evaluated epochs. If AP is
    undefined because no person in the data counts, the logs have none of these, so
    that no callback takes -1 for the best value.

    Args:
        coco: The validation data.
        every: The number of epochs from one evaluation to the next.
        batch_size: The number of images in a batch.
        copy: The copy of the model that is evaluated. By default it is a copy of the
            model in training, with the moving averages of the weights if the optimiser
            keeps them.
        check: Called after each image; it may raise an exception to stop.

    Attributes:
        evaluation: The latest evaluation; None before the first.

    Example:
        >>> model.fit(train, epochs=10, callbacks=[CocoAP(val)])  # doctest: +SKIP
    """

    params: dict[str, Any]  # `fit` sets them before its first call.

    def __init__(
        self,
        coco: CocoDataset,
        every: int = 1,
        batch_size: int = 8,
        copy: WeightsCopy | None = None,
        check: Callable[[], None] = lambda: None,
    ):
        super().__init__()
        self.coco = coco
        self.every = every
        self.batch_size = batch_size
        self.copy = copy
        self.check = check
        self.evaluation: Evaluation | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Evaluates the model if the epoch is due."""
        if not is_due(epoch, self.every, self.params["epochs"]):
            return
        if self.copy is None:
            self.copy = WeightsCopy(self.model)
        self.evaluation = evaluate(
            self.copy.updated(),
            self.coco,
            self.batch_size,
            progress=lambda done, total: self.check(),
            explained=self.evaluation is None,
        )
        if logs is not None and self.evaluation.AP >= 0:
            for figure, value in self.evaluation.metrics.items():
                logs[f"val_{figure.lower()}"] = value
            logs[CORRELATION] = self.evaluation.score_oks_rank_correlation
