"""Workarounds for Keras' `fit` with `MultiWorkerMirroredStrategy`.

Both are needed with Keras 3.15 and TensorFlow 2.20;
tests/training/devices/test_multi_worker.py shows when they can be removed.

1. Before its first step, `fit` builds the model with one batch
   (`TensorFlowTrainer._maybe_symbolic_build`). This takes the mean over the replicas,
   which fails with several workers. A functional model that is compiled without Keras'
   losses and metrics does not need this build.
2. After each step, `fit` takes the mean of the logs along their first axis
   (`reduce_per_replica`), which a scalar does not have.
"""

from typing import Any

import keras
import tensorflow as tf


def leave_out_symbolic_build(model: keras.Model) -> None:
    """Workaround 1; it also saves the reading of one batch with other strategies."""
    model._maybe_symbolic_build = lambda iterator=None, data_batch=None: None


def with_an_axis(logs: dict[str, Any]) -> dict[str, Any]:
    """Workaround 2; without several workers it returns the logs unchanged."""
    strategy = tf.distribute.get_strategy()
    # Keras checks the same class and mode.
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return logs
    if not strategy.extended._in_multi_worker_mode():
        return logs
    return {name: tf.reshape(value, [1]) for name, value in logs.items()}
