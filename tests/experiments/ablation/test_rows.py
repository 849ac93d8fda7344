import json
import logging
from pathlib import Path

import pytest

from experiments.ablation.rows import ROWS, body_config, row_config
from experiments.ablation.runs import RESULT, known_rows, read_result, run_all

FOLDER = Path("runs/ablation")


def test_a_row_takes_its_switches_and_nothing_else_from_its_config():
    scenes = row_config("full", 0, FOLDER)
    row = row_config("discrete_qeb", 3, FOLDER)
    assert row.model.head.quality_branch and row.loss.instance_label == "discrete"
    assert row.seed == 3 and row.run_dir == FOLDER / "discrete_qeb-seed3"
    head = row.model.head.model_copy(update={"quality_branch": False})
    assert row.model.model_copy(update={"head": head}) == scenes.model
    assert row.loss.model_copy(update={"instance_label": "cir"}) == scenes.loss
    assert row.data == scenes.data and row.augment == scenes.augment
    assert scenes.model.backbone == "tiny" and scenes.model.input_size == 128


@pytest.mark.parametrize("row", ROWS)
def test_every_row_has_a_config(row):
    config = row_config(row, 0, FOLDER)
    assert config.model.backbone_weights == FOLDER / "body.weights.h5"


def test_another_network_has_settings_of_its_own():
    config = row_config("dekr", 1, FOLDER)
    assert config.model.network == "dekr" and config.model.backbone == "tiny"
    assert config.model.head.keypoint_channels == 10
    assert config.loss.centre_sigma == 2.5 and config.seed == 1
    assert config.data == row_config("full", 0, FOLDER).data
    assert config.train.epochs == row_config("full", 0, FOLDER).train.epochs


def test_the_body_comes_from_scenes_of_its_own():
    body, row = body_config(FOLDER), row_config("full", 0, FOLDER)
    assert body.data.synthetic.seed != row.data.synthetic.seed
    assert body.model.backbone_weights is None
    assert body.loss.instance_label == "gaussian"


def test_a_result_counts_for_exactly_its_config(tmp_path, caplog):
    config = row_config("cir", 0, tmp_path)
    assert read_result(config) is None
    config.run_dir.mkdir()
    file = config.run_dir / RESULT
    result = {"config": config.model_dump(mode="json"), "val_ap": 0.2}
    file.write_text(json.dumps(result))
    assert read_result(config)["val_ap"] == 0.2
    assert read_result(row_config("cir", 0, tmp_path, ("train.epochs=9",))) is None
    file.write_text("{")
    assert read_result(config) is None and "not JSON" in caplog.text


def test_unknown_rows_are_named():
    assert known_rows([]) == list(ROWS)
    with pytest.raises(ValueError, match="expected rows of baseline.*got 'n7'"):
        known_rows(["n7"])


@pytest.mark.slow
def test_what_is_done_is_not_done_again_and_a_failed_run_is_named(tmp_path, caplog):
    """Two real runs of a few scenes; the second call trains the missing row alone."""
    caplog.set_level(logging.INFO, logger="experiments")
    small = (
        *("train.epochs=1", "train.drop_epochs=[]", "train.batch_size=4"),
        *("data.synthetic.train_scenes=4", "data.synthetic.val_scenes=2"),
        *("model.input_size=64", "data.synthetic.image_size=64"),
        *("data.synthetic.max_people=1", "data.synthetic.min_height=0.6"),
        f"data.synthetic.folder={tmp_path / 'data'}",
    )
    folder = tmp_path / "ablation"
    (first,) = run_all(folder, ["cir"], [0], 1, small)
    assert first["row"] == "cir" and 0 <= first["val_ap"] <= 1
    stamp = (folder / "cir-seed0" / RESULT).stat().st_mtime_ns
    caplog.clear()
    results = run_all(folder, ["cir"], [0], 1, small)
    assert results == [first] and "1 of 1 runs are there" in caplog.text
    assert (folder / "cir-seed0" / RESULT).stat().st_mtime_ns == stamp
    (folder / "body.weights.h5").write_bytes(b"no weights")
    with pytest.raises(RuntimeError, match=r"full-seed0 failed, see .*full-seed0\.log"):
        run_all(folder, ["cir", "full"], [0], 1, small)
    assert (folder / "cir-seed0" / RESULT).exists()
