"""What a computation must know of the devices that it runs on."""

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


def sizes_may_vary() -> bool:
    """Tells whether an array's size may differ from step to step.

    Only TensorFlow has such arrays, and none on TPUs, whose programs are compiled for
    fixed sizes. Whether a model is compiled by XLA elsewhere is for the model to say.
    """
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    tpu = tf.distribute.TPUStrategy, tf.distribute.experimental.TPUStrategy
    return not isinstance(tf.distribute.get_strategy(), tpu)
