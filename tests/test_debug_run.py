"""The whole way in a minute: learn four scenes by heart, then export them."""

from pathlib import Path

import pytest

from qepose_tf.config import load_config
from qepose_tf.data.images import read_image
from qepose_tf.exporting import export_model
from qepose_tf.models import load_model
from qepose_tf.skeleton import Skeleton
from qepose_tf.training.data_sources import read_datasets
from qepose_tf.training.run import train

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("debug")
    config = load_config(
        ROOT / "configs" / "debug.yaml",
        [f"train.run_dir={folder}/run", f"data.synthetic.folder={folder}/data"],
    )
    return config, train(config, progress=False)


def test_four_scenes_are_learned_by_heart(run):
    _, result = run
    assert result.metrics["val_ap"] >= 0.8
    assert result.metrics["val_ap50"] >= 0.95


@pytest.mark.parametrize("format", ["saved_model", "tflite"])
def test_exports_give_the_same_poses(run, tmp_path, format):
    config, result = run
    scenes, _ = read_datasets(config, Skeleton.load(config.skeleton))
    images = [read_image(record.file, exif=False) for record in scenes.records]
    model = load_model(result.model)
    comparison = export_model(model, format, tmp_path / "exported", images=images)
    assert comparison.people >= len(scenes.records)  # each shows one or two
    assert comparison.unmatched == 0
    assert comparison.max_pose_difference_px <= 0.05
