"""`train.freeze_to_stride`: the body's first layers stay as they came."""

import keras
import numpy as np
import pytest

from qepose_tf.config.schema import Config
from qepose_tf.models.bodies import layers_up_to
from qepose_tf.models.hrnet import VARIANTS
from qepose_tf.skeleton import COCO
from qepose_tf.training.building import compile_model, frozen_layers, initial_model
from qepose_tf.training.callbacks.checkpoints import Checkpoints
from qepose_tf.training.callbacks.weights_copy import WeightsCopy
from qepose_tf.training.fitting import StepCount, fit
from qepose_tf.training.run_folder.resume import restore
from tests.micro_body import MICRO
from tests.training.devices.mirrored_losses import SIDE, STEPS, batches

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def micro_body(monkeypatch):
    """The same strides in a tenth of the layers."""
    monkeypatch.setitem(VARIANTS, "tiny", MICRO)


def config_of(stride, backbone="tiny", **train):
    return Config.model_validate(
        {
            "name": "x",
            "model": {"backbone": backbone, "input_size": SIDE},
            "train": {
                "warmup_steps": 0,
                "learning_rate": 1e-3,
                "optimizer": "adamw",
                "weight_decay": 0.1,
                "ema_momentum": 0.5,
                "freeze_to_stride": stride,
                **train,
            },
        }
    )


def started(config):
    """The model of a run as `qepose train` makes it."""
    keras.utils.set_random_seed(0)
    model = initial_model(config, COCO)
    compile_model(model, config, STEPS)
    model.run_eagerly = True
    return model


def run(config, folder, epochs):
    """Trains from the newest checkpoint if there is one; the model."""
    model = started(config)
    state, tensors = restore(model, folder, STEPS)
    copy = WeightsCopy(model)
    fit(
        model,
        state,
        [StepCount(state, tensors), Checkpoints(folder, state, copy)],
        lambda epoch, step: batches().skip(step).repeat(),
        epochs=epochs,
        frozen_epochs=config.train.freeze_backbone_epochs,
        frozen_layers=frozen_layers(model, config),
    )
    assert state.epoch == epochs
    return model, copy.updated()


def split(model, stride):
    """Weights that stay, statistics included, and those of the rest of the body."""
    first = {id(w) for layer in layers_up_to(model.body, stride) for w in layer.weights}
    weights = model.body.weights
    stay = [weight for weight in weights if id(weight) in first]
    return stay, [weight for weight in weights if id(weight) not in first]


def expect_frozen(model, start, stride):
    """Every weight of the first layers is as it was, every other one is not."""
    (stay, change), (stay_start, change_start) = (
        split(model, stride),
        split(start, stride),
    )
    assert stay and change
    assert any("moving_variance" in weight.path for weight in stay)
    for weight, former in zip(stay, stay_start, strict=True):
        np.testing.assert_array_equal(weight, former, weight.path)
    for weight, former in zip(change, change_start, strict=True):
        assert (np.array(weight) != np.array(former)).any(), weight.path


@pytest.mark.parametrize("frozen_epochs", [0, 1])
def test_through_the_run_and_when_it_goes_on(tmp_path, frozen_epochs):
    config = config_of(8, freeze_backbone_epochs=frozen_epochs)
    start = started(config)
    model, saved = run(config, tmp_path, 2)
    expect_frozen(model, start, 8)
    expect_frozen(saved, start, 8)
    again, _ = run(config, tmp_path, 3)
    assert again.optimizer.iterations == 3 * STEPS
    expect_frozen(again, start, 8)
    expect_frozen(again, model, 8)


def test_while_the_whole_body_is_frozen_all_of_it_stays(tmp_path):
    config = config_of(4, freeze_backbone_epochs=1)
    start = started(config)
    model, _ = run(config, tmp_path, 1)
    for weight, former in zip(model.body.weights, start.body.weights, strict=True):
        np.testing.assert_array_equal(weight, former, weight.path)


@pytest.mark.parametrize("stride", [4, 32])
def test_the_pyramid_is_trained_whatever_is_frozen(stride, tmp_path):
    config = config_of(stride, backbone="efficientnet_lite0")
    start, model = started(config), started(config)
    model.fit(batches().take(1), shuffle=False, verbose=0)
    _, change = split(model, stride)
    pyramid = [w for w in model.body.weights if w.path.startswith("pyramid_")]
    assert {id(w) for w in pyramid} <= {id(w) for w in change}
    expect_frozen(model, start, stride)


def test_without_it_nothing_is_frozen():
    config = config_of(None)
    model = started(config)
    assert frozen_layers(model, config) == []
    assert all(layer.trainable for layer in model.body.layers)
