import logging

import pytest

from qepose_tf.training.run_folder import open_run_folder


def test_makes_the_folder_and_its_parents(tmp_path):
    folder = open_run_folder(tmp_path / "runs/x")
    assert folder == tmp_path / "runs/x" and not list(folder.iterdir())


def test_a_folder_without_a_run_is_used(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    assert open_run_folder(tmp_path) == tmp_path
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_earlier_runs_are_kept_by_numbering(tmp_path, caplog):
    for name in ("x", "x-2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").touch()
    with caplog.at_level(logging.INFO, logger="qepose_tf"):
        folder = open_run_folder(tmp_path / "x")
    assert folder == tmp_path / "x-3"
    assert "holds an earlier run" in caplog.text


def test_overwrite_removes_the_run_and_nothing_else(tmp_path):
    for name in ("config.yaml", "log.csv", "best.keras", "last.keras", "mine.txt"):
        (tmp_path / name).touch()
    (tmp_path / "tensorboard").mkdir()
    (tmp_path / "tensorboard/events").touch()
    assert open_run_folder(tmp_path, overwrite=True) == tmp_path
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("inner", ["", "deeper/run"])
def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path, inner):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="expected a writable folder") as e:
        open_run_folder(tmp_path / "file" / inner)
    assert str(tmp_path / "file") in str(e.value) and "\n" not in str(e.value)
