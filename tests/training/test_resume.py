import keras
import numpy as np

from qepose_tf.training.checkpoints import Checkpoints
from qepose_tf.training.resume import best_row, restore, restored_log
from tests.training.tiny_model import fit, tiny_data, tiny_model


def adam():
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([4], [0.1, 0.01])
    return keras.optimizers.Adam(schedule)


def test_a_run_stopped_between_epochs_goes_on_as_if_nothing_had_happened(tmp_path):
    """Weights, Adam's moments and the schedule's step: equal to the bit."""
    data = tiny_data(3)
    whole = tiny_model(adam())
    fit(whole, data, [], epochs=4)
    first = tiny_model(adam())
    fit(first, data, [Checkpoints(tmp_path)], epochs=2)
    again = tiny_model(adam())
    assert restore(again, tmp_path, 3) == 2
    again.fit(data, initial_epoch=2, epochs=4, shuffle=False, verbose=0)
    assert int(again.optimizer.iterations) == 12
    for weight, expected in zip(again.weights, whole.weights, strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_an_unfinished_epoch_is_counted_once(tmp_path):
    model = tiny_model(adam())
    fit(model, tiny_data(5), [Checkpoints(tmp_path)])
    again = tiny_model(adam())
    assert restore(again, tmp_path, 3) == 1
    assert int(again.optimizer.iterations) == 3


def test_rows_of_epochs_that_are_trained_again_leave_the_log(tmp_path):
    kept = "epoch,loss,val_ap\n0,3.0,\n1,2.0,0.25\n"
    (tmp_path / "log.csv").write_text(f"{kept}2,1,0.5\n")
    rows = restored_log(tmp_path, 2)
    assert [row["epoch"] for row in rows] == ["0", "1"]
    assert (tmp_path / "log.csv").read_text() == kept
    assert best_row(tmp_path, rows, "val_ap") == {}, "no best model is there"
    (tmp_path / "best.keras").touch()
    best = best_row(tmp_path, rows, "val_ap")
    assert best == {"epoch": 1, "loss": 2.0, "val_ap": 0.25}
    assert restored_log(tmp_path / "none", 2) == []
