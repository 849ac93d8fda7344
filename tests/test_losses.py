import keras
import numpy as np
import pytest

from qepose_tf.losses import offset_loss_sum, score_loss_sum, smooth_l1
from tests.backends import everywhere, value_and_gradients


def random_arrays(*shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype("float32") for shape in shapes]


def test_score_loss_equals_its_twin():
    predicted, target, weight = random_arrays(*[(2, 3, 4, 1)] * 3)
    loss = everywhere(score_loss_sum, predicted, target, np.abs(weight))
    expected = (np.abs(weight) * (predicted - target) ** 2).sum()
    assert loss == pytest.approx(expected, rel=1e-5)


def test_the_target_of_the_score_is_no_prediction():
    """Lowering the quality of a pose must not lower the loss of its score."""
    predicted, target = (keras.Variable(a) for a in random_arrays(*[(1, 2, 2, 1)] * 2))
    weight = np.ones((1, 2, 2, 1), "float32")
    arrays = keras.ops.convert_to_numpy(predicted), keras.ops.convert_to_numpy(target)
    _, (gradient,) = value_and_gradients(
        lambda: score_loss_sum(predicted.value, target.value, weight), [predicted]
    )
    np.testing.assert_allclose(gradient, 2 * (arrays[0] - arrays[1]), rtol=1e-5)


@pytest.mark.parametrize("beta", [1.0, 1 / 9, 0.01])
def test_smooth_l1_is_smooth(beta):
    """Value and slope of the parabola and of the line agree where they meet."""
    around = np.float32([beta * (1 - 1e-3), beta, beta * (1 + 1e-3)])
    below, meeting, above = everywhere(lambda error: smooth_l1(error, beta), around)
    assert meeting == pytest.approx(beta / 2, rel=1e-5)
    assert meeting - below == pytest.approx(1e-3 * beta, rel=1e-2)
    assert above - meeting == pytest.approx(1e-3 * beta, rel=1e-2)


def test_offset_loss_equals_its_twin():
    poses, keypoints, weight = random_arrays((2, 6, 5, 2), (2, 6, 5, 3), (2, 6))
    keypoints[..., 2] = keypoints[..., 2] > 0
    loss = everywhere(
        lambda *arrays: offset_loss_sum(*arrays, 0.5), poses, keypoints, weight
    )
    expected = 0.0
    for image, cell, k, axis in np.ndindex(2, 6, 5, 2):
        if keypoints[image, cell, k, 2]:
            error = abs(poses[image, cell, k, axis] - keypoints[image, cell, k, axis])
            smooth = error**2 if error < 0.5 else error - 0.25
            expected += smooth * weight[image, cell]
    assert loss == pytest.approx(expected, rel=1e-4)


def test_unlabelled_keypoints_have_no_loss_and_no_gradient():
    (poses,) = random_arrays((1, 2, 2, 2))
    variable = keras.Variable(poses)
    keypoints = np.float32([[[[0, 0, 1], [np.nan, np.inf, 0]]] * 2])
    loss, (gradient,) = value_and_gradients(
        lambda: offset_loss_sum(variable.value, keypoints, np.ones((1, 2), "float32")),
        [variable],
    )
    assert np.isfinite(loss)
    assert gradient[:, :, 0].all() and not gradient[:, :, 1].any()


def test_nobody():
    empty = np.zeros((2, 0, 17, 2), "float32"), np.zeros((2, 0, 17, 3), "float32")
    assert everywhere(offset_loss_sum, *empty, np.zeros((2, 0), "float32")) == 0
