"""Adam and AdamW with a separate learning rate for the body, and the schedules."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from qepose_tf.models.pose_model import PoseModel


@keras.saving.register_keras_serializable("qepose_tf")
class WarmupStepDecay(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate with a linear warm-up and a step decay.

    Step s of the warm-up (from 0) has `(s + 1) / warmup_steps` of the rate. A drop
    after epoch e takes effect at step `e * steps_per_epoch`.

    Args:
        learning_rate: The rate between the warm-up and the first drop.
        steps_per_epoch: The number of optimiser steps in one epoch.
        drop_epochs: The epochs after which the rate falls.
        drop_factor: The factor that the rate is multiplied by at each drop.
        warmup_steps: The number of steps of the warm-up; 0 is no warm-up.

    Raises:
        ValueError: `steps_per_epoch` is smaller than 1.
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
        """Returns the learning rate of a step, counted from 0."""
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
        """Returns all constructor arguments."""
        return {
            "learning_rate": self.learning_rate,
            "steps_per_epoch": self.steps_per_epoch,
            "drop_epochs": self.drop_epochs,
            "drop_factor": self.drop_factor,
            "warmup_steps": self.warmup_steps,
        }


class _PoseOptimizer(keras.optimizers.Optimizer):
    """The methods that both optimisers replace in Keras' own.

    Gradients must be summed over replicas before they come here (`TrainStep` does it):
    Keras clips them, and looks for values that are not finite, before it sums them.
    """

    body_factor = 1.0
    _body: frozenset = frozenset()

    def slow_down(self, variables: Sequence[keras.Variable], factor: float) -> None:
        """Multiplies the rate of some variables; call it before the first step."""
        self.body_factor = factor
        self._body = frozenset(self._var_key(variable) for variable in variables)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Updates a variable as Keras does, with that variable's learning rate."""
        if self._var_key(variable) in self._body:
            learning_rate = learning_rate * self.body_factor
        super().update_step(gradient, variable, learning_rate)

    def finalize_variable_values(self, var_list: Sequence[Any]) -> None:
        """Leaves the weights unchanged: only a saved model takes their averages.

        `fit` calls this method at its end, which need not be the end of the run.
        """

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> Any:
        return grads_and_vars


@keras.saving.register_keras_serializable("qepose_tf")
class PoseAdam(_PoseOptimizer, keras.optimizers.Adam):
    """`keras.optimizers.Adam` for `TrainStep`."""


@keras.saving.register_keras_serializable("qepose_tf")
class PoseAdamW(_PoseOptimizer, keras.optimizers.AdamW):
    """`keras.optimizers.AdamW` for `TrainStep`; biases and norms do not decay."""


def make_optimizer(
    *,
    name: str,
    schedule: keras.optimizers.schedules.LearningRateSchedule,
    weight_decay: float,
    clip_norm: float | None,
    ema_momentum: float | None,
    skip_non_finite: bool,
) -> keras.optimizers.Optimizer:
    """Makes the optimiser of a run; call it in the strategy's scope.

    Args:
        name: "adam" or "adamw".
        schedule: The learning rate of each step.
        weight_decay: The weight decay of "adamw".
        clip_norm: The largest global norm of the gradients; None does not clip.
        ema_momentum: The momentum of the weights' moving average; None keeps none.
        skip_non_finite: Whether steps whose gradients are not finite are skipped.

    Returns:
        The optimiser, in a `LossScaleOptimizer` where steps are skipped.
    """
    settings: dict[str, Any] = {"global_clipnorm": clip_norm}
    if ema_momentum is not None:
        settings |= {"use_ema": True, "ema_momentum": ema_momentum}
    if name == "adamw":
        optimizer = PoseAdamW(schedule, weight_decay=weight_decay, **settings)
    else:
        optimizer = PoseAdam(schedule, **settings)
    if not skip_non_finite:
        return optimizer
    # Keras' loss scaling skips such steps. Its factors are powers of two, which do not
    # change the digits of the gradients.
    return keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=1.0)


def adapt_optimizer(
    optimizer: keras.optimizers.Optimizer, model: PoseModel, body_factor: float
) -> None:
    """Sets which weights do not decay and which have another learning rate.

    Call it before `model.compile`, which creates the optimiser's variables.

    Args:
        optimizer: The optimiser that `make_optimizer` returned.
        model: The model to train. Layers that are frozen only in the first epochs must
            be trainable in it.
        body_factor: The factor of the body's learning rate.
    """
    inner: Any = getattr(optimizer, "inner_optimizer", optimizer)
    if inner.weight_decay:
        flat = [v for v in model.trainable_variables if len(v.shape) <= 1]
        inner.exclude_from_weight_decay(var_list=flat)
    if body_factor != 1.0:
        inner.slow_down(model.body.trainable_variables, body_factor)


def make_schedule(
    *,
    name: str,
    learning_rate: float,
    steps_per_epoch: int,
    epochs: int,
    drop_epochs: Sequence[int],
    drop_factor: float,
    warmup_steps: int,
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Makes the learning rate schedule of a run.

    Args:
        name: "step" falls by `drop_factor` after each of `drop_epochs`; "cosine" falls
            to 0 at the end of the run.
        learning_rate: The rate between the warm-up and the decay.
        steps_per_epoch: The number of optimiser steps in one epoch.
        epochs: The number of epochs of the run.
        drop_epochs: The epochs after which the rate of "step" falls.
        drop_factor: The factor of each drop of "step".
        warmup_steps: The number of steps in which the rate rises linearly.
    """
    if name == "step":
        return WarmupStepDecay(
            learning_rate, steps_per_epoch, drop_epochs, drop_factor, warmup_steps
        )
    steps = max(epochs * steps_per_epoch - warmup_steps, 1)
    if not warmup_steps:
        return keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    return keras.optimizers.schedules.CosineDecay(
        learning_rate / warmup_steps,
        steps,
        warmup_target=learning_rate,
        warmup_steps=warmup_steps,
    )
