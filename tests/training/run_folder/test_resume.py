import keras
import numpy as np
import pytest

from qepose_tf.training.callbacks.checkpoints import Checkpoints
from qepose_tf.training.callbacks.weights_copy import WeightsCopy
from qepose_tf.training.fitting import StepCount, fit
from qepose_tf.training.run_folder.resume import restore
from qepose_tf.training.run_folder.state import RunState
from tests.training.tiny_model import tiny_data, tiny_model

STEPS, EPOCHS = 5, 4


class Losses(keras.callbacks.Callback):
    """The running mean after each step, as exactly as it is."""

    def __init__(self):
        super().__init__()
        self.values = []

    def on_train_batch_end(self, batch, logs=None):
        self.values.append(logs["loss"])


class PowerCut(keras.callbacks.Callback):
    """Stands before the checkpoints: what the step did is lost."""

    def __init__(self, state, steps):
        super().__init__()
        self.state, self.steps = state, steps

    def on_train_batch_end(self, batch, logs=None):
        if self.state.total_steps == self.steps:
            raise RuntimeError("power cut")


def adam():
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([7], [0.1, 0.01])
    return keras.optimizers.Adam(schedule)


def batches(epoch, step):
    """Each epoch in another order."""
    data = tiny_data(STEPS)
    epochs = [data.shuffle(STEPS, seed=e).take(STEPS) for e in range(epoch, EPOCHS)]
    endless = epochs[0].skip(step)
    for other in epochs[1:]:
        endless = endless.concatenate(other)
    return endless


def model_with_body():
    model = tiny_model(adam())
    model.body = model.layers[-1]
    return model


def run(folder, cut=None, every=1):
    """Trains, from the newest checkpoint if there is one; returns model and losses."""
    model = model_with_body()
    state, tensors = restore(model, folder, STEPS)
    checkpoints = Checkpoints(folder, state, WeightsCopy(model), every)
    losses = Losses()
    chain = [StepCount(state, tensors), losses, PowerCut(state, cut), checkpoints]
    try:
        fit(model, state, chain, batches, epochs=EPOCHS)
    except RuntimeError:
        pass
    return model, losses.values, state


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return run(tmp_path_factory.mktemp("whole"))


@pytest.mark.slow
@pytest.mark.parametrize("cut", range(1, STEPS * EPOCHS, 3))
def test_a_run_goes_on_from_any_step_as_if_nothing_had_happened(tmp_path, whole, cut):
    """Weights, Adam's moments, schedule, running means and history, to the bit."""
    model, losses, state = whole
    _, before, _ = run(tmp_path, cut)
    again, after, restored = run(tmp_path)
    assert [*before[:-1], *after] == losses
    assert restored.history == state.history
    assert int(again.optimizer.iterations) == STEPS * EPOCHS
    for weight, expected in zip(again.weights, model.weights, strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_steps_behind_the_checkpoint_are_trained_again(tmp_path, whole):
    run(tmp_path, cut=14, every=4)
    _, after, _ = run(tmp_path)
    assert after == whole[1][10:]  # written after 4, 5, 9 and 10 steps


def test_an_epoch_that_was_not_yet_ended_is_ended(tmp_path, whole):
    """Stopped while it validated: all steps done, nothing logged."""
    model, losses, state = whole
    first = model_with_body()
    begun = RunState(STEPS)
    checkpoints = Checkpoints(tmp_path, begun, WeightsCopy(first))

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                checkpoints.save()
                raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        fit(first, begun, [StepCount(begun), Stop(), checkpoints], batches, epochs=4)
    again, after, restored = run(tmp_path)
    assert after == losses[10:]
    assert restored.history == state.history
    np.testing.assert_array_equal(again.weights[0], model.weights[0])


def test_another_number_of_steps_begins_the_epoch_anew(tmp_path):
    run(tmp_path, cut=8)
    state, _ = restore(model_with_body(), tmp_path, 3)
    assert (state.epoch, state.step, state.steps_per_epoch) == (1, 0, 3)


def test_early_stopping_ends_the_run(tmp_path):
    class Enough(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    model, state = model_with_body(), RunState(STEPS)
    checkpoints = Checkpoints(tmp_path, state, WeightsCopy(model))
    chain = [StepCount(state), Enough(), checkpoints]
    fit(model, state, chain, batches, epochs=EPOCHS)
    assert state.epoch == 2


def test_frozen_epochs_keep_the_body(tmp_path):
    model, state = model_with_body(), RunState(STEPS)
    model.add(keras.layers.Dense(1))
    model.compile(adam(), "mse", jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    bodies = []
    note = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: bodies.append(model.body.get_weights()[0])
    )
    start = model.body.get_weights()[0]
    checkpoints = Checkpoints(tmp_path, state, WeightsCopy(model))
    chain = [StepCount(state), note, checkpoints]
    fit(model, state, chain, batches, epochs=3, frozen_epochs=2)
    np.testing.assert_array_equal(bodies[0], start)
    np.testing.assert_array_equal(bodies[1], start)
    assert np.abs(bodies[2] - start).max() > 0
    assert [row["epoch"] for row in state.history] == [0, 1, 2]
