"""Prints the losses of five training steps; a process of its own per strategy.

Logical devices are made before TensorFlow starts, and two MirroredStrategy objects in
one process crash. Usage:

    python -m tests.training.devices.mirrored_losses one_device|mirrored [key=value ...]

With config keys a smaller model trains as `qepose train` does, by `TrainStep`.
"""

import json
import sys

import keras
import numpy as np
import tensorflow as tf
import yaml

from qepose_tf.config.schema import Config
from qepose_tf.models.hrnet import VARIANTS
from qepose_tf.models.pose_estimator import MEAN, STD, PoseEstimator
from qepose_tf.skeleton import COCO
from qepose_tf.training.building import compile_model
from qepose_tf.training.callbacks.weights_copy import WeightsCopy
from qepose_tf.training.devices.strategy import make_strategy
from tests.micro_body import MICRO

SIDE, BATCH, STEPS = 64, 4, 5


class StepLosses(keras.callbacks.Callback):
    """The loss of each step, from the epoch's running means."""

    def on_train_begin(self, logs=None):
        self.losses = {"loss": [], "score_loss": [], "offset_loss": []}
        self.sums = dict.fromkeys(self.losses, 0.0)

    def on_train_batch_end(self, batch, logs=None):
        for name, losses in self.losses.items():
            losses.append(logs[name] * (batch + 1) - self.sums[name])
            self.sums[name] += losses[-1]


def batches():
    """People are spread unevenly: the devices' halves have 5 and 1, 0 and 3, ..."""
    rng = np.random.default_rng(0)
    count = BATCH * STEPS
    people = np.array([[3, 2, 1, 0], [0, 0, 2, 1], [1, 0, 0, 4], [0] * 4, [1] * 4])
    noise = rng.normal(size=(count, SIDE, SIDE, 3)).astype(np.float32)
    images = np.float32(MEAN) + np.float32(STD) * noise
    keypoints = rng.uniform(4, SIDE - 4, (count, 5, COCO.num_keypoints, 3))
    keypoints[..., 2] = rng.integers(0, 3, keypoints.shape[:-1])
    area = rng.uniform(300, 2000, (count, 5))
    area *= np.arange(5) < people.reshape(-1, 1)
    ignore = rng.random((count, SIDE // 4, SIDE // 4, 1)) < 0.1
    facts = {
        "keypoints": keypoints.astype(np.float32),
        "area": area.astype(np.float32),
        "ignore": ignore.astype(np.float32),
    }
    dataset = tf.data.Dataset.from_tensor_slices((images, facts))
    return dataset.batch(BATCH, drop_remainder=True)


def main(name, *keys):
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * 2,
    )
    keras.utils.set_random_seed(0)
    strategy = make_strategy(name, num_gpus=0)
    VARIANTS["tiny"] = MICRO
    with strategy.scope():
        model = PoseEstimator(
            COCO, backbone="tiny", input_size=SIDE, batch_norm={"synchronized": True}
        )
        if keys:
            train = {"warmup_steps": 0, **dict(map(_key_and_value, keys))}
            config = Config.model_validate({"name": "x", "train": train})
            compile_model(model, config, STEPS)
            return _report(strategy, model)
        # Not Adam: it divides by the gradient, so it would hide a wrong scale, and it
        # makes steps out of rounding where a gradient is all but 0. Rounding alone
        # (the batch in another order) moves some gradients here by 5 % of a layer's
        # largest.
        model.compile(optimizer=keras.optimizers.SGD(0.1), jit_compile=False)
    return _report(strategy, model)


def _key_and_value(word):
    key, _, value = word.partition("=")
    return key, yaml.safe_load(value)


def _report(strategy, model):
    steps = StepLosses()
    history = model.fit(batches(), callbacks=[steps], shuffle=False, verbose=0).history
    print(
        json.dumps(
            {
                "replicas": strategy.num_replicas_in_sync,
                "epoch": {name: values[0] for name, values in history.items()},
                "weights": [
                    float(np.abs(w).sum()) for w in WeightsCopy(model).updated().weights
                ],
                **steps.losses,
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
