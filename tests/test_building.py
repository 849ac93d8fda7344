import keras
import numpy as np
import pytest

from qepose_tf.building import build_model, read_datasets
from qepose_tf.skeleton import COCO
from qepose_tf.training.building import initial_model, steps_per_epoch
from qepose_tf.weights import save_body
from tests.training.test_run import make_config

pytestmark = pytest.mark.slow


def test_training_begins_with_the_backbone_weights_of_the_config(tmp_path):
    config = make_config(tmp_path)
    keras.utils.set_random_seed(5)
    body = build_model(config, COCO).body
    file = tmp_path / "body.weights.h5"
    save_body(body, file)
    weights = {"backbone_weights": file}
    config = config.model_copy(
        update={"model": config.model.model_copy(update=weights)}
    )
    model = initial_model(config, COCO)
    for weight, expected in zip(model.body.weights, body.weights, strict=True):
        np.testing.assert_array_equal(weight, expected)
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(ValueError, match="body.weights.h5: expected weights of"):
        initial_model(config, COCO)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"batch_size": 3}, "batch_size: expected a multiple of the 2 devices, got 3"),
        ({"accumulate": 4}, "accumulate: expected a divisor of the 2 images of a dev"),
    ],
)
def test_what_several_devices_cannot_do_is_one_clear_line(tmp_path, settings, message):
    config = make_config(tmp_path, **settings)
    scenes, _ = read_datasets(config, COCO)
    with pytest.raises(ValueError, match=message):
        steps_per_epoch(config, scenes, replicas=2)
