"""The models that come with the package."""

from qepose_tf.models import PoseEstimator, load_model
from qepose_tf.skeleton import COCO


def test_presets_are_listed_and_load(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    preset = PoseEstimator.presets["people"]
    model = load_model("people")
    assert model.count_params() == preset.facts["parameters"]
    assert model.input_size == preset.facts["input_size"]
    assert model.skeleton == COCO
    assert preset.file.stat().st_size < 12e6
    assert 0 < preset.min_score < 1
