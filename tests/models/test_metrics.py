import numpy as np
import pytest

from qepose_tf.models.metrics import Correlation


def pairs(count=200, seed=0):
    rng = np.random.default_rng(seed)
    first = rng.random(count)
    return first.astype("float32"), (0.6 * first + rng.random(count)).astype("float32")


def test_equals_numpy_over_several_batches():
    first, second = pairs()
    metric = Correlation("agreement")
    for part in range(4):
        rows = slice(50 * part, 50 * part + 50)
        shape = (5, 10)
        metric.update_state(
            first[rows].reshape(shape), second[rows].reshape(shape), np.ones(shape)
        )
    assert metric.name == "agreement"
    expected = np.corrcoef(first, second)[0, 1]
    assert float(metric.result()) == pytest.approx(expected, abs=1e-4)


def test_pairs_without_weight_are_left_out():
    first, second = pairs()
    weight = np.arange(200) % 3 == 0
    metric = Correlation()
    metric.update_state(first, second, weight)
    expected = np.corrcoef(first[weight], second[weight])[0, 1]
    assert float(metric.result()) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_line_correlates_fully(sign):
    numbers = np.linspace(0, 1, 11, dtype="float32")
    metric = Correlation()
    metric.update_state(numbers, 3 * sign * numbers + 1, np.ones(11))
    assert float(metric.result()) == pytest.approx(sign, abs=1e-5)


def test_without_spread_or_pairs_it_is_zero():
    metric = Correlation()
    assert float(metric.result()) == 0
    metric.update_state(np.ones(5), pairs(5)[0], np.ones(5))
    assert float(metric.result()) == 0
    metric.update_state(pairs(5)[0], pairs(5)[1], np.zeros(5))
    assert float(metric.result()) == 0


def test_reset_and_config():
    metric = Correlation("agreement")
    metric.update_state(*pairs(), np.ones(200))
    metric.reset_state()
    assert float(metric.result()) == 0
    assert Correlation.from_config(metric.get_config()).name == "agreement"
