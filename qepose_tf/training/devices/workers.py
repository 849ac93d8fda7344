"""Several workers that train together: the chief, agreement, and shares of data."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def several(strategy: tf.distribute.Strategy) -> bool:
    """Tells whether other processes train with this one."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return False
    cluster = strategy.cluster_resolver.cluster_spec().as_dict()
    return sum(map(len, cluster.values())) > 1


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Tells whether this process writes the run's files."""
    if not several(strategy):
        return True
    resolver = strategy.cluster_resolver
    has_chief = "chief" in resolver.cluster_spec().as_dict()
    return resolver.task_type == "chief" or (
        not has_chief and resolver.task_type == "worker" and resolver.task_id == 0
    )


class Agreement:
    """Exchanges numbers between all workers.

    Every worker must call the methods at the same step, because each call waits for
    the other workers.

    Args:
        strategy: The distribution strategy of the run.
    """

    def __init__(self, strategy: tf.distribute.Strategy):
        self.several = several(strategy)
        self.chief = is_chief(strategy)
        self._strategy = strategy

    def largest(self, number: int) -> int:
        """Returns the largest of all workers' numbers, each of which is at least 0."""
        if not self.several:
            return number
        return int(self._largest(tf.constant(number, tf.float64)))

    def of_chief(self, number: int) -> int:
        """Returns the chief's number, which is at least 0, on every worker."""
        return self.largest(number if self.chief else 0)

    @tf.function(autograph=False)
    def _largest(self, number: tf.Tensor) -> tf.Tensor:
        def gathered() -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            return tf.reduce_max(context.all_gather(tf.expand_dims(number, 0), axis=0))

        found = self._strategy.run(gathered)
        return self._strategy.experimental_local_results(found)[0]


def distributed(
    strategy: tf.distribute.Strategy, batches: Callable[..., tf.data.Dataset]
) -> Callable[[int, int], Any]:
    """Makes data sets of which each worker reads only its own part.

    With a single worker, Keras splits each batch among the replicas.

    Args:
        strategy: The distribution strategy of the run.
        batches: A function of `(epoch, step, shard, pieces)`, see `train_dataset`.

    Returns:
        A function of `(epoch, step)`.
    """
    if not several(strategy):
        return batches

    def of_worker(epoch: int, step: int) -> tf.distribute.DistributedDataset:
        def part(context: tf.distribute.InputContext) -> tf.data.Dataset:
            shard = context.input_pipeline_id, context.num_input_pipelines
            pieces = context.num_replicas_in_sync // context.num_input_pipelines
            return batches(epoch, step, shard, pieces)

        return strategy.distribute_datasets_from_function(part)

    return of_worker
