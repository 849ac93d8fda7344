import csv

import keras
import numpy as np
import pytest
import tensorflow as tf

from qepose_tf.training.run_log import CsvLog, LearningRate, TensorBoardLog
from qepose_tf.training.schedule import WarmupStepDecay
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


def test_csv_has_the_columns_that_come_later(tmp_path):
    path = tmp_path / "log.csv"
    fit(tiny_model(), tiny_data(2), [Sometimes(), CsvLog(path, ["val_ap"])], epochs=4)
    rows = rows_of(path)
    assert list(rows[0]) == ["epoch", "loss", "val_ap"]
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3"]
    assert [row["val_ap"] for row in rows] == ["", "0.25", "", "0.75"]


def test_csv_continues_a_file_in_its_own_columns(tmp_path):
    path = tmp_path / "log.csv"
    fit(tiny_model(), tiny_data(1), [Sometimes(), CsvLog(path, ["val_ap"])], epochs=2)
    fit(tiny_model(), tiny_data(1), [LearningRate(), CsvLog(path)], epochs=1)
    rows = rows_of(path)
    assert list(rows[0]) == ["epoch", "loss", "val_ap"]
    assert [row["epoch"] for row in rows] == ["0", "1", "0"]
    assert rows[2]["val_ap"] == "" and float(rows[2]["loss"]) > 0


def test_csv_rows_are_there_when_a_later_epoch_fails(tmp_path):
    class Fails(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise RuntimeError("power cut")

    path = tmp_path / "log.csv"
    log = CsvLog(path)
    with pytest.raises(RuntimeError):
        fit(tiny_model(), tiny_data(1), [log, Fails()], epochs=3)
    assert len(rows_of(path)) == 2
    log.close()


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
