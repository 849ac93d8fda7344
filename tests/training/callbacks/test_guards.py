import weakref
from multiprocessing.pool import ThreadPool

import keras
import numpy as np
import pytest
import tensorflow as tf

from qepose_tf.training.callbacks.guards import (
    NonFinite,
    readable_op_errors,
    weights_are_finite,
)
from tests.training.tiny_model import fit, fit_counted, state_of, tiny_data, tiny_model


def fit_guarded(model, data, epochs=1, before=(), after=(), **settings):
    state = state_of(data)
    guard = NonFinite(state, epochs, **settings)
    return fit_counted(model, data, state, [*before, guard, *after], epochs)


def test_a_finite_run_is_left_alone():
    model = tiny_model()
    fit_guarded(model, tiny_data(3), epochs=1)
    fit_guarded(model, tiny_data(3), epochs=1)
    assert int(model.optimizer.iterations) == 6


def test_names_the_step_of_a_nan():
    model = tiny_model()
    message = "the loss became NaN or infinite in epoch 1 of 2, step 4 of 7 "
    with pytest.raises(ValueError, match=message) as error:
        data = tiny_data(7, broken_step=4)
        fit_guarded(
            model, data, epochs=2, images=lambda epoch, step: [epoch, 10 * step]
        )
    assert "(images 0, 30);" in str(error.value)
    assert int(model.optimizer.iterations) == 4
    assert "train.learning_rate" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("broken, steps", [(5, "4 to 6"), (7, "7")])
def test_names_the_range_of_steps_that_ran_as_one(broken, steps):
    model = tiny_model(steps_per_execution=3)
    match = f"epoch 1 of 1, steps? {steps} of 7"
    with pytest.raises(ValueError, match=match):
        fit_guarded(model, tiny_data(7, broken_step=broken))


def test_an_absurd_learning_rate_is_caught():
    model = tiny_model(keras.optimizers.SGD(1e30))
    with pytest.raises(ValueError, match="the loss became NaN or infinite in epoch 1"):
        fit_guarded(model, tiny_data(5))


class Hidden(keras.layers.Layer):
    """Has a weight that the loss does not see, as fused kernels hide a NaN."""

    def build(self, input_shape):
        self.weight = self.add_weight(shape=(), trainable=False)

    def call(self, inputs):
        return inputs


class Poison(keras.callbacks.Callback):
    def __init__(self, step):
        super().__init__()
        self.step = step

    def on_train_batch_begin(self, batch, logs=None):
        if batch + 1 == self.step:
            self.model.layers[0].weight.assign(np.nan)


@pytest.mark.parametrize(
    "broken, steps", [(3, "steps 1 to 4"), (5, "steps 5 to 8"), (9, "step 9")]
)
def test_broken_weights_behind_a_sound_loss_are_found(broken, steps):
    saved = []
    later = keras.callbacks.LambdaCallback(on_epoch_end=lambda *args: saved.append(1))
    model = keras.Sequential([keras.Input((2,)), Hidden(), keras.layers.Dense(1)])
    model.compile("sgd", "mse", jit_compile=False)
    match = f"weights became NaN or infinite in epoch 1 of 1, {steps} of 9;"
    with pytest.raises(ValueError, match=match):
        fit_guarded(
            model, tiny_data(9), before=[Poison(broken)], after=[later], every=4
        )
    assert not saved


def test_finite_weights():
    model = tiny_model()
    assert weights_are_finite(model)
    model.weights[1].assign(np.array([np.inf], np.float32))
    assert not weights_are_finite(model)


def test_a_broken_image_in_the_pipeline_is_one_line():
    def read(index):
        if index == 3:
            raise ValueError("images/4.jpg: broken image, truncated")
        return np.zeros((2, 2), np.float32)

    def load(index):
        inputs = tf.ensure_shape(tf.numpy_function(read, [index], tf.float32), (2, 2))
        return inputs, inputs[:, :1]

    data = tf.data.Dataset.range(5).map(load)
    with pytest.raises(ValueError) as error, readable_op_errors():
        fit(tiny_model(), data, [])
    message = "training stopped: ValueError: images/4.jpg: broken image, truncated"
    assert str(error.value) == message


def test_other_errors_pass():
    with pytest.raises(KeyError), readable_op_errors():
        raise KeyError("mine")


# A pool that is freed while it runs warns; TensorFlow's would, too.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:unclosed running multiprocessing pool")
def test_what_a_failed_sum_over_workers_leaves_open_is_let_go():
    pools = []

    def all_reduce(_):
        raise tf.errors.UnavailableError(None, None, "Connection reset by peer")

    def training_step():
        pool = ThreadPool(1)
        pools.append(weakref.ref(pool))
        try:
            pool.map(all_reduce, [0])
        except tf.errors.UnavailableError as error:
            raise tf.errors.InternalError(None, None, "Collective op") from error
        pool.close()

    with pytest.raises(ValueError, match="another worker is gone .Collective op.;"):
        with readable_op_errors(several_workers=True):
            training_step()
    assert len(pools) == 1 and pools[0]() is None
