"""Pictures are found whatever system or server has named them."""

import unicodedata

import pytest

from qepose_tf.conversion.places import beside, locate


@pytest.mark.parametrize(
    "name",
    [
        "cage a/Mäuse 1.png",
        "/home/someone/else/cage a/Mäuse 1.png",
        r"C:\Users\someone\cage a\Mäuse 1.png",
        r"cage a\Mäuse 1.png",
        "../../elsewhere/cage a/Mäuse 1.png",
        "Mäuse 1.png",
        "cage%20a/M%C3%A4use%201.png",
        "https://host.org/files/cage%20a/M%C3%A4use%201.png?token=1",
        "/data/local-files/?d=cage%20a/M%C3%A4use%201.png",
        unicodedata.normalize("NFD", "cage a/Mäuse 1.png"),
    ],
)
def test_a_name_of_another_machine(tmp_path, name):
    file = tmp_path / "cage a/Mäuse 1.png"
    file.parent.mkdir()
    file.touch()
    (tmp_path / "labels.json").touch()
    folders = [*beside(tmp_path / "labels.json", None), tmp_path / "cage a"]
    assert locate(name, folders) == file


def test_the_longest_part_of_a_name_decides(tmp_path):
    for folder in ("a", "b", "."):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "1.png").touch()
    assert locate("/x/b/1.png", [tmp_path]) == tmp_path / "b/1.png"
    assert locate("/x/c/1.png", [tmp_path]) == tmp_path / "1.png"
    assert locate("/x/c/2.png", [None, tmp_path]) is None


def test_the_working_folder_is_no_place_to_look(tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    (tmp_path / "work/1.png").touch()
    monkeypatch.chdir(tmp_path / "work")
    assert locate("1.png", [tmp_path]) is None
