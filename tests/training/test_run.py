import csv
import json
import logging
import signal
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from qepose_tf.building import read_datasets
from qepose_tf.cli import main
from qepose_tf.config.reading import dump_config, load_config
from qepose_tf.config.schema import Config
from qepose_tf.models import load_model
from qepose_tf.skeleton import COCO
from qepose_tf.training.callbacks.validation import COLUMNS
from qepose_tf.training.run import train
from qepose_tf.training.run_folder.state import newest_checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("micro_body")]


def make_config(folder, data=None, **settings):
    """A run of a minute or less: 8 scenes, 2 steps per epoch."""
    scenes = {"train_scenes": 8, "val_scenes": 3, "image_size": 80, "folder": folder}
    return Config.model_validate(
        {
            "name": "small",
            "model": {"backbone": "tiny", "input_size": 64},
            "data": {"min_area": 0.0, **(data or {"synthetic": scenes})},
            "train": {
                "epochs": 3,
                "batch_size": 4,
                "learning_rate": 1e-3,
                "warmup_steps": 2,
                "validate_every": 2,
                "strategy": "one_device",
                "num_gpus": 0,
                "run_dir": folder / "run",
                **settings,
            },
        }
    )


class Traces(keras.callbacks.Callback):
    """How often the loss was traced by the end of each epoch."""

    def on_train_begin(self, logs=None):
        def counted(*args, **kwargs):
            self.count += 1
            return compute_loss(*args, **kwargs)

        self.count, self.by_epoch = 0, []
        compute_loss = self.model.compute_loss
        self.model.compute_loss = counted

    def on_epoch_end(self, epoch, logs=None):
        self.by_epoch.append(self.count)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("small")


@pytest.fixture(scope="module")
def traces():
    return Traces()


@pytest.fixture(scope="module")
def finished(folder, traces):
    return train(make_config(folder), progress=False, callbacks=[traces])


def rows_of(run_dir):
    with open(run_dir / "log.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_the_run_folder_holds_what_a_run_leaves(finished):
    assert sorted(path.name for path in finished.run_dir.iterdir()) == [
        "best.keras",
        "checkpoints",
        "config.yaml",
        "environment.json",
        "last.keras",
        "log.csv",
        "run.json",
        "tensorboard",
    ]
    assert finished.model == finished.best == finished.run_dir / "best.keras"
    assert finished.last == finished.run_dir / "last.keras"


def test_the_resolved_config_makes_the_same_run_again(finished, folder):
    assert load_config(finished.run_dir / "config.yaml") == make_config(folder)


def test_csv_has_every_epoch_and_the_figures_of_those_validated(finished):
    rows = rows_of(finished.run_dir)
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    assert [row["val_ap"] == "" for row in rows] == [True, False, False]
    assert set(COLUMNS) < set(rows[0])
    assert [float(row["learning_rate"]) for row in rows] == pytest.approx([1e-3] * 3)
    assert finished.history["loss"] == [float(row["loss"]) for row in rows]
    assert len(finished.history["val_ap"]) == 2


def test_metrics_are_those_of_the_best_epoch(finished):
    assert set(finished.metrics) == set(COLUMNS)
    assert finished.metrics["val_ap"] == max(finished.history["val_ap"])


def test_tensorboard_has_scalars_and_drawn_predictions(finished):
    tags = set()
    for path in (finished.run_dir / "tensorboard").iterdir():
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                tags.add((event.step, value.tag))
                if value.tag == "predictions/1":
                    width, height, png = value.tensor.string_val
                    assert (width, height) == (b"80", b"80")
                    assert tf.io.decode_png(png).shape == (80, 80, 3)
    assert {(0, "loss"), (0, "learning_rate"), (2, "val_ap50")} <= tags
    assert {s for s, tag in tags if tag.startswith("predictions/")} == {1, 2}
    assert {t for s, t in tags if t.startswith("predictions/")} == {
        f"predictions/{image_id}" for image_id in (1, 2, 3)
    }


def test_both_checkpoints_load_and_predict(finished):
    images = np.random.default_rng(0).normal(size=(1, 64, 64, 3)).astype(np.float32)
    for path in (finished.best, finished.last):
        model = load_model(path)
        assert model.skeleton == COCO and model.input_size == 64
        assert model(images)["poses"].shape == (1, 30, 17, 2)


def test_the_last_checkpoint_carries_the_optimiser(finished):
    tensors, state = newest_checkpoint(finished.run_dir / "checkpoints")
    assert int(tensors["optimizer/0000"]) == state.total_steps == 6
    model = keras.saving.load_model(finished.last)
    for index, weight in enumerate(model.weights):
        np.testing.assert_array_equal(weight, tensors[f"weights/{index:04d}"])


def test_nothing_is_traced_again_after_the_first_epoch(finished, traces):
    assert traces.by_epoch[0] >= 1
    assert traces.by_epoch == [traces.by_epoch[0]] * 3


class InterruptAt(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (1, 0):
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def interrupted(finished, folder):
    """The run named again, on the same scenes as COCO files without validation."""
    scenes, _ = read_datasets(make_config(folder), COCO)
    files = {"annotations": scenes.path, "images": scenes.images_dir}
    config = make_config(folder, data={"train": files})
    with pytest.raises(KeyboardInterrupt):
        train(config, progress=False, callbacks=[InterruptAt()])
    return folder / "run-2"


def test_a_second_run_gets_its_own_folder(interrupted, finished):
    assert interrupted.is_dir() and interrupted != finished.run_dir


def test_an_interrupted_run_leaves_its_model_and_where_it_stood(interrupted):
    assert load_model(interrupted / "last.keras").input_size == 64
    assert not (interrupted / "best.keras").exists()
    tensors, state = newest_checkpoint(interrupted / "checkpoints")
    assert (state.epoch, state.step, state.steps_per_epoch) == (1, 1, 2)
    assert int(tensors["optimizer/0000"]) == 3


def test_the_same_seed_repeats_the_losses(interrupted, finished):
    again = float(rows_of(interrupted)[0]["loss"])
    assert again == pytest.approx(finished.history["loss"][0], rel=1e-5)


@pytest.fixture(scope="module")
def resumed(interrupted, folder):
    """The interrupted run, gone on with: it was stopped after 3 of 6 steps."""
    scenes, _ = read_datasets(make_config(folder), COCO)
    files = {"annotations": scenes.path, "images": scenes.images_dir}
    config = make_config(folder, data={"train": files})
    return train(config, progress=False)


def test_the_same_command_ends_the_run_as_if_it_had_not_been_stopped(resumed, finished):
    assert resumed.run_dir.name == "run-2"
    assert [int(row["epoch"]) for row in rows_of(resumed.run_dir)] == [0, 1, 2]
    for name in ("loss", "score_loss", "oks", "learning_rate", "gradient_norm"):
        expected = pytest.approx(finished.history[name], rel=1e-3)
        assert resumed.history[name] == expected, name
    whole, again = load_model(finished.last), load_model(resumed.last)
    for weight, expected in zip(again.weights, whole.weights, strict=True):
        np.testing.assert_allclose(weight, expected, rtol=0, atol=1e-3)


def test_a_finished_run_says_so(resumed):
    summary = json.loads((resumed.run_dir / "run.json").read_text())
    assert summary["finished"] and summary["epochs"] == "3 of 3"
    assert summary["steps"] == 6 and summary["seconds"] > 0
    starts = json.loads((resumed.run_dir / "environment.json").read_text())
    assert [(start["epoch"], start["step"]) for start in starts] == [(1, 0), (2, 1)]
    assert starts[0]["packages"]["tensorflow"] == tf.__version__


def test_info_tells_how_a_run_stands(resumed, finished, tmp_path, capsys):
    file = tmp_path / "info.json"
    assert main(["info", str(finished.run_dir), "--json", str(file)]) == 0
    report = json.loads(file.read_text())
    assert report["epochs"] == "3 of 3" and report["starts"] == 1
    assert report["best"]["val_ap"] == pytest.approx(finished.metrics["val_ap"])
    assert report["models"] == ["best.keras", "last.keras"]
    assert "3 of 3" in capsys.readouterr().out
    assert main(["info", str(tmp_path)]) == 1
    assert "expected the folder of a run, with a config.yaml" in capsys.readouterr().err


def test_another_config_is_not_resumed(resumed, folder):
    config = make_config(folder, run_dir=resumed.run_dir, learning_rate=0.5)
    with pytest.raises(ValueError, match="different: .*train.learning_rate"):
        train(config, resume=True)


class Poison(keras.callbacks.Callback):
    """Breaks the last hop's bias, after which nothing hides a NaN."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            weight = self.model.encoding.trainable_weights[-1]
            weight.assign(np.full(weight.shape, np.nan, np.float32))


def test_a_nan_stops_the_run_and_leaves_the_good_checkpoint(folder, tmp_path):
    config = make_config(folder, run_dir=tmp_path, validate_every=1)
    with pytest.raises(ValueError, match="infinite in epoch 2 of 3, step 1 of 2 "):
        train(config, progress=False, callbacks=[Poison()])
    tensors, state = newest_checkpoint(tmp_path / "checkpoints")
    assert state.total_steps == 2 and len(state.history) == 1
    assert all(np.isfinite(values).all() for values in tensors.values())
    assert len(rows_of(tmp_path)) == 1


def wait_for(path, process, seconds=600):
    deadline = time.monotonic() + seconds
    while not (path.exists() and path.read_text().count("\n") > 1):
        assert process.poll() is None, process.communicate()[1][-3000:]
        assert time.monotonic() < deadline, f"{path} did not come"
        time.sleep(0.1)


def test_ctrl_c_leaves_a_usable_checkpoint(forks, folder, tmp_path):
    config = make_config(
        folder, run_dir=tmp_path / "run", epochs=100_000, validate_every=100_000
    )
    dump_config(config, tmp_path / "config.yaml")
    words = ("train_tf.py", "--config", tmp_path / "config.yaml")
    process = forks.start("tests.micro_body", *words)
    try:
        wait_for(tmp_path / "run/log.csv", process)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    finally:
        process.kill()
        process.communicate()
    assert "stopping after this step" in errors
    assert "the same command continues from there" in errors
    assert process.returncode != 0
    assert load_model(tmp_path / "run/last.keras").input_size == 64
    assert not list((tmp_path / "run").glob(".*"))


def test_a_batch_larger_than_the_data_is_one_clear_line(folder, tmp_path):
    config = make_config(folder, run_dir=tmp_path / "run", batch_size=9)
    with pytest.raises(ValueError, match="batch_size: expected at most the 8 training"):
        train(config, progress=False)


def test_training_without_data_is_one_clear_line(tmp_path):
    config = make_config(tmp_path, data={"train": None})
    with pytest.raises(ValueError, match="expected data.train or data.synthetic"):
        train(config, progress=False)


def test_a_run_that_fails_before_it_begins_does_not_take_the_name(folder, tmp_path):
    config = make_config(folder, run_dir=tmp_path / "run", batch_size=9)
    for _ in range(2):
        with pytest.raises(ValueError):
            train(config, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_an_unwritable_folder_is_told_before_the_work(tmp_path, caplog):
    (tmp_path / "file").touch()
    config = make_config(tmp_path / "scenes", run_dir=tmp_path / "file/run")
    with caplog.at_level(logging.INFO), pytest.raises(OSError, match="file/run"):
        train(config, progress=False)
    assert not (tmp_path / "scenes").exists()
