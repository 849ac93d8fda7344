"""A packed batch trains as a padded one: the same losses, metrics and gradients."""

import keras
import numpy as np
import pytest
from keras import ops

from qepose_tf.models import image_model
from qepose_tf.models.pose_estimator import PoseEstimator
from qepose_tf.ops.facts import Facts
from qepose_tf.skeleton import COCO
from tests.backends import needs_tensorflow, to_numpy, value_and_gradients
from tests.models.conftest import PAIR, random_facts, random_images

pytestmark = [
    needs_tensorflow,  # other backends have no packed arrays
    pytest.mark.usefixtures("shallow_body"),
]
SIDE = 64


def spread(*people):
    """A batch with so many people in each image, padded to the largest number."""
    facts = random_facts(len(people), max(people), 2, SIDE)
    facts["area"] *= np.arange(max(people)) < np.array(people)[:, None]
    # What stands in padding is nobody's business.
    facts["keypoints"][facts["area"] == 0] = np.nan
    facts["ignore"][:, :, :3] = 1
    return facts


def model_of(head=None, loss=None):
    keras.utils.set_random_seed(0)
    small = {"keypoint_channels": 4, "instance_channels": 8}
    return PoseEstimator(
        PAIR, backbone="tiny", input_size=SIDE, head=small | (head or {}), loss=loss
    )


def trained_by(model, facts, packed, monkeypatch):
    """Loss, gradients, metrics and moving statistics of one batch."""
    monkeypatch.setattr(image_model, "sizes_may_vary", lambda: packed)
    assert not model.jit_compile
    before = [np.array(weight) for weight in model.weights]
    images = ops.convert_to_tensor(random_images(len(facts["area"]), SIDE, SIDE))
    model.reset_metrics()

    def loss():
        outputs = model(images, training=True)
        return model.compute_loss(x=images, y=facts, y_pred=outputs)

    value, gradients = value_and_gradients(loss, model.trainable_variables)
    metrics = {metric.name: float(metric.result()) for metric in model.metrics}
    statistics = to_numpy([w.value for w in model.non_trainable_variables])
    for weight, former in zip(model.weights, before, strict=True):
        weight.assign(former)
    return value, gradients, metrics, statistics


def expect_the_same(model, facts, monkeypatch):
    packed = trained_by(model, facts, True, monkeypatch)
    padded = trained_by(model, facts, False, monkeypatch)
    assert packed[0] == pytest.approx(padded[0], rel=1e-5)
    assert packed[2] == pytest.approx(padded[2], rel=1e-5, abs=1e-6)
    for number in (1, 3):
        for found, expected in zip(packed[number], padded[number], strict=True):
            size = max(1.0, np.abs(expected).max())
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * size)
    return packed


@pytest.fixture(scope="module")
def model():
    return model_of()


@pytest.mark.parametrize("people", [(3, 3, 3), (60, 0, 0), (1, 0, 2)])
def test_however_people_are_spread(model, people, monkeypatch):
    _, gradients, metrics, _ = expect_the_same(model, spread(*people), monkeypatch)
    assert all(np.abs(gradient).max() > 0 for gradient in gradients)
    assert metrics["oks"] > 0


@pytest.mark.parametrize("padding", [0, 2])
def test_a_batch_that_shows_nobody(model, padding, monkeypatch):
    facts = spread(padding, padding)
    facts["area"] *= 0
    value, gradients, metrics, _ = expect_the_same(model, facts, monkeypatch)
    assert value > 0 and metrics["oks"] == 0
    assert all(np.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"loss": {"instance_label": "gaussian"}},
        {"loss": {"instance_label": "discrete"}},
        {"head": {"quality_branch": True}},
        {
            "head": {"keypoint_query_encoding": False},
            "loss": {"score_normaliser": "cells"},
        },
    ],
)
def test_whatever_the_model_is_taught(settings, monkeypatch):
    expect_the_same(model_of(**settings), spread(3, 0, 1), monkeypatch)


def test_a_packed_row_holds_the_owned_cells_alone(model):
    facts = spread(60, 0, 1)
    where = facts["keypoints"], facts["area"], (16, 16)
    padded = to_numpy(model.cir_target.locate(*where))
    packed = to_numpy(model.cir_target.locate(*where, packed=True))
    owned = padded.owned > 0
    assert packed.owned.shape == (1, owned.sum() + 1)
    np.testing.assert_array_equal(packed.owned[0, :-1], 1)
    assert packed.owned[0, -1] == 0
    for name in ("images", "cells", "distance2", "keypoints", "area"):
        expected = getattr(padded, name)[owned]
        np.testing.assert_array_equal(getattr(packed, name)[0, :-1], expected, name)
    np.testing.assert_array_equal(np.unique(packed.images), [0, 2])


def located_shape(model, facts):
    """The shape of Omega as `compute_loss` asks for it."""
    outputs = model(random_images(len(facts["area"]), SIDE, SIDE), training=False)
    omega, poses = model.poses_in_omega(Facts.of(facts), outputs)
    assert poses.shape[:2] == omega.owned.shape
    return tuple(omega.owned.shape)


def test_compiled_by_xla_omega_is_padded(model, monkeypatch):
    """Keras keeps `jit_compile` False while a layer refuses it, so it is set here."""
    facts = spread(3, 0, 1)
    assert located_shape(model, facts)[0] == 1
    monkeypatch.setattr(model, "_jit_compile", True)
    assert located_shape(model, facts) == (3, 3 * 45)


@pytest.mark.slow
def test_on_a_tpu_omega_is_padded_and_the_loss_compiles(model, monkeypatch):
    """No machine of the tests has a TPU: XLA on the CPU has the same limits."""
    import tensorflow as tf

    facts = {name: tf.constant(fact) for name, fact in spread(3, 0, 1).items()}
    outputs = model(random_images(3, SIDE, SIDE), training=True)
    names = ("score_map", "keypoint_features", "query_offsets")
    outputs = {name: tf.convert_to_tensor(outputs[name]) for name in names}

    def loss_and_gradients(jit_compile):
        # A new function each time: a trace is made for one kind of device.
        def run():
            with tf.GradientTape() as tape:
                tape.watch(outputs)
                loss = model.compute_loss(y=facts, y_pred=outputs)
            return loss, tape.gradient(loss, outputs)

        statistics = [np.array(weight) for weight in model.non_trainable_weights]
        found = to_numpy(tf.function(run, jit_compile=jit_compile)())
        for weight, former in zip(model.non_trainable_weights, statistics, strict=True):
            weight.assign(former)
        return found

    loss, gradients = loss_and_gradients(jit_compile=False)
    tpu = object.__new__(tf.distribute.TPUStrategy)
    monkeypatch.setattr(tf.distribute, "get_strategy", lambda: tpu)
    assert located_shape(model, facts) == (3, 3 * 45)
    compiled_loss, compiled = loss_and_gradients(jit_compile=True)
    assert compiled_loss == pytest.approx(loss, rel=1e-5)
    for name in names:
        size = np.abs(gradients[name]).max()
        assert size > 0
        np.testing.assert_allclose(compiled[name], gradients[name], atol=1e-5 * size)


@pytest.mark.slow
def test_a_keypoint_that_is_never_labelled_moves_none_of_its_own_weights(monkeypatch):
    keras.utils.set_random_seed(0)
    model = PoseEstimator(COCO, backbone="tiny", input_size=SIDE)
    facts = random_facts(2, 3, 17, SIDE)
    facts["keypoints"][:, :, 5, 2] = 0
    variables = model.trainable_variables
    # Kernels and biases of a keypoint have the keypoints as their first axis.
    own = {
        id(v): v.path for v in model.encoding.trainable_variables if v.shape[0] == 17
    }
    assert len(own) == 5
    for packed in (True, False):
        gradients = trained_by(model, facts, packed, monkeypatch)[1]
        found = {id(v): g for v, g in zip(variables, gradients, strict=True)}
        for number, path in own.items():
            assert not found[number][5].any(), path
            assert found[number][4].any() and found[number][6].any(), path
