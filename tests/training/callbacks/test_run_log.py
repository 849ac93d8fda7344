import csv

import keras
import numpy as np
import pytest
import tensorflow as tf

from qepose_tf.evaluation.evaluate import Evaluation
from qepose_tf.training.callbacks.run_log import CsvLog, LearningRate, TensorBoardLog
from qepose_tf.training.callbacks.validation import CocoAP
from qepose_tf.training.optimizer import WarmupStepDecay
from qepose_tf.training.run_folder.state import RunState
from tests.data.pipelines import three_images
from tests.training.tiny_model import fit, tiny_data, tiny_model


class Sometimes(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch % 2:
            logs["val_ap"] = 0.25 * epoch


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def scalars(folder):
    """name -> {step: value}, from the event files."""
    found = {}
    for path in sorted(folder.glob("events*")):
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                number = tf.make_ndarray(value.tensor)
                found.setdefault(value.tag, {})[event.step] = number
    return found


class Closes(keras.callbacks.Callback):
    """Stands for the checkpoints, which add an epoch to the state."""

    def __init__(self, state):
        super().__init__()
        self.state = state

    def on_epoch_end(self, epoch, logs=None):
        self.state.history.append({"epoch": epoch, **logs})


def fit_logged(path, state, epochs, columns=(), others=()):
    chain = [Sometimes(), Closes(state), CsvLog(path, state, columns), *others]
    fit(tiny_model(), tiny_data(2), chain, epochs)


def test_csv_has_the_columns_that_come_later(tmp_path):
    path = tmp_path / "log.csv"
    fit_logged(path, RunState(2), 4, ["val_ap", "val_ar"])
    rows = rows_of(path)
    assert list(rows[0]) == ["epoch", "loss", "val_ap", "val_ar"]
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3"]
    assert [row["val_ap"] for row in rows] == ["", "0.25", "", "0.75"]


def test_csv_has_the_rows_of_the_state_and_no_other(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("epoch,loss\n0,1\n1,2\n2,half a ro")
    state = RunState(2, epoch=1, history=[{"epoch": 0, "loss": 0.1 + 0.2}])
    CsvLog(path, state).on_train_begin()
    assert path.read_text() == "epoch,loss\n0,0.30000000000000004\n"


def test_csv_rows_are_there_when_a_later_epoch_fails(tmp_path):
    class Fails(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise RuntimeError("power cut")

    path = tmp_path / "log.csv"
    with pytest.raises(RuntimeError):
        fit_logged(path, RunState(2), 3, others=[Fails()])
    assert len(rows_of(path)) == 2


def test_learning_rate_is_that_of_the_epoch_s_last_step():
    schedule = WarmupStepDecay(1e-3, 2, drop_epochs=[2], warmup_steps=4)
    model = tiny_model(keras.optimizers.SGD(schedule))
    history = fit(model, tiny_data(2), [LearningRate()], epochs=3).history
    np.testing.assert_allclose(history["learning_rate"], [5e-4, 1e-3, 1e-4], rtol=1e-6)


@pytest.mark.parametrize("wrapped", [False, True])
def test_learning_rate_without_schedule(wrapped):
    optimiser = keras.optimizers.SGD(0.25)
    if wrapped:
        optimiser = keras.optimizers.LossScaleOptimizer(optimiser)
    history = fit(tiny_model(optimiser), tiny_data(1), [LearningRate()]).history
    assert history["learning_rate"] == [0.25]


def test_tensorboard_has_every_finite_scalar(tmp_path):
    board = TensorBoardLog(tmp_path)
    history = fit(tiny_model(), tiny_data(2), [Sometimes(), board], epochs=4).history
    found = scalars(tmp_path)
    assert found["val_ap"] == {1: 0.25, 3: 0.75}
    assert list(found["loss"].values()) == pytest.approx(history["loss"])


def test_tensorboard_keeps_what_was_written_before_an_error(tmp_path):
    class Fails(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                raise RuntimeError("power cut")

    board = TensorBoardLog(tmp_path)
    with pytest.raises(RuntimeError):
        fit(tiny_model(), tiny_data(1), [board, Fails()], epochs=2)
    board.close()
    board.close()
    assert list(scalars(tmp_path)["loss"]) == [0]


def test_tensorboard_has_histograms_on_request(tmp_path):
    fit(tiny_model(), tiny_data(1), [TensorBoardLog(tmp_path, histograms=True)])
    found = scalars(tmp_path)
    assert {name.split("/")[-1] for name in found} >= {"kernel", "bias"}


def test_a_broken_picture_among_the_first_is_not_drawn_and_not_fatal(tmp_path):
    coco = three_images(tmp_path)
    broken = coco.records[0].file
    broken.write_bytes(broken.read_bytes()[:60])
    validation = CocoAP(coco)
    validation.evaluation = Evaluation({"AP": 0.5}, [], 0.0)
    board = TensorBoardLog(tmp_path / "log", validation, num_pictures=2)
    fit(tiny_model(), tiny_data(1), [board])
    drawn = [name for name in scalars(tmp_path / "log") if "predictions/" in name]
    ids = [record.image_id for record in coco.records[1:]]
    assert [int(name.split("/")[1]) for name in drawn] == ids
