import keras
import numpy as np
import pytest
import tensorflow as tf

from qepose_tf.config.schema import Config
from qepose_tf.models.pose_estimator import PoseEstimator
from qepose_tf.ops.facts import Facts
from qepose_tf.skeleton import COCO
from qepose_tf.training.building import compile_model
from tests.training.devices.mirrored_losses import SIDE, batches

STEPS = 50
# Of the mean loss of ten steps, as a share of float32's.
BAND = 0.01
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("shallow_body")]


def corner(images, facts):
    """A quarter of each image: convolutions in float16 are slow on CPUs."""
    half = SIDE // 2
    ignore = facts["ignore"][:, : half // 4, : half // 4]
    return images[:, :half, :half], {**facts, "ignore": ignore}


def losses_of(precision):
    """The loss of each of the first steps, and the model."""
    keras.utils.set_random_seed(0)
    model = PoseEstimator(COCO, backbone="tiny", input_size=SIDE, dtype=precision)
    train = {"warmup_steps": 20, "precision": precision}
    compile_model(model, Config.model_validate({"name": "x", "train": train}), 5)
    found = []

    class Losses(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            found.append(logs["loss"])
            self.model.reset_metrics()

    data = batches().map(corner).repeat()
    settings = {"steps_per_epoch": STEPS, "shuffle": False, "verbose": 0}
    model.fit(data, callbacks=[Losses()], **settings)
    return np.array(found), model


@pytest.fixture(scope="module")
def float32(shallow_body):
    return losses_of("float32")[0]


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_the_first_fifty_losses_follow_float32(float32, precision):
    found, model = losses_of(precision)
    tens, expected = (x.reshape(-1, 10).mean(axis=1) for x in (found, float32))
    assert len(tens) == 5 and np.isfinite(found).all()
    np.testing.assert_allclose(tens, expected, rtol=BAND)
    assert expected[-1] < 0.96 * expected[0], "it learns by more than the band"
    scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (precision == "mixed_float16")
    images, facts = next(iter(batches()))
    outputs = model(images, training=False)
    omega, poses = model.poses_in_omega(Facts.of(facts), outputs)
    target, weight, quality = model.cir_target(poses, omega, facts["ignore"])
    loss = model.compute_loss(x=images, y=facts, y_pred=outputs, training=False)
    floats = [poses, omega.keypoints, target, weight, quality, loss]
    floats += [outputs["poses"], outputs["scores"]]
    assert {tensor.dtype for tensor in floats} == {tf.float32}
