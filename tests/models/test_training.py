"""The model's loss, its gradients and Keras' `fit` and `evaluate`."""

import keras
import numpy as np
import pytest
from keras import ops

from qepose_tf.losses import offset_loss_sum, score_loss_sum
from qepose_tf.ops.facts import Omega
from qepose_tf.ops.targets import scatter_to_map
from tests.backends import BACKEND, to_numpy, value_and_gradients
from tests.models.conftest import random_facts, random_images

MAP_HW = (16, 16)  # of an image of 64 x 64


@pytest.fixture
def literal(pair_model):
    """A model of two keypoints whose poses are cell plus displacement."""
    encoding = pair_model.encoding
    before = encoding.get_weights()
    encoding.set_weights([np.zeros_like(array) for array in before])
    yield pair_model
    encoding.set_weights(before)


def one_person():
    """Both keypoints at pixel (32, 32), cell (8, 8); 1600 px^2 are 100 cells."""
    return {
        "keypoints": np.float32([[[[32, 32, 2], [32, 32, 1]]]]),
        "area": np.float32([[1600]]),
        "ignore": np.zeros((1, *MAP_HW, 1), "float32"),
    }


def predictions(score=0.2, error=(0.5, 0.0)):
    """Everywhere the same score; the first keypoint misses by `error` cells."""
    x, y = np.meshgrid(np.arange(16), np.arange(16))
    hop = np.stack([8 - x, 8 - y], -1).astype("float32")
    offsets = np.stack([hop + np.float32(error), hop], axis=-2)[None]
    return {
        "score_map": np.full((1, *MAP_HW, 1), score, "float32"),
        "keypoint_features": np.zeros((1, *MAP_HW, 2, 4), "float32"),
        "query_offsets": offsets,
    }


def loss_of(model, facts=None, outputs=None, **settings):
    before = model.loss_settings
    model.loss_settings = before.replace(**settings)
    model.reset_metrics()
    try:
        return float(
            model.compute_loss(
                y=ops_of(facts or one_person()),
                y_pred=ops_of(outputs or predictions()),
                training=False,
            )
        )
    finally:
        model.loss_settings = before


def ops_of(arrays):
    return {name: ops.convert_to_tensor(array) for name, array in arrays.items()}


# OKS of every cell of Omega: k = 1, 100 cells of area, 0.5 cells of distance, and 0.
QUALITY = (np.exp(-0.25 / 200) + 1) / 2
# Eq. 3: 45 cells of weight 1, the other 211 of 0.1 and target 0.
SCORE_SUM = 45 * (0.2 - QUALITY) ** 2 + 0.1 * 211 * 0.2**2
# Eq. 6, beta 1/9: of four coordinates of each cell one errs, by 0.5: 0.5 - 1/18 = 4/9.
OFFSET_SUM = 45 * 4 / 9


def test_the_loss_by_hand(literal):
    # Weighted by 1 / sqrt(100); divided by 45 cells, and by 4 coordinates of each.
    expected = SCORE_SUM / 45 + OFFSET_SUM / 10 / 180
    assert loss_of(literal) == pytest.approx(expected, rel=1e-5)
    metrics = {metric.name: float(metric.result()) for metric in literal.metrics}
    assert metrics["score_loss"] == pytest.approx(SCORE_SUM / 45, rel=1e-5)
    assert metrics["offset_loss"] == pytest.approx(OFFSET_SUM / 1800, rel=1e-5)
    assert metrics["oks"] == pytest.approx(QUALITY, rel=1e-6)
    assert metrics["score_oks_correlation"] == 0


def test_the_switches_of_the_loss_by_hand(literal):
    score, offset = SCORE_SUM / 45, OFFSET_SUM / 1800
    cases = [
        ({"area_weighted": False}, score + 10 * offset),
        ({"score_normaliser": "cells"}, SCORE_SUM / 256 + offset),
        ({"score_weight": 2.0, "offset_weight": 3.0}, 2 * score + 3 * offset),
        # beta 1: half the square of 0.5 is 0.125 for each of the 45 cells.
        ({"offset_beta": 1.0}, score + 45 * 0.125 / 1800),
    ]
    for settings, expected in cases:
        assert loss_of(literal, **settings) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("label", ["gaussian", "discrete"])
def test_other_labels_by_hand(literal, label, monkeypatch):
    """Table 3: what the score is taught changes, displacements and OKS do not."""
    monkeypatch.setattr(literal.cir_target, "label", label)
    distances = [x * x + y * y for x in range(-3, 4) for y in range(-3, 4)]
    inside = np.float64([d for d in distances if d < 16])
    assert len(inside) == 45
    taught = np.exp(-inside / 8) if label == "gaussian" else np.ones(45)
    score = ((0.2 - taught) ** 2).sum() + 0.1 * 211 * 0.2**2
    expected = score / 45 + OFFSET_SUM / 1800
    assert loss_of(literal) == pytest.approx(expected, rel=1e-5)
    assert float(literal.oks_tracker.result()) == pytest.approx(QUALITY, rel=1e-6)


def test_the_quality_branch_by_hand(literal):
    """Supervised in Omega alone: what it says of the background costs nothing."""
    outputs = predictions()
    outputs["quality_map"] = np.full((1, *MAP_HW, 1), 0.7, "float32")
    outputs["quality_map"][0, :, :2] = 55.0
    without = SCORE_SUM / 45 + OFFSET_SUM / 1800
    expected = without + (0.7 - QUALITY) ** 2
    assert loss_of(literal, outputs=outputs) == pytest.approx(expected, rel=1e-5)
    tripled = loss_of(literal, outputs=outputs, quality_weight=3.0)
    assert tripled == pytest.approx(without + 3 * (0.7 - QUALITY) ** 2, rel=1e-5)
    facts = one_person()
    facts["ignore"][:] = 1
    unseen = loss_of(literal, facts, outputs)
    assert unseen == pytest.approx(OFFSET_SUM / 1800, rel=1e-5)


def test_what_is_ignored_costs_nothing(literal):
    """The half x >= 8 of the map: Omega keeps its 3 columns of 5, 7 and 7 cells."""
    facts = one_person()
    facts["ignore"][:, :, 8:] = 1
    kept = 5 + 7 + 7
    score = kept * (0.2 - QUALITY) ** 2 + 0.1 * (128 - kept) * 0.2**2
    # The divisor still counts Omega, and displacements are learnt everywhere in it.
    expected = score / 45 + OFFSET_SUM / 1800
    assert loss_of(literal, facts) == pytest.approx(expected, rel=1e-5)


def test_an_unlabelled_keypoint_costs_nothing(literal):
    facts = one_person()
    facts["keypoints"][0, 0, 0] = [np.nan, np.nan, 0]
    # The second keypoint alone: quality 1, no error of displacement.
    expected = (45 * 0.8**2 + 0.1 * 211 * 0.2**2) / 45
    assert loss_of(literal, facts) == pytest.approx(expected, rel=1e-5)


def test_the_correlation_sees_whether_the_score_knows_the_quality(literal):
    outputs = predictions()
    error = np.random.default_rng(0).uniform(0, 20, (16, 16)).astype("float32")
    outputs["query_offsets"][0, :, :, 0, 0] += error
    outputs["score_map"][0, :, :, 0] = -error
    loss_of(literal, outputs=outputs)
    assert literal.correlation_tracker.result() > 0.9
    outputs["score_map"] *= -1
    loss_of(literal, outputs=outputs)
    assert literal.correlation_tracker.result() < -0.9


@pytest.mark.parametrize("people", [0, 2])
def test_a_batch_without_people_teaches_the_background(literal, people):
    facts = random_facts(batch=1, people=people, keypoints=2)
    facts["area"] *= 0
    # 256 cells of weight 0.1, as if there were one disc.
    expected = 0.1 * 256 * 0.2**2 / 45
    assert loss_of(literal, facts) == pytest.approx(expected, rel=1e-5)
    assert float(literal.oks_tracker.result()) == 0


def whole_loss(model, images, facts):
    outputs = model(images, training=True)
    return model.compute_loss(y=facts, y_pred=outputs, training=True)


def dense_loss(model, images, facts):
    """The same loss with the pose of every cell, in the words of Eq. 2, 3 and 6."""
    outputs = model(images, training=True)
    omega = model.cir_target.locate(facts["keypoints"], facts["area"], MAP_HW)
    cells, owned = omega.cells, omega.owned
    counted = scatter_to_map(owned, omega.images, cells, (2, *MAP_HW))
    counted = ops.reshape(counted, [2, 256])
    poses = model.encoding(
        outputs["keypoint_features"],
        outputs["query_offsets"],
        training=True,
        counted=counted,
    )

    def to_map(values):
        """`[B, P, ...]` of the owners to `[B, H * W, ...]`."""
        flat = np.reshape(to_numpy(values), [2, cells.shape[1], -1])
        result = np.zeros((2, 256, flat.shape[-1]), "float32")
        for image, place in np.argwhere(to_numpy(owned) > 0):
            x, y = to_numpy(cells)[image, place]
            result[image, 16 * y + x] = flat[image, place]
        return np.reshape(result, [2, 256, *values.shape[2:]])

    keypoints, area = to_map(omega.keypoints), to_map(omega.area)
    every_cell = np.stack(np.divmod(np.arange(256), 16)[::-1], -1)
    every_cell = every_cell[None].repeat(2, axis=0).astype("int32")
    every = Omega(
        images=np.int32([[0] * 256, [1] * 256]),
        cells=every_cell,
        owned=counted,
        distance2=ops.zeros_like(counted),
        keypoints=ops.convert_to_tensor(keypoints),
        area=ops.convert_to_tensor(area),
    )
    target, weight, _ = model.cir_target(poses, every, facts["ignore"])
    omega_cells = ops.sum(counted)
    score = score_loss_sum(outputs["score_map"], target, weight) / omega_cells
    coordinates = 2 * np.sum(keypoints[..., 2] * to_numpy(counted)[..., None])
    by_size = to_numpy(counted) / np.sqrt(np.where(area > 0, area, 1))
    offset = offset_loss_sum(poses, every.keypoints, by_size) / coordinates
    return score + offset


@pytest.mark.slow
def test_every_weight_has_a_gradient_and_sparse_equals_dense(tiny, images, facts):
    """Loss and every gradient at Omega's cells agree with those of the dense map."""
    facts["keypoints"][0, 1, :, :2] = facts["keypoints"][0, 0, :, :2] + 3  # overlap
    weights = tiny.trainable_variables
    loss, gradients = value_and_gradients(
        lambda: whole_loss(tiny, images, ops_of(facts)), weights
    )
    for weight, gradient in zip(weights, gradients, strict=True):
        assert np.isfinite(gradient).all(), weight.path
        assert np.abs(gradient).max() > 0, weight.path
    expected_loss, expected = value_and_gradients(
        lambda: dense_loss(tiny, images, ops_of(facts)), weights
    )
    assert loss == pytest.approx(expected_loss, rel=1e-5)
    for weight, gradient, dense in zip(weights, gradients, expected, strict=True):
        size = max(1.0, np.abs(dense).max())
        assert np.abs(gradient - dense).max() < 1e-5 * size, weight.path


@pytest.mark.slow
def test_without_people_gradients_are_finite_and_keypoints_unmoved(tiny, images):
    facts = random_facts(people=0)
    statistics = [tiny.encoding.norm.moving_mean, tiny.encoding.norm.moving_variance]
    before = to_numpy([weight.value for weight in statistics])
    weights = tiny.trainable_variables
    loss, gradients = value_and_gradients(
        lambda: whole_loss(tiny, images, ops_of(facts)), weights
    )
    assert np.isfinite(loss)
    for weight, gradient in zip(weights, gradients, strict=True):
        assert np.isfinite(gradient).all(), weight.path
        if "keypoint_query_encoding" in weight.path:
            assert not gradient.any(), weight.path
    after = to_numpy([weight.value for weight in statistics])
    np.testing.assert_allclose(after, before, rtol=1e-6)


@pytest.mark.slow
def test_fit_learns_and_evaluate_measures(tiny):
    """With Keras' own choice of compilation."""
    images, facts = random_images(4, 64, 64), random_facts(batch=4)
    tiny.compile(optimizer=keras.optimizers.Adam(5e-3))
    history = tiny.fit(images, facts, batch_size=2, epochs=20, verbose=0).history
    assert set(history) == {
        "loss",
        "score_loss",
        "offset_loss",
        "oks",
        "score_oks_correlation",
    }
    assert np.isfinite(list(history.values())).all()
    assert history["loss"][-1] < 0.8 * history["loss"][0]
    assert history["oks"][-1] > history["oks"][0]
    total = np.add(history["score_loss"], history["offset_loss"])
    np.testing.assert_allclose(history["loss"], total, rtol=1e-5)
    # On TensorFlow two batches are not worth another graph.
    tiny.compile(run_eagerly=BACKEND == "tensorflow")
    measured = tiny.evaluate(images, facts, batch_size=2, verbose=0, return_dict=True)
    assert set(measured) == set(history)
    assert np.isfinite(list(measured.values())).all()
