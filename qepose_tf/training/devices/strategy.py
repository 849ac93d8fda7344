"""Makes the `tf.distribute` strategy of a config on the available devices."""

import logging

import tensorflow as tf

logger = logging.getLogger(__name__)


def make_strategy(
    name: str = "mirrored", num_gpus: int | None = None
) -> tf.distribute.Strategy:
    """Makes a strategy by `official.common.distribute_utils`.

    "mirrored" uses all GPUs (or the first `num_gpus`) or, on a machine without GPU, the
    logical CPU devices if several are configured. With fewer than two devices it uses
    one device and logs this.

    Args:
        name: "off", "one_device", "mirrored", "multi_worker_mirrored" or "tpu".
        num_gpus: The number of GPUs to use; None means all of them, 0 the CPU.

    Raises:
        ValueError: The machine has fewer than `num_gpus` GPUs, or the strategy is not
            available.
    """
    # Listing logical devices initialises TensorFlow, which several workers must not do
    # before they are connected.
    together = name == "multi_worker_mirrored"
    listed = (
        tf.config.list_physical_devices if together else tf.config.list_logical_devices
    )
    gpus = len(listed("GPU"))
    if num_gpus is not None and num_gpus > gpus:
        raise ValueError(
            f"train.num_gpus: expected at most the {gpus} GPUs of this machine, "
            f"got {num_gpus}"
        )
    used = gpus if num_gpus is None else num_gpus
    if name == "mirrored":
        cpus = [device.name for device in tf.config.list_logical_devices("CPU")]
        if used == 0 and len(cpus) > 1:
            # distribute_utils supports only one CPU.
            return tf.distribute.MirroredStrategy(cpus)
        if used < 2:
            device = "GPU:0" if used else "CPU:0"
            logger.info(
                "strategy mirrored: fewer than 2 GPUs, training on one device (%s)",
                device,
            )
            name = "one_device"
    elif name in ("off", "one_device"):
        if num_gpus is not None and num_gpus > 1:
            raise ValueError(
                f"train.num_gpus: expected 0 or 1 with strategy {name}, got {num_gpus}"
            )
        used = min(used, 1)
    return _official_strategy(name, used)


def _official_strategy(name: str, num_gpus: int) -> tf.distribute.Strategy:
    try:
        # Imported here because it takes seconds and only training needs it.
        from official.common import distribute_utils
    except ModuleNotFoundError as error:
        raise ValueError(
            f"training needs the extra packages of 'qepose-tf[train]': {error}"
        ) from None
    try:
        return distribute_utils.get_distribution_strategy(
            name, num_gpus=num_gpus, tpu_address="" if name == "tpu" else None
        )
    except (ValueError, tf.errors.OpError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"train.strategy: cannot set up {name}: {reason}") from error
