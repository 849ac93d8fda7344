import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from qepose_tf.config.schema import Config
from qepose_tf.layers.cell_norm import CellNorm
from qepose_tf.models.pose_estimator import PoseEstimator
from qepose_tf.skeleton import COCO
from qepose_tf.training.building import compile_model
from qepose_tf.training.callbacks.guards import NonFinite
from qepose_tf.training.callbacks.weights_copy import WeightsCopy
from qepose_tf.training.run_folder.state import RunState
from tests.training.devices.mirrored_losses import SIDE, STEPS, batches
from tests.training.tiny_model import fit_counted

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("micro_body")]


def compiled(frozen_norms=False, eagerly=True, **train):
    """Tracing a step takes longer than some steps without."""
    keras.utils.set_random_seed(0)
    model = PoseEstimator(COCO, backbone="tiny", input_size=SIDE)
    settings = {"warmup_steps": 0, "learning_rate": 1e-3, **train}
    config = Config.model_validate({"name": "x", "train": settings})
    if frozen_norms:
        for layer in model._flatten_layers():
            if isinstance(layer, keras.layers.BatchNormalization | CellNorm):
                layer.trainable = False
    compile_model(model, config, STEPS)
    model.run_eagerly = eagerly
    return model


def stepped(model, steps=1):
    """The logs after some steps."""
    data = batches().take(steps)
    return model.fit(data, shuffle=False, verbose=0).history


def changes(model, weights):
    return [
        np.asarray(weight) - before
        for weight, before in zip(model.trainable_weights, weights, strict=True)
    ]


def trained(model, steps=1):
    before = [np.array(weight) for weight in model.trainable_weights]
    logs = stepped(model, steps)
    return logs, changes(model, before)


def gradients(model):
    """Of the first batch, by Keras' own way."""
    images, facts = next(iter(batches()))
    with tf.GradientTape() as tape:
        loss = model.compute_loss(
            x=images, y=facts, y_pred=model(images, training=True)
        )
    return tape.gradient(loss, model.trainable_weights)


def test_a_step_is_keras_own():
    ours, theirs = compiled(eagerly=False), compiled(eagerly=False)
    del theirs.train_step
    assert theirs.train_step.__func__ is keras.Model.train_step
    logs, change = trained(ours, 2)
    expected_logs, expected = trained(theirs, 2)
    assert not expected_logs.pop("gradient_norm")[0], "it is not Keras' own"
    for name, values in expected_logs.items():
        assert logs[name] == pytest.approx(values, rel=1e-6), name
    for ours_, theirs_ in zip(change, expected, strict=True):
        np.testing.assert_allclose(ours_, theirs_, rtol=0, atol=2e-6)


def test_the_gradient_norm_is_that_of_all_gradients():
    expected = float(tf.linalg.global_norm(gradients(compiled())))
    assert stepped(compiled())["gradient_norm"] == pytest.approx([expected], rel=1e-4)


@pytest.mark.parametrize("parts", [2, 4])
def test_a_batch_in_parts_has_the_gradient_of_the_whole(parts):
    """With given batch statistics; Adam's first moment is 0.1 of the gradient."""
    whole = compiled(frozen_norms=True)
    logs = stepped(whole)
    part = compiled(frozen_norms=True, accumulate=parts)
    part_logs = stepped(part)
    for name in ("loss", "score_loss", "offset_loss", "oks", "gradient_norm"):
        assert part_logs[name] == pytest.approx(logs[name], rel=2e-4), name
    for moment, expected in zip(
        part.optimizer._momentums, whole.optimizer._momentums, strict=True
    ):
        size = max(np.abs(expected).max(), 1e-6)
        np.testing.assert_allclose(moment, expected, rtol=0, atol=2e-3 * size)


def test_clipping_bounds_the_norm():
    """Adam's first moment is 0.1 of the gradient that it is given."""
    norm = stepped(compiled())["gradient_norm"][0]
    model = compiled(gradient_clip_norm=0.25 * norm)
    assert stepped(model)["gradient_norm"] == pytest.approx([norm], rel=1e-4)
    clipped = [10.0 * np.asarray(moment) for moment in model.optimizer._momentums]
    found = np.sqrt(sum(np.square(gradient).sum() for gradient in clipped))
    assert found == pytest.approx(0.25 * norm, rel=1e-3)


def test_the_body_learns_at_its_own_rate():
    plain, slow = compiled(), compiled(backbone_rate_factor=0.1)
    (_, whole), (_, tenth) = trained(plain), trained(slow)
    body = {id(weight) for weight in slow.body.trainable_weights}
    assert 0 < len(body) < len(whole)
    for weight, a, b in zip(slow.trainable_weights, whole, tenth, strict=True):
        factor = 0.1 if id(weight) in body else 1.0
        np.testing.assert_allclose(b, factor * a, rtol=1e-2, atol=2e-7)


def test_adamw_shrinks_kernels_alone():
    start = [np.array(weight) for weight in compiled().trainable_weights]
    _, plain = trained(compiled())
    _, decayed = trained(compiled(optimizer="adamw", weight_decay=0.5))
    for weight, a, b in zip(start, plain, decayed, strict=True):
        expected = -0.5 * 1e-3 * weight if weight.ndim > 1 else 0.0
        np.testing.assert_allclose(b - a, expected, rtol=0, atol=2e-6)


def test_averages_follow_the_weights_and_their_statistics():
    model = compiled(ema_momentum=0.75)
    kernel = model.trainable_weights[0]
    mean = next(w for w in model.non_trainable_weights if w.name == "moving_mean")
    seen = {kernel.path: [], mean.path: []}

    def note(batch, logs):
        for weight in (kernel, mean):
            seen[weight.path].append(np.array(weight))

    callback = keras.callbacks.LambdaCallback(on_train_batch_end=note)
    model.fit(batches().take(3), shuffle=False, verbose=0, callbacks=[callback])
    copy = {w.path: np.array(w) for w in WeightsCopy(model).updated().weights}
    for weight in (kernel, mean):
        average, *later = seen[weight.path]
        for value in later:
            average = 0.75 * average + 0.25 * value
        np.testing.assert_allclose(copy[weight.path], average, rtol=1e-5, atol=1e-7)
        np.testing.assert_array_equal(weight, seen[weight.path][-1])
        assert np.abs(average - seen[weight.path][-1]).max() > 1e-6


def broken_batches(step):
    """The images of one step, from 0, hold a NaN."""

    def spoil(number, batch):
        images, facts = batch
        return tf.where(number == step, np.nan, images), facts

    return batches().enumerate().map(spoil)


def test_a_step_without_numbers_is_named_with_its_images():
    model, state = compiled(), RunState(STEPS)
    guard = NonFinite(
        state, 3, images=lambda epoch, step: range(4 * step, 4 * step + 4)
    )
    with pytest.raises(ValueError) as error:
        fit_counted(model, broken_batches(2), state, [guard], epochs=3)
    assert str(error.value).startswith(
        "the score loss (Eq. 3) became NaN or infinite in epoch 1 of 3, step 3 of 5 "
        "(images 8, 9, 10, 11); try a lower train.learning_rate"
    )


@pytest.mark.parametrize(
    "layer, term",
    [("score", "the score loss (Eq. 3)"), ("semantic_offset", "the score loss")],
)
def test_the_term_is_named(layer, term):
    """Labels of the score depend on the poses: broken poses break both terms."""
    model, state = compiled(), RunState(STEPS)
    found = [w for w in model.weights if layer in w.path and "bias" in w.path]
    found[-1].assign(np.full(found[-1].shape, np.nan))
    with pytest.raises(ValueError, match=re.escape(term)):
        fit_counted(model, batches(), state, [NonFinite(state, 1)])


def test_a_step_without_numbers_can_be_left_out(caplog):
    """As if its batch had not been there: weights, statistics, logs."""
    model, state = compiled(non_finite="skip"), RunState(STEPS)
    guard = NonFinite(state, 1, images=lambda epoch, step: [step], skip=True)
    logs = fit_counted(model, broken_batches(2), state, [guard]).history
    assert "Eq. 3) is NaN or infinite in epoch 1 of 1, step 3 of 5" in caplog.text
    assert "left out (images 2)" in caplog.text
    assert logs["skipped_steps"] == [1.0]
    without = compiled(non_finite="skip")
    kept = batches().take(2).concatenate(batches().skip(3))
    expected = without.fit(kept, shuffle=False, verbose=0).history
    for name in ("loss", "score_loss", "oks", "gradient_norm"):
        assert logs[name] == pytest.approx(expected[name], rel=1e-5), name
    for weight, other in zip(model.weights, without.weights, strict=True):
        np.testing.assert_allclose(weight, other, rtol=0, atol=1e-6)
