import keras
import numpy as np
import pytest

from qepose_tf.training.callbacks.checkpoints import (
    BeforeValidation,
    Checkpoints,
    save_model,
)
from qepose_tf.training.callbacks.weights_copy import WeightsCopy
from qepose_tf.training.run_folder.state import (
    RunState,
    bring_back,
    newest_checkpoint,
    read_checkpoint,
    snapshot,
    write_checkpoint,
)
from tests.training.tiny_model import fit_counted, state_of, tiny_data, tiny_model


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


def run(folder, scores, steps=3, epochs=None, before=None, **settings):
    model, data = tiny_model(), tiny_data(steps)
    checkpoints = Checkpoints(folder, state_of(data), WeightsCopy(model), **settings)
    chain = [BeforeValidation(checkpoints, before)] if before else []
    fit_counted(
        model,
        data,
        checkpoints.state,
        [*chain, scores, checkpoints],
        epochs or len(scores.scores),
    )
    checkpoints.save_last()
    return checkpoints


def weights_of(path):
    return keras.saving.load_model(path).get_weights()


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_best_is_the_highest_score_and_last_the_last_epoch(tmp_path):
    scores = Scores([0.2, None, 0.7, 0.5, None])
    state = run(tmp_path, scores).state
    best, last = (
        weights_of(tmp_path / "best.keras"),
        weights_of(tmp_path / "last.keras"),
    )
    np.testing.assert_array_equal(best[0], scores.weights[2][0])
    np.testing.assert_array_equal(last[0], scores.weights[4][0])
    assert state.best_logs["val_ap"] == 0.7 and state.best_logs["epoch"] == 2
    assert names_in(tmp_path) == ["best.keras", "checkpoints", "last.keras"]


@pytest.mark.parametrize("undefined", [float("nan"), -1.0])
def test_an_undefined_score_is_never_the_best(tmp_path, undefined):
    state = run(tmp_path, Scores([undefined, undefined])).state
    assert not state.best_logs and names_in(tmp_path) == ["checkpoints", "last.keras"]


def test_the_first_of_equal_scores_stays(tmp_path):
    scores = Scores([0.0, 0.0])
    run(tmp_path, scores)
    best = weights_of(tmp_path / "best.keras")
    np.testing.assert_array_equal(best[0], scores.weights[0][0])


@pytest.mark.parametrize(
    "every, keep, before, steps",
    [
        (500, 9, None, [4, 8]),
        (3, 9, None, [3, 4, 7, 8]),
        (1, 3, None, [6, 7, 8]),
        (500, 9, 2, [4, 8]),
    ],
)
def test_the_last_few_stay(tmp_path, every, keep, before, steps):
    run(tmp_path, Scores([None, None]), 4, before=before, every=every, keep=keep)
    expected = [f"step-{step:09d}.safetensors" for step in steps]
    assert names_in(tmp_path / "checkpoints") == expected


def test_before_a_validation_the_epoch_is_not_yet_ended(tmp_path):
    class Killed(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise RuntimeError("killed while it validates")

    model, data = tiny_model(), tiny_data(3)
    checkpoints = Checkpoints(tmp_path, state_of(data), WeightsCopy(model))
    chain = [BeforeValidation(checkpoints, 1), Killed(), checkpoints]
    with pytest.raises(RuntimeError):
        fit_counted(model, data, checkpoints.state, chain)
    _, state = newest_checkpoint(tmp_path / "checkpoints")
    assert (state.epoch, state.step, state.history) == (0, 3, [])


def test_other_workers_write_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    state = run(None, Scores([0.5]), every=1).state
    assert state.epoch == 1 and not names_in(tmp_path)


def test_a_checkpoint_brings_back_every_number(tmp_path):
    model = tiny_model(keras.optimizers.Adam(0.1))
    fit_counted(model, tiny_data(3), RunState(3), [], epochs=2)
    tensors = snapshot(model)
    kinds = {name.split("/")[0] for name in tensors}
    assert kinds == {"weights", "optimizer", "metrics"}
    state = RunState(3, 2, 0, 1.5, [{"epoch": 0, "loss": 0.1 + 0.2}], {"val_ap": 0.25})
    path = tmp_path / "step-000000006.safetensors"
    write_checkpoint(path, tensors, state)
    found, again = read_checkpoint(path)
    assert again == state
    other = tiny_model(keras.optimizers.Adam(0.1))
    bring_back(other, found)
    for name, value in snapshot(other).items():
        if not name.startswith("metrics"):
            np.testing.assert_array_equal(value, tensors[name])
    with pytest.raises(
        ValueError, match="expected the variables of this model, 4 diff"
    ):
        bring_back(tiny_model("sgd"), found)


def damaged(path, kind):
    content = bytearray(path.read_bytes())
    if kind == "truncated":
        return content[: len(content) // 2]
    if kind == "empty":
        return b""
    content[-3] ^= 1
    return content


@pytest.mark.parametrize("kind", ["truncated", "empty", "flipped"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, kind, caplog):
    run(tmp_path, Scores([None] * 3))
    files = sorted((tmp_path / "checkpoints").iterdir())
    files[-1].write_bytes(damaged(files[-1], kind))
    _, state = newest_checkpoint(tmp_path / "checkpoints")
    assert state.epoch == 2
    assert str(files[-1]) in caplog.text and "the one before it is used" in caplog.text
    for file in files[:-1]:
        file.write_bytes(damaged(file, kind))
    with pytest.raises(ValueError, match="none of its 3 checkpoints can be read"):
        newest_checkpoint(tmp_path / "checkpoints")
    assert newest_checkpoint(tmp_path / "none") is None


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
    assert names_in(tmp_path) == ["last.keras"]
