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
    assert float(metric.result()) == pytest.approx(expected, abs=1e-6)


def test_pairs_without_weight_are_left_out():
    first, second = pairs()
    weight = np.arange(200) % 3 == 0
    metric = Correlation()
    metric.update_state(first, second, weight)
    expected = np.corrcoef(first[weight], second[weight])[0, 1]
    assert float(metric.result()) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_line_correlates_fully(sign):
    numbers = np.linspace(0, 1, 11, dtype="float32")
    metric = Correlation()
    metric.update_state(numbers, 3 * sign * numbers + 1, np.ones(11))
    assert float(metric.result()) == pytest.approx(sign, abs=1e-5)


@pytest.mark.parametrize("mean", [0.0, 1e2, 1e4, -1e5])
def test_large_means_cost_no_digits(mean):
    """Batches whose means differ a little, far from zero, against float64."""
    first, second = (values.reshape(20, 50) for values in pairs(1000))
    first = np.float32(mean + first + 0.1 * np.arange(20)[:, None])
    second = np.float32(-3 * mean + second)
    metric = Correlation()
    for batch in zip(first, second, strict=True):
        metric.update_state(*batch, np.ones(50))
    expected = np.corrcoef(np.float64(first.ravel()), np.float64(second.ravel()))
    assert float(metric.result()) == pytest.approx(expected[0, 1], abs=2e-6)


def test_weights_count_pairs():
    first, second = pairs(60)
    weight = np.random.default_rng(0).integers(0, 4, 60)
    metric = Correlation()
    for part in (slice(0, 7), slice(7, 8), slice(8, 60)):
        metric.update_state(first[part], second[part], weight[part])
    rows = np.repeat(np.arange(60), weight)
    expected = np.corrcoef(first[rows], second[rows])[0, 1]
    assert float(metric.result()) == pytest.approx(expected, abs=1e-6)


def test_a_pair_without_weight_may_hold_anything():
    first, second = pairs(6)
    metric = Correlation()
    metric.update_state(
        np.append(first, np.nan), np.append(second, np.inf), [1] * 6 + [0]
    )
    expected = np.corrcoef(first, second)[0, 1]
    assert float(metric.result()) == pytest.approx(expected, abs=1e-6)


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
