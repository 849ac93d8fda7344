"""A batch that is trained in parts takes the same step packed and padded."""

import numpy as np
import pytest

from qepose_tf.models import pose_estimator
from tests.training.mirrored_losses import STEPS, batches
from tests.training.test_step import compiled

pytestmark = pytest.mark.slow
# `batches`: uneven parts, a part that shows nobody, and a batch that does.
LOGS = ("loss", "score_loss", "offset_loss", "oks", "gradient_norm")


def stepped(parts, packed, monkeypatch):
    """Logs of every step, and ten times the optimiser's first moment of it."""
    monkeypatch.setattr(pose_estimator, "_PACKED", packed)
    found = []
    for step in range(STEPS):
        model = compiled(accumulate=parts)
        data = batches().skip(step).take(1)
        logs = model.fit(data, shuffle=False, verbose=0).history
        gradients = [10.0 * np.asarray(m) for m in model.optimizer._momentums]
        statistics = [np.asarray(w) for w in model.non_trainable_weights]
        found.append((logs, gradients, statistics))
    return found


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_parts_of_a_batch(parts, monkeypatch):
    packed = stepped(parts, True, monkeypatch)
    padded = stepped(parts, False, monkeypatch)
    for (logs, *arrays), (expected_logs, *expected) in zip(packed, padded, strict=True):
        for name in LOGS:
            assert logs[name] == pytest.approx(expected_logs[name], rel=1e-5, abs=1e-6)
        for found, theirs in zip(arrays, expected, strict=True):
            for array, other in zip(found, theirs, strict=True):
                size = max(1.0, np.abs(other).max())
                np.testing.assert_allclose(array, other, rtol=0, atol=1e-5 * size)
