"""A Keras model small enough to fit in no time."""

import keras
import numpy as np
import tensorflow as tf

from qepose_tf.training.fitting import StepCount
from qepose_tf.training.run_folder.state import RunState


def tiny_model(optimizer="sgd", steps_per_execution=1):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(
        optimizer=optimizer,
        loss="mse",
        steps_per_execution=steps_per_execution,
        jit_compile=False,
    )
    model.optimizer.build(model.trainable_variables)
    return model


def tiny_data(steps, broken_step=None):
    """`steps` batches of 2; one may hold a NaN. Steps count from 1."""
    inputs = np.random.default_rng(0).normal(size=(2 * steps, 2)).astype(np.float32)
    if broken_step is not None:
        inputs[2 * broken_step - 1, 0] = np.nan
    return tf.data.Dataset.from_tensor_slices((inputs, inputs[:, :1])).batch(2)


def fit(model, data, callbacks, epochs=1):
    return model.fit(data, epochs=epochs, callbacks=callbacks, shuffle=False, verbose=0)


def state_of(data):
    return RunState(steps_per_epoch=int(data.cardinality()))


def fit_counted(model, data, state, callbacks, epochs=1):
    """`fit` with callbacks that look at the run's state."""
    return fit(model, data, [StepCount(state), *callbacks], epochs)
