"""One process of a run, TF_CONFIG as it is.

`python -m tests.training.devices.worker CONFIG`

Prints the losses of its steps as JSON. A mirrored run gets two CPU devices.
"""

import json
import logging
import sys

import keras
import tensorflow as tf

from qepose_tf.cli.terminal import guarded
from qepose_tf.config.reading import load_config
from qepose_tf.models.hrnet import VARIANTS
from tests.micro_body import MICRO


class StepLosses(keras.callbacks.Callback):
    """The running means after each step."""

    def __init__(self):
        super().__init__()
        self.logs = []

    def on_train_batch_end(self, batch, logs=None):
        self.logs.append({name: float(value) for name, value in logs.items()})


def main(path):
    logging.basicConfig(format="%(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("qepose_tf").setLevel(logging.INFO)
    # What is tested is how the workers talk; tracing a larger body takes most of a run.
    VARIANTS["tiny"] = MICRO
    config = load_config(path)
    if config.train.strategy == "mirrored":
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * 2,
        )
    from qepose_tf.training.run import train

    steps = StepLosses()
    result = train(config, progress=False, callbacks=[steps])
    print(json.dumps({"steps": steps.logs, "history": result.history}))


if __name__ == "__main__":
    sys.exit(guarded(lambda: main(sys.argv[1])))
