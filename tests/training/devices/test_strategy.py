import logging

import pytest
import tensorflow as tf

from qepose_tf.training.devices.strategy import make_strategy

# What the machine that runs the tests has does not matter: they stay on the CPU.
GPUS = tf.config.list_physical_devices("GPU")


def test_mirrored_falls_back_to_one_device_and_says_so(caplog):
    with caplog.at_level(logging.INFO, logger="qepose_tf"):
        strategy = make_strategy("mirrored", 0)
    assert isinstance(strategy, tf.distribute.OneDeviceStrategy)
    assert strategy.extended.worker_devices[0].endswith("CPU:0")
    assert [r.getMessage() for r in caplog.records] == [
        "strategy mirrored: fewer than 2 GPUs, training on one device (CPU:0)"
    ]


def test_one_device_is_what_it_says():
    strategy = make_strategy("one_device", 0)
    assert isinstance(strategy, tf.distribute.OneDeviceStrategy)


def test_off_is_the_default_strategy():
    assert make_strategy("off", 0) is tf.distribute.get_strategy()
    assert make_strategy("off", 0).num_replicas_in_sync == 1


@pytest.mark.parametrize("name", ["mirrored", "one_device", "off"])
def test_more_gpus_than_there_are_is_an_error(name):
    with pytest.raises(ValueError, match=r"train.num_gpus: expected at most the"):
        make_strategy(name, len(GPUS) + 1)


def test_an_unknown_strategy_is_one_clear_line():
    with pytest.raises(ValueError, match="train.strategy: cannot set up horovod") as e:
        make_strategy("horovod", 0)
    assert "\n" not in str(e.value)
