import contextlib
import stat
import subprocess
import sys

import pytest

from qepose_tf.benchmark.report import write_between_marks
from qepose_tf.files.whole_files import (
    check_can_be_made,
    left_behind,
    whole,
    writable_folder,
    write_file,
)


def test_a_file_is_replaced_whole_and_readable_by_others(tmp_path):
    path = tmp_path / "a.json"
    write_file(path, "ä")
    write_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_a_failed_write_leaves_what_was_there(tmp_path):
    target = tmp_path / "folder"
    target.mkdir()
    with pytest.raises(OSError):
        write_file(target, "text")
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("durable", [False, True])
def test_a_block_that_fails_leaves_nothing_and_keeps_what_was_there(tmp_path, durable):
    path = tmp_path / "model.weights.h5"
    path.write_text("old")
    with pytest.raises(RuntimeError), whole(path, durable) as temporary:
        assert temporary.parent == tmp_path and temporary.name.endswith(".weights.h5")
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    with whole(path, durable) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.weights.h5"]


def test_a_folder_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "scenes"
    for error in (RuntimeError, None):
        with contextlib.suppress(RuntimeError), whole(path) as temporary:
            temporary.mkdir()
            (temporary / "a").write_text("")
            assert not path.exists()
            if error:
                raise error
        assert path.exists() == (error is None)
    assert [entry.name for entry in tmp_path.iterdir()] == ["scenes"]


def test_folders_are_made_with_their_parents(tmp_path):
    folder = tmp_path / "a" / "b"
    assert writable_folder(folder) == folder
    assert list(folder.iterdir()) == []


def test_a_folder_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file/out: expected a writable folder, Not a di"):
        writable_folder(tmp_path / "file" / "out")


def test_only_what_stands_between_the_marks_is_replaced(tmp_path):
    document = tmp_path / "RESULTS.md"
    begin, end = "<!-- bench: begin -->", "<!-- bench: end -->"
    document.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    write_between_marks(document, "bench", "new")
    assert document.read_text() == f"before\n{begin}\nnew\n{end}\nafter\n"
    with pytest.raises(ValueError, match="expected the marks <!-- ablation: begin"):
        write_between_marks(document, "ablation", "new")
    assert document.read_text() == f"before\n{begin}\nnew\n{end}\nafter\n"


def test_a_folder_that_cannot_be_made_is_told_and_nothing_is_made(tmp_path):
    check_can_be_made(tmp_path / "a/b")
    assert not (tmp_path / "a").exists()
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file/run: expected a writable .*file is a file"):
        check_can_be_made(tmp_path / "file/run")


def test_what_a_killed_writer_left_is_found(tmp_path):
    """A process of its own is killed between the first byte and the rename."""
    code = (
        "import os, sys\n"
        "from qepose_tf.files.whole_files import whole\n"
        "with whole(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    path = tmp_path / "best.keras"
    (tmp_path / "other-1-best.keras").write_text("not ours")
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -9
    (left,) = left_behind(path)
    assert left.read_text() == "half" and left.suffix == ".keras"
    assert left_behind(tmp_path / "last.keras") == []
