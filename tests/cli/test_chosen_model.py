"""Which model a command takes where none is named, and from which score it shows."""

from pathlib import Path

import pytest
import typer

from qepose_tf.cli.options import MIN_SCORE, model_and_sources, shown_from
from qepose_tf.presets import PRESETS


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "words, expected",
    [
        (["a.jpg"], ("people", ["a.jpg"])),
        (["photos", "b.png"], ("people", ["photos", "b.png"])),
        (["people", "a.jpg"], ("people", ["a.jpg"])),
        (["best.keras", "a.jpg", "b.jpg"], ("best.keras", ["a.jpg", "b.jpg"])),
    ],
)
def test_the_first_word_may_be_the_model(words, expected):
    assert model_and_sources(words) == expected


def test_a_folder_of_the_presets_name_is_a_source():
    Path("people").mkdir()
    assert model_and_sources(["people"]) == ("people", ["people"])
    assert model_and_sources(["people", "more"]) == ("people", ["people", "more"])


@pytest.mark.parametrize("model", ["people", "best.keras"])
def test_a_model_alone_is_refused(model):
    with pytest.raises(
        typer.BadParameter, match=f"{model}: expected images after the model"
    ):
        model_and_sources([model])


def test_the_score_is_the_presets_or_that_of_any_model():
    assert shown_from("people") == PRESETS["people"].min_score
    assert shown_from("best.keras") == MIN_SCORE == 0.2


def test_a_folder_of_the_presets_name_does_not_change_the_score():
    Path("people").mkdir()
    assert shown_from("people") == PRESETS["people"].min_score
