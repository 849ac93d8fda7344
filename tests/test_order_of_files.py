"""The longest files are there, and a worker takes them first."""

from types import SimpleNamespace

from tests.conftest import LONGEST, ROOT, pytest_collection_modifyitems


def test_the_longest_files_come_first_and_the_others_keep_their_order():
    paths = [ROOT / name for name in ("b.py", "a.py", *reversed(LONGEST))]
    items = [SimpleNamespace(path=path) for path in paths]
    pytest_collection_modifyitems(items)
    expected = [ROOT / name for name in (*LONGEST, "b.py", "a.py")]
    assert [item.path for item in items] == expected


def test_the_longest_files_exist():
    assert [name for name in LONGEST if not (ROOT / name).is_file()] == []
