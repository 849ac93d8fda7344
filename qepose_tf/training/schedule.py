"""The learning rate: linear warm-up, then steps down after given epochs."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("qepose_tf")
class WarmupStepDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly over the first steps; falls by a factor after each drop epoch.

    Step s of the warm-up (from 0) has `(s + 1) / warmup_steps` of the rate. A drop
    after epoch e takes effect at step `e * steps_per_epoch`.

    Args:
        learning_rate: the rate between warm-up and first drop.
        steps_per_epoch: optimiser steps in one epoch.
        drop_epochs: the epochs after which the rate falls.
        drop_factor: what the rate is multiplied with at each drop.
        warmup_steps: length of the warm-up; 0 is none.
    """

    def __init__(
        self,
        learning_rate: float,
        steps_per_epoch: int,
        drop_epochs: Sequence[int] = (),
        drop_factor: float = 0.1,
        warmup_steps: int = 0,
    ):
        super().__init__()
        if steps_per_epoch < 1:
            raise ValueError(f"steps_per_epoch: expected >= 1, got {steps_per_epoch}")
        self.learning_rate = learning_rate
        self.steps_per_epoch = steps_per_epoch
        self.drop_epochs = list(drop_epochs)
        self.drop_factor = drop_factor
        self.warmup_steps = warmup_steps

    def __call__(self, step: Any) -> Any:
        """The rate of a step, counted from 0."""
        step = ops.convert_to_tensor(step)
        rate = ops.convert_to_tensor(self.learning_rate, "float32")
        if self.warmup_steps:
            done = ops.cast(step + 1, "float32") / self.warmup_steps
            rate = rate * ops.minimum(done, 1.0)
        for epoch in self.drop_epochs:
            dropped = step >= epoch * self.steps_per_epoch
            rate = ops.where(dropped, rate * self.drop_factor, rate)
        return rate

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "learning_rate": self.learning_rate,
            "steps_per_epoch": self.steps_per_epoch,
            "drop_epochs": self.drop_epochs,
            "drop_factor": self.drop_factor,
            "warmup_steps": self.warmup_steps,
        }
