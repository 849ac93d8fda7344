"""A batch that is trained in parts has the same gradients packed and padded."""

import numpy as np
import pytest

from qepose_tf.models import image_model
from qepose_tf.models.hrnet import VARIANTS
from qepose_tf.training.step import TrainStep
from tests.backends import to_numpy
from tests.micro_body import MICRO
from tests.training.devices.mirrored_losses import batches
from tests.training.test_step import compiled

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(VARIANTS, "tiny", MICRO)
        yield compiled()


def gradients(model, parts, batch, packed, monkeypatch):
    """The loss, every gradient and the moving statistics after the batch."""
    monkeypatch.setattr(image_model, "sizes_may_vary", lambda: packed)
    before = model.get_weights()
    found, loss = TrainStep(model, parts)._gradients(batch, model.trainable_weights)
    statistics = [np.array(weight) for weight in model.non_trainable_weights]
    model.set_weights(before)
    return [to_numpy(loss), *to_numpy(found), *statistics]


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_parts_of_a_batch(model, parts, monkeypatch):
    """People are spread unevenly: parts show nobody, and a whole batch does."""
    for batch in batches():
        packed = gradients(model, parts, batch, True, monkeypatch)
        padded = gradients(model, parts, batch, False, monkeypatch)
        assert len(packed) > 50
        for found, expected in zip(packed, padded, strict=True):
            size = max(1.0, np.abs(expected).max())
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * size)
