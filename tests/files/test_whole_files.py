import stat

import pytest

from qepose_tf.benchmark.report import write_between_marks
from qepose_tf.files.whole_files import writable_folder, write_file


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
