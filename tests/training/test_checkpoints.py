import keras
import numpy as np
import pytest

from qepose_tf.training.checkpoints import Checkpoints, copy_file, save_model
from tests.training.tiny_model import fit, tiny_data, tiny_model


class Scores(keras.callbacks.Callback):
    """Puts given scores into the logs and notes the weights of each epoch."""

    def __init__(self, scores):
        super().__init__()
        self.scores = scores
        self.weights = []

    def on_epoch_end(self, epoch, logs=None):
        self.weights.append(self.model.get_weights())
        if self.scores[epoch] is not None:
            logs["val_ap"] = self.scores[epoch]


def weights_of(path):
    return keras.saving.load_model(path).get_weights()


def test_best_is_the_highest_score_and_last_the_last_epoch(tmp_path):
    scores = Scores([0.2, None, 0.7, 0.5, None])
    checkpoints = Checkpoints(tmp_path)
    fit(tiny_model(), tiny_data(3), [scores, checkpoints], epochs=5)
    assert checkpoints.best == tmp_path / "best.keras"
    assert checkpoints.last == tmp_path / "last.keras"
    np.testing.assert_array_equal(weights_of(checkpoints.best)[0], scores.weights[2][0])
    np.testing.assert_array_equal(weights_of(checkpoints.last)[0], scores.weights[4][0])
    assert checkpoints.best_logs["val_ap"] == 0.7
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "best.keras",
        "last.keras",
    ]


def test_an_undefined_score_is_never_the_best(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    scores = Scores([float("nan"), float("nan")])
    fit(tiny_model(), tiny_data(1), [scores, checkpoints], epochs=2)
    assert checkpoints.best is None and checkpoints.last is not None


def test_the_first_of_equal_scores_stays(tmp_path):
    scores = Scores([0.0, 0.0])
    checkpoints = Checkpoints(tmp_path)
    fit(tiny_model(), tiny_data(1), [scores, checkpoints], epochs=2)
    np.testing.assert_array_equal(weights_of(checkpoints.best)[0], scores.weights[0][0])


class Counted(Checkpoints):
    count = 0

    def save_last(self):
        self.count += 1
        return super().save_last()


@pytest.mark.parametrize("seconds, saved", [(0.0, 3), (1e9, 1)])
def test_last_is_saved_when_it_is_old_and_at_the_end(tmp_path, seconds, saved):
    checkpoints = Counted(tmp_path, seconds=seconds)
    fit(tiny_model(), tiny_data(1), [checkpoints], epochs=3)
    assert checkpoints.count == saved


def test_a_failed_save_keeps_the_former_file_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "last.keras"
    save_model(tiny_model(), path)
    before = path.read_bytes()

    class Broken(keras.layers.Layer):
        def call(self, inputs):
            return inputs

        def save_own_variables(self, store):
            raise OSError("disk full")

    model = keras.Sequential([keras.Input((2,)), Broken()])
    with pytest.raises(OSError, match="disk full"):
        save_model(model, path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["last.keras"]


def test_copies_a_file_over_another(tmp_path):
    (tmp_path / "a").write_text("new")
    (tmp_path / "b").write_text("old")
    copy_file(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_text() == "new"
    with pytest.raises(FileNotFoundError):
        copy_file(tmp_path / "missing", tmp_path / "b")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]
