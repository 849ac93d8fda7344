"""DEKR's loss by hand, its gradients, and Keras' `fit`."""

import keras
import numpy as np
import pytest
from keras import ops

from qepose_tf.models import DEKR
from qepose_tf.models.dekr_training import diagonals
from qepose_tf.ops.facts import Facts
from tests.backends import needs_tensorflow, to_numpy, value_and_gradients
from tests.models.conftest import PAIR, random_facts, random_images

pytestmark = pytest.mark.usefixtures("micro_body")
SIDE, MAP_HW = 64, (16, 16)
SMALL = {"heatmap_channels": 8, "keypoint_channels": 4}


def small(seed=0, **settings):
    keras.utils.set_random_seed(seed)
    return DEKR(PAIR, backbone="tiny", input_size=SIDE, head=SMALL, **settings)


@pytest.fixture(scope="module")
def model():
    """Not to be changed."""
    return small()


def one_person():
    """In cells (6, 8) and (9, 12): the diagonal is 5, the centre (7.5, 10)."""
    return Facts(
        keypoints=np.float32([[[[24, 32, 2], [36, 48, 1]]]]),
        area=np.float32([[1600]]),
        ignore=np.zeros((1, *MAP_HW, 1), "float32"),
    )


def flat_outputs(model, centre=0.2, heat=0.1):
    """The same everywhere; what regresses the displacements is 0."""
    channels = SMALL["keypoint_channels"] * 2
    return {
        "score_map": ops.full((1, *MAP_HW, 1), centre),
        "keypoint_heatmaps": ops.full((1, *MAP_HW, 2), heat),
        "offset_features": ops.zeros((1, *MAP_HW, channels)),
    }


def squared_error(value, points, sigma, background):
    """The weighted error of one map by loops over its cells."""
    reach = int(3 * sigma) + 1
    total = 0.0
    for y in range(16):
        for x in range(16):
            target = weight = 0.0
            for px, py in points:
                if max(abs(x - int(px)), abs(y - int(py))) <= reach:
                    distance2 = (x - px) ** 2 + (y - py) ** 2
                    target = max(target, np.exp(-distance2 / (2 * sigma**2)))
                    weight = 1.0
            total += (weight or background) * (value - target) ** 2
    return total


def test_the_loss_by_hand(model):
    model.encoding.offset.bias.assign(np.zeros((2, 2)))
    model.reset_metrics()
    loss = model.compute_loss(
        y=one_person(), y_pred=flat_outputs(model), training=False
    )
    heat = squared_error(0.2, [(7.5, 10)], 4.0, 0.1)
    heat += squared_error(0.1, [(6, 8)], 2.0, 0.1)
    heat += squared_error(0.1, [(9, 12)], 2.0, 0.1)
    heat /= 16 * 16 * 3
    # Every cell of the disc about (8, 10) predicts itself for both keypoints.
    offset, count = 0.0, 0
    for y in range(16):
        for x in range(16):
            if (x - 8) ** 2 + (y - 10) ** 2 < 16:
                count += 4
                for number in (x - 6, y - 8, x - 9, y - 12):
                    size = abs(number)
                    offset += size - 1 / 18 if size >= 1 / 9 else 4.5 * size**2
    offset /= 5 * count
    assert float(loss) == pytest.approx(heat + 0.03 * offset, rel=1e-5)
    metrics = {metric.name: float(metric.result()) for metric in model.metrics}
    assert metrics["heatmap_loss"] == pytest.approx(heat, rel=1e-5)
    assert metrics["offset_loss"] == pytest.approx(offset, rel=1e-5)


def test_ignored_cells_cost_nothing(model):
    facts = one_person()
    ignored = facts._replace(ignore=np.ones_like(facts.ignore))
    model.reset_metrics()
    model.compute_loss(y=ignored, y_pred=flat_outputs(model), training=False)
    assert float(model.heatmap_loss_tracker.result()) == 0
    assert float(model.offset_loss_tracker.result()) > 0


def test_the_target_of_the_centres(model):
    facts = one_person()
    facts.ignore[:, :, :3] = 1
    target, weight = to_numpy(model.score_target(facts, flat_outputs(model)))
    assert target[0, 10, 7, 0] == target.max() == pytest.approx(np.exp(-0.25 / 32))
    assert weight[0, 10, 7, 0] == 1 and weight[0, 5, 2, 0] == 0


def test_the_diagonal_of_what_is_labelled():
    keypoints = np.float32(
        [
            [[0, 0, 1], [3, 4, 1], [90, 90, 0]],
            [[2, 2, 1], [7, 7, 0], [9, 9, 0]],  # one keypoint has no extent
            [[2, 2, 0], [np.nan, 7, 0], [9, 9, 0]],
        ]
    )
    np.testing.assert_allclose(to_numpy(diagonals(keypoints)), [5, 1, 1])


@pytest.mark.parametrize("people", [0, 3])
def test_every_weight_learns_and_nothing_is_nan(people):
    model = small(1)
    images = ops.convert_to_tensor(random_images(2, SIDE, SIDE))
    facts = random_facts(2, 3, 2, SIDE)
    if not people:
        facts["area"] *= 0
        facts["keypoints"][:] = np.nan

    def loss():
        outputs = model(images, training=True)
        return model.compute_loss(y=facts, y_pred=outputs)

    value, gradients = value_and_gradients(loss, model.trainable_variables)
    assert np.isfinite(value)
    still = [
        variable.path
        for variable, gradient in zip(model.trainable_variables, gradients, strict=True)
        if not np.any(gradient) and np.all(np.isfinite(gradient))
    ]
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    if people:
        assert still == []
    else:
        # Nobody teaches displacements; the background teaches the heatmaps.
        assert still and all("offset" in path or "encoding" in path for path in still)


@needs_tensorflow
def test_packed_is_padded(model, monkeypatch):
    from qepose_tf.models import image_model

    outputs = model(random_images(2, SIDE, SIDE))
    facts = random_facts(2, 3, 2, SIDE)
    losses = []
    for packed in (True, False):
        monkeypatch.setattr(image_model, "sizes_may_vary", lambda p=packed: p)
        losses.append(float(model.compute_loss(y=facts, y_pred=outputs)))
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


@pytest.mark.slow
def test_fit_finds_the_people_of_a_batch():
    model = small(2)
    model.compile(optimizer=keras.optimizers.Adam(3e-3))
    images = random_images(2, SIDE, SIDE)
    facts = random_facts(2, 2, 2, SIDE)
    history = model.fit(images, facts, batch_size=2, epochs=100, verbose=0).history
    for name in ("heatmap_loss", "offset_loss"):
        assert history[name][-1] < 0.5 * history[name][0], name
