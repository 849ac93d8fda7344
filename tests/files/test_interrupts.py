import os
import signal

import pytest

from qepose_tf.cli.terminal import guarded
from qepose_tf.files.interrupts import raise_if_interrupted, remembered_interrupts
from qepose_tf.files.whole_files import write_file, written_whole


@pytest.fixture(autouse=True)
def usual_handler():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def _swallowed_ctrl_c() -> None:
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def test_a_swallowed_interruption_publishes_no_file(tmp_path, capsys):
    def command():
        _swallowed_ctrl_c()
        write_file(tmp_path / "a.json", "text")

    assert guarded(command) == 1
    assert capsys.readouterr().err == "qepose: interrupted\n"
    assert list(tmp_path.iterdir()) == []


def test_a_swallowed_interruption_publishes_no_folder(tmp_path, capsys):
    def command():
        with written_whole(tmp_path / "new" / "pose", False, "pose.json") as folder:
            folder.mkdir()
            _swallowed_ctrl_c()

    assert guarded(command) == 1
    assert capsys.readouterr().err == "qepose: interrupted\n"
    assert list(tmp_path.iterdir()) == []


def test_an_error_that_follows_an_interruption_is_one(capsys):
    def command():
        _swallowed_ctrl_c()
        raise AttributeError("'dict' object has no attribute '_type_spec'")

    assert guarded(command) == 1
    assert capsys.readouterr().err == "qepose: interrupted\n"


def test_the_next_command_knows_nothing_of_it(tmp_path):
    assert guarded(_swallowed_ctrl_c) == 0
    write_file(tmp_path / "a.json", "text")
    assert guarded(lambda: write_file(tmp_path / "b.json", "text")) == 0


def test_an_interruption_is_raised_once():
    with remembered_interrupts() as interrupted:
        _swallowed_ctrl_c()
        assert interrupted.is_set()
        with pytest.raises(KeyboardInterrupt):
            raise_if_interrupted()
        raise_if_interrupted()  # what was done until then can be written


def test_an_ignored_signal_stays_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with remembered_interrupts() as interrupted:
        os.kill(os.getpid(), signal.SIGINT)
        assert not interrupted.is_set()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    signal.signal(signal.SIGINT, signal.default_int_handler)
