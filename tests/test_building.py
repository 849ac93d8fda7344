import keras
import numpy as np
import pytest
import yaml

from qepose_tf.building import build_model, read_datasets, started
from qepose_tf.config.reading import load_config
from qepose_tf.models import DEKR, PoseEstimator, load_model
from qepose_tf.skeleton import COCO
from qepose_tf.training import run
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


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A file of a model whose settings are not the defaults."""
    keras.utils.set_random_seed(8)
    model = PoseEstimator(
        COCO,
        backbone="tiny",
        input_size=64,
        head={"keypoint_channels": 4, "semantic_points": 5},
        loss={"disc_radius": 2.0},
        mean=(127, 127, 127),
    )
    file = tmp_path_factory.mktemp("trained") / "trained.keras"
    model.save(file)
    return file


def config_of(folder, **sections):
    file = folder / "mine.yaml"
    file.write_text(yaml.safe_dump(sections))
    return load_config(file)


def test_settings_that_a_config_does_not_name_are_those_of_its_start(trained, tmp_path):
    config = started(
        config_of(
            tmp_path,
            model={"start_from": str(trained), "head": {"semantic_points": 3}},
            loss={"score_weight": 2.0},
        )
    )
    assert (config.model.backbone, config.model.input_size) == ("tiny", 64)
    assert config.model.mean == (127, 127, 127)
    assert config.model.head.keypoint_channels == 4
    assert config.model.head.semantic_points == 3
    assert (config.loss.disc_radius, config.loss.score_weight) == (2.0, 2.0)
    assert config.train.epochs == 180
    assert started(config) == config


def test_training_begins_with_the_model_of_the_config(trained, tmp_path, caplog):
    config = started(config_of(tmp_path, model={"start_from": str(trained)}))
    with caplog.at_level("INFO"):
        model = initial_model(config, COCO)
    for weight, expected in zip(
        model.weights, load_model(trained).weights, strict=True
    ):
        np.testing.assert_array_equal(weight, expected)
    assert f"starting from {trained}: the body and the keypoints nose" in caplog.text


def test_a_run_holds_the_settings_of_its_start(trained, tmp_path):
    scenes = {"train_scenes": 2, "val_scenes": 0, "image_size": 64, "max_people": 1}
    config = config_of(
        tmp_path,
        model={"start_from": str(trained)},
        data={
            "synthetic": scenes | {"folder": str(tmp_path / "scenes")},
            "min_area": 0.0,
        },
        train={
            "epochs": 1,
            "batch_size": 2,
            "run_dir": str(tmp_path / "run"),
            "strategy": "off",
        },
    )
    result = run.train(config, progress=False)
    assert load_model(result.last).input_size == 64
    # Written out, so that the run goes on where the model has gone.
    written = yaml.safe_load((tmp_path / "run/config.yaml").read_text())
    assert written["model"]["head"]["semantic_points"] == 5
    assert written["loss"]["disc_radius"] == 2.0


def test_a_dekr_starts_from_a_dekr_alone(trained, tmp_path):
    head = {"heatmap_channels": 8, "keypoint_channels": 4}
    source = DEKR(COCO, backbone="tiny", input_size=64, head=head)
    kernel = source.get_layer("head_heatmap_1").kernel
    kernel.assign(kernel + 1.0)
    file = tmp_path / "dekr.keras"
    source.save(file)
    dekr = {"network": "dekr"}
    config = started(config_of(tmp_path, model=dekr | {"start_from": str(file)}))
    assert config.model.head.model_dump() == source.head_settings.to_dict()
    assert config.model.input_size == 64
    model = initial_model(config, COCO)
    assert isinstance(model, DEKR)
    np.testing.assert_array_equal(model.get_layer("head_heatmap_1").kernel, kernel)

    with pytest.raises(ValueError, match="model.network = pose_estimator, got dekr"):
        started(config_of(tmp_path, model={"start_from": str(file)}))
    with pytest.raises(ValueError, match="model.network = dekr, got pose_estimator"):
        started(config_of(tmp_path, model=dekr | {"start_from": str(trained)}))


def test_a_start_that_does_not_fit_is_one_clear_line(trained, tmp_path):
    other = {"start_from": str(trained), "backbone": "efficientnet_lite0"}
    config = started(config_of(tmp_path, model=other))
    with pytest.raises(
        ValueError, match="model.start_from: .*the backbone .*tiny, got"
    ):
        initial_model(config, COCO)
    with pytest.raises(ValueError, match="expected start_from or backbone_weights"):
        config_of(tmp_path, model=other | {"backbone_weights": "body.pth"})
    with pytest.raises(FileNotFoundError, match="model.start_from: peple: expected"):
        started(config_of(tmp_path, model={"start_from": "peple"}))


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
