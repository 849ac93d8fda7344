"""What Keras' `fit` lacks for `MultiWorkerMirroredStrategy`.

Both were found on Keras 3.15 with TensorFlow 2.20;
tests/training/devices/test_multi_worker.py tells when they can go.

1. Before its first step `fit` takes a batch and builds the model with it
   (`TensorFlowTrainer._maybe_symbolic_build`): it takes the mean of the replicas'
   parts, which a value of several workers does not have. A functional model that was
   compiled without Keras' losses and metrics has nothing to be built.
2. After each step `fit` takes the mean of the logs along their first axis
   (`reduce_per_replica`), which a scalar does not have.
"""

from typing import Any

import keras
import tensorflow as tf


def leave_out_symbolic_build(model: keras.Model) -> None:
    """Mend 1; no batch is read in vain with any other strategy either."""
    model._maybe_symbolic_build = lambda iterator=None, data_batch=None: None


def with_an_axis(logs: dict[str, Any]) -> dict[str, Any]:
    """Mend 2, in the replicas of several workers; elsewhere the logs as they are."""
    strategy = tf.distribute.get_strategy()
    # The class and the mode that Keras asks for.
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return logs
    if not strategy.extended._in_multi_worker_mode():
        return logs
    return {name: tf.reshape(value, [1]) for name, value in logs.items()}
