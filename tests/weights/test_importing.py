import json
import logging

import h5py
import keras
import numpy as np
import pytest

from qepose_tf.models.pose_estimator import PoseEstimator
from qepose_tf.skeleton import COCO
from qepose_tf.weights import import_weights, load_backbone_weights
from qepose_tf.weights.importing import save_body
from tests.backends import to_numpy
from tests.weights import torch_shapes
from tests.weights.torch_format import write_legacy, write_zip
from tests.weights.torch_shapes import random_tensors


@pytest.fixture(scope="module")
def models():
    """Two of the same kind."""
    keras.utils.set_random_seed(0)
    return [PoseEstimator(COCO, backbone="tiny", input_size=64) for _ in range(2)]


@pytest.fixture(scope="module")
def initial(models):
    return [model.get_weights() for model in models]


@pytest.fixture
def model(models, initial):
    models[0].set_weights(initial[0])
    return models[0]


@pytest.fixture
def other(models, initial):
    models[1].set_weights(initial[1])
    return models[1]


@pytest.fixture(scope="module")
def pose_tensors():
    shapes = torch_shapes.body("tiny", multi_scale=False)
    return random_tensors(shapes | torch_shapes.pose_head("tiny"))


@pytest.fixture
def whole(tmp_path):
    """A checkpoint for the whole body."""
    return write_zip(
        tmp_path / "hrnet.pth", random_tensors(torch_shapes.body("tiny"), seed=3)
    )


def body_values(model):
    return model.body.get_weights()


def assert_equal(values, expected):
    for value, other in zip(values, expected, strict=True):
        np.testing.assert_array_equal(value, other)


def test_weights_reach_the_body_and_the_report_counts_them(
    model, pose_tensors, tmp_path, caplog
):
    path = write_legacy(
        tmp_path / "pose_hrnet.pth", {"epoch": 9, "state_dict": pose_tensors}
    )
    lower = model.body.get_layer("stage4_0_fuse_layers_2_3_0")
    initial = to_numpy(lower.kernel.value)
    with caplog.at_level(logging.INFO):
        report = import_weights(path, model)
    conv = to_numpy(model.body.get_layer("conv1").kernel.value)
    np.testing.assert_array_equal(
        conv, pose_tensors["conv1.weight"].transpose(2, 3, 1, 0)
    )
    np.testing.assert_array_equal(to_numpy(lower.kernel.value), initial)
    assert report.source == "HRNet pose" and report.backbone == "tiny"
    assert report.unused["final_layer"] == ["final_layer.weight", "final_layer.bias"]
    assert report.others == ["epoch"]
    assert len(report.kept_at_initial) == 65
    assert report.tensors_used == len(model.body.variables) - 65
    counted = [
        value.size
        for name, value in pose_tensors.items()
        if not name.startswith("final") and not name.endswith("tracked")
    ]
    assert (report.tensors_used, report.parameters) == (len(counted), sum(counted))
    assert json.loads(json.dumps(report.to_dict())) == report.to_dict()
    assert "65 of the backbone's tensors stay at their initial values" in caplog.text
    assert "\n".join(report.lines()) in "\n".join(caplog.messages)


def test_the_head_stays_as_it_was(model, whole):
    inside = {id(variable) for variable in model.body.variables}
    outside = [v for v in model.variables if id(v) not in inside]
    before = to_numpy([v.value for v in outside])
    import_weights(whole, model)
    assert_equal(to_numpy([v.value for v in outside]), before)


@pytest.mark.slow
def test_a_file_of_the_body_goes_into_another_model(model, other, whole, tmp_path):
    out = tmp_path / "hrnet.weights.h5"
    report = import_weights(whole, model, out)
    assert report.kept_at_initial == []
    load_backbone_weights(other, out)
    assert_equal(body_values(other), body_values(model))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["hrnet.pth", out.name]


def test_a_checkpoint_loads_directly(model, other, whole):
    load_backbone_weights(model, whole)
    import_weights(whole, other)
    assert_equal(body_values(model), body_values(other))


@pytest.mark.parametrize("load", [import_weights, load_backbone_weights])
def test_a_checkpoint_that_does_not_fit_changes_nothing(model, load, tmp_path):
    tensors = random_tensors(torch_shapes.body("tiny"))
    # The last one that would be assigned.
    tensors["stage4.0.fuse_layers.3.2.0.1.running_var"][0] = np.nan
    before = body_values(model)
    out = tmp_path / "out.weights.h5"
    path = write_zip(tmp_path / "nan.pth", tensors)
    arguments = (path, model, out) if load is import_weights else (model, path)
    with pytest.raises(ValueError, match=f"^{path}: stage4.0.*not finite$"):
        load(*arguments)
    assert_equal(body_values(model), before)
    assert not out.exists()


def test_the_name_of_the_output_is_checked_before_the_work(model, tmp_path):
    with pytest.raises(ValueError, match=r"h5: expected a file name that ends in"):
        import_weights(tmp_path / "none.pth", model, tmp_path / "out.h5")


def test_an_output_that_cannot_be_written_is_known_before_the_work(model, whole):
    before = body_values(model)
    with pytest.raises(OSError, match="hrnet.pth: expected a writable folder"):
        import_weights(whole, model, whole / "out.weights.h5")
    assert_equal(body_values(model), before)


def test_missing_files_are_named(model, tmp_path):
    path = tmp_path / "none.weights.h5"
    with pytest.raises(FileNotFoundError, match=f"^{path}: expected backbone weights"):
        load_backbone_weights(model, path)


def test_files_that_are_cut_short_change_nothing(model, whole, tmp_path):
    out = tmp_path / "tiny.weights.h5"
    import_weights(whole, model, out)
    data = out.read_bytes()
    before = body_values(model)
    cut = tmp_path / "cut.weights.h5"
    for length in (len(data) // 2, len(data) - 100, 200):
        cut.write_bytes(data[:length])
        with pytest.raises(ValueError) as caught:
            load_backbone_weights(model, cut)
        assert str(caught.value).startswith(f"{cut}: expected weights of the backbone")
        assert "\n" not in str(caught.value)
        assert_equal(body_values(model), before)


def test_files_of_another_backbone_change_nothing(model, tmp_path):
    path = tmp_path / "w18.weights.h5"
    save_body(model.body, path)
    with h5py.File(path, "a") as file:
        assert file.attrs["qepose_tf.backbone"] == "tiny"
        file.attrs["qepose_tf.backbone"] = "w18"
    before = body_values(model)
    with pytest.raises(ValueError, match="backbone tiny, but these are of w18$"):
        load_backbone_weights(model, path)
    assert_equal(body_values(model), before)


@pytest.mark.slow
def test_weights_that_keras_saved(model, other, tmp_path):
    """Those of the body fit; those of the whole model are no backbone's."""
    body, all_of_it = tmp_path / "body.weights.h5", tmp_path / "all.weights.h5"
    model.body.save_weights(body)
    model.save_weights(all_of_it)
    load_backbone_weights(other, body)
    assert_equal(body_values(other), body_values(model))
    with pytest.raises(ValueError, match="expected weights of the backbone tiny, but"):
        load_backbone_weights(other, all_of_it)
    assert_equal(body_values(other), body_values(model))
    renamed = body.rename(tmp_path / "body.h5")
    with pytest.raises(ValueError, match="file name that ends in .weights.h5"):
        load_backbone_weights(other, renamed)


def test_the_model_answers_with_the_imported_weights(model, whole):
    images = np.random.default_rng(0).normal(size=(1, 64, 64, 3)).astype("float32")
    before = to_numpy(model(images)["score_map"])
    import_weights(whole, model)
    assert np.abs(to_numpy(model(images)["score_map"]) - before).max() > 1e-3
