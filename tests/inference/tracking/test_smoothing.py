"""What the One Euro filter takes away, and how late it is: numbers by hand."""

import numpy as np
import pytest

from qepose_tf.inference.tracking.similarity import pose_scales
from qepose_tf.inference.tracking.smoothing import Smoother

ONE = np.array([1])


def slow_twin(values, times, scale, min_cutoff, speed_gain, speed_cutoff):
    """The filter as Casiez et al. write it down, one point (x, y) at a time."""
    smooth, velocity, out = values[0], np.zeros(2), [values[0]]
    for index in range(1, len(values)):
        step = times[index] - times[index - 1]
        share = 1 / (1 + 1 / (2 * np.pi * speed_cutoff * step))
        measured = (values[index] - values[index - 1]) / step
        velocity = share * measured + (1 - share) * velocity
        speed = np.hypot(*velocity) / scale
        cutoff = min_cutoff + speed_gain * speed
        share = 1 / (1 + 1 / (2 * np.pi * cutoff * step))
        smooth = share * values[index] + (1 - share) * smooth
        out.append(smooth)
    return np.array(out)


def moved(base, way):
    """[T, 1, K, 2]: a pose that is carried along."""
    return base + np.asarray(way)[:, None, None, :]


def run(smoother, poses, times):
    return np.array(
        [smoother.update(p, ONE, t)[0] for p, t in zip(poses, times, strict=True)]
    )


@pytest.fixture
def base():
    return np.random.default_rng(0).uniform(0, 100, (1, 17, 2))


def test_equals_the_published_filter_with_uneven_time_steps(base):
    rng = np.random.default_rng(1)
    times = np.cumsum(rng.uniform(0.01, 0.2, 30))
    way = np.cumsum(rng.normal(0, 5, (30, 2)), axis=0)
    found = run(Smoother(), moved(base, way), times)
    scale = pose_scales(base)[0]
    for keypoint in (0, 16):
        values = base[0, keypoint] + way
        expected = slow_twin(values, times, scale, 1.5, 2.0, 1.0)
        np.testing.assert_allclose(found[:, keypoint], expected, rtol=1e-12)


@pytest.mark.parametrize("speed, lag_ms", [(1.6, 33.86), (4.5, 15.16)])
def test_lags_behind_an_even_movement_as_documented(base, speed, lag_ms):
    """1 / (2 pi (1.5 + 2 * 1.6)) = 33.86 ms; 1 / (2 pi (1.5 + 2 * 4.5)) = 15.16 ms."""
    times = np.arange(200) * 0.04
    px = speed * pose_scales(base)[0]  # a second
    way = np.stack([px * times, 0 * times], axis=-1)
    found = run(Smoother(), moved(base, way), times)
    behind = (base[0] + way[-1] - found[-1])[:, 0]
    np.testing.assert_allclose(1e3 * behind / px, lag_ms, atol=0.01)


def test_takes_jitter_away_from_who_stands_still(base):
    """With no gain the share is 0.274, and the noise falls to sqrt(a / (2 - a)).

    With the gain, 1 px of a person of 70 px scale falls to 0.43.
    """
    rng = np.random.default_rng(2)
    noise = rng.normal(0, 1, (1000, *base.shape))
    found = run(Smoother(speed_gain=0.0), base + noise, np.arange(1000) * 0.04)
    share = 1 / (1 + 1 / (2 * np.pi * 1.5 * 0.04))
    assert share == pytest.approx(0.27377, abs=1e-5)
    assert found[100:].std(axis=0).mean() == pytest.approx(
        np.sqrt(share / (2 - share)), rel=0.03
    )
    fast = run(Smoother(), base + noise, np.arange(1000) * 0.04)
    assert fast[100:].std(axis=0).mean() == pytest.approx(0.43, abs=0.01)


def test_gaps_newcomers_and_poses_without_a_track(base):
    smoother = Smoother(min_cutoff=1 / (2 * np.pi * 0.1), speed_gain=0.0)
    two = np.concatenate([base, base + 500])
    np.testing.assert_array_equal(smoother.update(two, np.array([7, -1]), 0.0), two)
    hidden = two + 8.0
    hidden[0, 3] = np.nan
    found = smoother.update(hidden, np.array([7, -1]), 0.1)
    assert np.isnan(found[0, 3]).all()
    np.testing.assert_allclose(found[0, 4], base[0, 4] + 4.0)  # half of the way
    np.testing.assert_array_equal(found[1], hidden[1])
    # Two tenths after it was seen last, keypoint 3 goes two thirds of its way.
    found = smoother.update((base + 8.0)[[0, 0]], np.array([9, 7]), 0.2)
    np.testing.assert_allclose(found[1, 3], base[0, 3] + 8.0 * 2 / 3)
    np.testing.assert_allclose(found[1, 4], base[0, 4] + 6.0)
    np.testing.assert_array_equal(found[0], base[0] + 8.0)  # 9 is new
    # Later than `forget_seconds` everything starts anew, as it does after a reset.
    np.testing.assert_array_equal(smoother.update(base, ONE * 7, 1.3), base)
    smoother.reset()
    np.testing.assert_array_equal(smoother.update(base + 3, ONE * 7, 0.0), base + 3)


def test_the_order_of_people_and_equal_times_do_not_matter(base):
    rng = np.random.default_rng(3)
    one, other = Smoother(), Smoother()
    ids = np.array([4, 2, 9])
    for time in (0.0, 0.04, 0.04, 0.1):
        poses = base + rng.normal(0, 5, (3, 17, 2))
        order = rng.permutation(3)
        expected = one.update(poses, ids, time)[order]
        found = other.update(poses[order], ids[order], time)
        np.testing.assert_allclose(found, expected)
        assert np.isfinite(found).all()
    assert one.update(np.zeros((0, 17, 2)), np.zeros(0), 0.2).shape == (0, 17, 2)


@pytest.mark.parametrize(
    "name", ["min_cutoff", "speed_cutoff", "speed_gain", "forget_seconds", "min_scale"]
)
def test_impossible_settings_are_named(name):
    with pytest.raises(ValueError, match=f"{name}: expected .*, got -1"):
        Smoother(**{name: -1.0})


def test_ids_that_do_not_fit_are_refused(base):
    with pytest.raises(ValueError, match="expected one id for each of 1 poses"):
        Smoother().update(base, np.array([1, 2]), 0.0)
    with pytest.raises(ValueError, match=r"all different, got \[3, 3\]"):
        Smoother().update(base[[0, 0]], np.array([3, 3]), 0.0)
