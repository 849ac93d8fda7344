import logging
import subprocess
import sys

import pytest

from qepose_tf.config.reading import dump_config
from qepose_tf.config.schema import Config
from qepose_tf.training.run_folder.folder import open_run_folder


def config_of(folder, **settings):
    train = {"run_dir": folder, **settings}
    return Config.model_validate({"name": "x", "train": train})


def open_and_close(folder, settings=None, **options):
    found = open_run_folder(config_of(folder, **(settings or {})), **options)
    found.close()
    return found


def put_run(folder, finished=False, **settings):
    folder.mkdir(parents=True)
    dump_config(config_of(folder, **settings), folder / "config.yaml")
    if finished:
        (folder / "run.json").touch()


def test_makes_the_folder_and_its_parents(tmp_path):
    found = open_and_close(tmp_path / "runs/x")
    assert found.path == tmp_path / "runs/x" and not found.resumed
    assert not list(found.path.iterdir())


def test_a_folder_without_a_run_is_used(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    assert open_and_close(tmp_path).path == tmp_path
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_other_runs_are_kept_by_numbering(tmp_path, caplog):
    put_run(tmp_path / "x", finished=True)
    put_run(tmp_path / "x-2", epochs=7)
    with caplog.at_level(logging.INFO, logger="qepose_tf"):
        found = open_and_close(tmp_path / "x")
    assert found.path == tmp_path / "x-3" and not found.resumed
    assert "holds another run" in caplog.text


def test_the_same_command_finds_the_run_that_was_stopped(tmp_path):
    put_run(tmp_path / "x", finished=True)
    put_run(tmp_path / "x-2")
    found = open_and_close(tmp_path / "x")
    assert found.path == tmp_path / "x-2" and found.resumed


def test_a_run_that_left_no_checkpoint_is_not_written_over(tmp_path):
    """Of an earlier version, or its checkpoints were removed."""
    put_run(tmp_path / "x")
    assert open_and_close(tmp_path / "x").resumed, "it had not begun"
    (tmp_path / "x/log.csv").touch()
    found = open_and_close(tmp_path / "x")
    assert found.path == tmp_path / "x-2" and not found.resumed
    message = "x/checkpoints: expected checkpoints to continue from, found none"
    with pytest.raises(ValueError, match=message):
        open_and_close(tmp_path / "x", resume=True)


def test_resume_insists_on_the_folder(tmp_path):
    assert not open_and_close(tmp_path / "new", resume=True).resumed
    put_run(tmp_path / "x", finished=True, epochs=7, learning_rate=0.5)
    with pytest.raises(ValueError) as error:
        open_and_close(tmp_path / "x", resume=True)
    assert str(error.value) == (
        f"{tmp_path}/x/config.yaml: expected the config of this run to resume it, "
        "different: train.epochs, train.learning_rate"
    )
    with pytest.raises(ValueError, match="different: train.learning_rate$"):
        open_and_close(tmp_path / "x", resume=True, allowed=["train.epochs"])
    keys = ["train.epochs", "train.learning_rate"]
    assert open_and_close(tmp_path / "x", resume=True, allowed=keys).resumed


def test_several_workers_take_no_other_name(tmp_path):
    put_run(tmp_path / "x", finished=True)
    with pytest.raises(ValueError, match="x: holds a finished run; --overwrite"):
        open_and_close(tmp_path / "x", numbered=False)


HOLD = """
import sys
from qepose_tf.training.run_folder.folder import open_run_folder
from tests.training.run_folder.test_folder import config_of
from pathlib import Path
folder = open_run_folder(config_of(Path(sys.argv[1])))
print("held", flush=True)
sys.stdin.read()
"""


def test_two_processes_do_not_train_in_one_folder(tmp_path):
    """The lock of a killed process is gone with it."""
    put_run(tmp_path / "x")
    words = [sys.executable, "-c", HOLD, str(tmp_path / "x")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(words, text=True, **pipes) as process:
        assert process.stdout.readline() == "held\n"
        assert open_and_close(tmp_path / "x").path == tmp_path / "x-2"
        with pytest.raises(ValueError, match="x: another process trains in this fold"):
            open_and_close(tmp_path / "x", resume=True)
        with pytest.raises(ValueError, match="x: another process trains in this fold"):
            open_and_close(tmp_path / "x", overwrite=True)
        process.kill()
        process.wait()
    assert open_and_close(tmp_path / "x").path == tmp_path / "x"


def test_what_a_killed_process_was_writing_is_removed(tmp_path):
    put_run(tmp_path / "x")
    (tmp_path / "x/checkpoints").mkdir()
    left = [
        ".12-34-best.keras",
        ".12-34-log.csv",
        "checkpoints/.12-34-step-000000003.safetensors",
    ]
    for name in [*left, ".mine", "checkpoints/step-000000002.safetensors"]:
        (tmp_path / "x" / name).touch()
    open_and_close(tmp_path / "x")
    assert not any((tmp_path / "x" / name).exists() for name in left)
    assert (tmp_path / "x/.mine").exists()
    assert (tmp_path / "x/checkpoints/step-000000002.safetensors").exists()


def test_overwrite_removes_the_run_and_nothing_else(tmp_path):
    names = ("log.csv", "best.keras", "last.keras", "run.json", "environment.json")
    for name in ("config.yaml", *names, "mine.txt"):
        (tmp_path / name).touch()
    for name in ("tensorboard", "checkpoints"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    assert not open_and_close(tmp_path, overwrite=True).resumed
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("inner", ["", "deeper/run"])
def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path, inner):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="expected a writable folder") as e:
        open_and_close(tmp_path / "file" / inner)
    assert str(tmp_path / "file") in str(e.value) and "\n" not in str(e.value)
