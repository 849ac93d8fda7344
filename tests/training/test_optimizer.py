import math

import keras
import numpy as np
import pytest

from qepose_tf.training.optimizer import WarmupStepDecay, make_schedule


def rates(schedule, steps):
    return [float(schedule(step)) for step in steps]


def test_warms_up_linearly_and_reaches_the_rate_at_the_last_warm_up_step():
    schedule = WarmupStepDecay(0.4, steps_per_epoch=100, warmup_steps=4)
    np.testing.assert_allclose(
        rates(schedule, [0, 1, 2, 3, 4, 50]), [0.1, 0.2, 0.3, 0.4, 0.4, 0.4], rtol=1e-6
    )


def test_drops_at_the_first_step_after_each_epoch():
    schedule = WarmupStepDecay(1.0, 10, drop_epochs=[2, 3], drop_factor=0.1)
    np.testing.assert_allclose(
        rates(schedule, [0, 19, 20, 29, 30, 99]),
        [1, 1, 0.1, 0.1, 0.01, 0.01],
        rtol=1e-6,
    )


def test_a_drop_inside_the_warm_up_applies_to_the_risen_rate():
    schedule = WarmupStepDecay(1.0, 2, drop_epochs=[1], warmup_steps=4)
    np.testing.assert_allclose(
        rates(schedule, range(5)), [0.25, 0.5, 0.075, 0.1, 0.1], rtol=1e-6
    )


def test_boundaries_are_exact_after_16_million_steps():
    schedule = WarmupStepDecay(1.0, 2**24 + 1, drop_epochs=[1])
    assert rates(schedule, [2**24, 2**24 + 1]) == pytest.approx([1.0, 0.1])


def test_survives_serialisation():
    schedule = WarmupStepDecay(0.2, 7, [3, 5], 0.5, 9)
    config = keras.optimizers.schedules.serialize(schedule)
    again = keras.optimizers.schedules.deserialize(config)
    assert again.get_config() == schedule.get_config()
    assert rates(again, range(50)) == rates(schedule, range(50))


def test_an_optimiser_follows_it():
    optimiser = keras.optimizers.SGD(WarmupStepDecay(1.0, 2, [1], 0.1, 2))
    weight = keras.Variable(np.zeros(1, np.float32))
    values = []
    for _ in range(4):
        optimiser.apply([np.ones(1, np.float32)], [weight])
        values.append(float(weight[0]))
    np.testing.assert_allclose(values, [-0.5, -1.5, -1.6, -1.7], rtol=1e-6)


def test_rejects_an_epoch_without_steps():
    with pytest.raises(ValueError, match="steps_per_epoch: expected >= 1, got 0"):
        WarmupStepDecay(1.0, 0)


def made(name, **settings):
    """Of 11 epochs of 10 steps."""
    defaults = {"drop_epochs": [2], "drop_factor": 0.5, "warmup_steps": 0}
    return make_schedule(
        name=name,
        learning_rate=0.1,
        steps_per_epoch=10,
        epochs=11,
        **(defaults | settings),
    )


def test_cosine_rises_to_the_rate_and_falls_to_nothing():
    schedule = made("cosine", warmup_steps=10)
    found = rates(schedule, range(0, 111, 5))
    # Half of a cosine's period, from step 10 on.
    half = [0.05 * (1 + math.cos(math.pi * s / 100)) for s in range(0, 101, 5)]
    assert found[2:] == pytest.approx(half, abs=1e-7)
    assert found[0] == pytest.approx(0.01) and found[1] == pytest.approx(0.055)


def test_step_is_the_paper_s():
    assert rates(made("step"), (0, 19, 20)) == pytest.approx([0.1, 0.1, 0.05])
