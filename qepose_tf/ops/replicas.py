"""Sums across the replicas of a tf.distribute strategy."""

import keras


def replica_sum(value):
    """Sums a value over all replicas; outside a strategy it is returned as it is.

    A loss divided by this global count, and then summed over replicas as Keras sums
    gradients, is the loss of one device on the whole batch.
    """
    if keras.backend.backend() != "tensorflow":
        return value
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return value
    return context.all_reduce(tf.distribute.ReduceOp.SUM, value)
