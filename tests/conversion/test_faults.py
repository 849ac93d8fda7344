"""What is wrong gives one line that names it, and leaves nothing behind."""

import builtins
import json
import sys

import numpy as np
import pytest
from PIL import Image

from qepose_tf.cli import main
from qepose_tf.conversion import convert as module
from qepose_tf.conversion.convert import convert
from tests.cli.test_cli import fails
from tests.conversion import animals
from tests.conversion.animals import found, poses


def labelme_folder(folder, count=4, people=poses):
    for number in range(count):
        cage = folder / f"cage{number % 2}"
        animals.write_picture(cage / f"{number}.png", number)
        animals.labelme_file(cage / f"{number}.json", f"{number}.png", people(number))
    return folder


def yolo_folder(folder, line, kpt_shape="[2, 3]", more=""):
    animals.write_picture(folder / "train/images/1.png", 1)
    (folder / "train/labels").mkdir(parents=True)
    (folder / "train/labels/1.txt").write_text(line)
    (folder / "data.yaml").write_text(
        f"train: train/images\nkpt_shape: {kpt_shape}\nnames: [mouse]\n{more}"
    )
    return folder


GOOD_LINE = "0 .5 .5 .5 .5 .1 .2 2 .3 .4 1"


@pytest.mark.parametrize(
    ("line", "more", "message"),
    [
        ("0 .5 .5 .5 .5 .1 .2 2", "", "1.txt, line 1: expected 11 numbers (class, box"),
        (f"{GOOD_LINE}\n0 a", "", "1.txt, line 2: expected numbers, got '0 a'"),
        ("0 .5 .5 .5 .5 40 9 2 .3 .4 1", "", "expected shares of the picture, 0 to 1"),
        ("0 48 32 .5 .5 .1 .2 2 .3 .4 1", "", "a box in shares of the picture"),
        ("0 .5 .5 .5 .5 .1 .2 7 .3 .4 1", "", "expected visibility 0, 1 or 2, got 7"),
        (GOOD_LINE, "flip_idx: [1, 1]", "flip_idx: expected [0, 1] in an order"),
        (GOOD_LINE, "kpt_names: [a]", "expected 2 keypoint names, got ['a']"),
        (GOOD_LINE, "skeleton: [[0, 9]]", "skeleton: expected pairs of numbers 0 to 1"),
        (GOOD_LINE, "val: nowhere", "val: no folder or list 'nowhere' below"),
        (GOOD_LINE, "names: [", "expected YAML"),
        (GOOD_LINE, "val: ..", "val: expected a folder of pictures, got"),
    ],
)
def test_yolo(tmp_path, capsys, line, more, message):
    source = yolo_folder(tmp_path / "yolo", line, more=more)
    error = fails(capsys, "convert", source, "--out", tmp_path / "out")
    assert message in error and str(source) in error
    assert {path.name for path in tmp_path.iterdir()} == {"yolo"}


@pytest.mark.parametrize("part", ["train/labels", "train/labels/1.txt", "data.yaml"])
def test_a_part_of_a_yolo_data_set_stands_for_it(tmp_path, part):
    source = yolo_folder(tmp_path / "yolo", GOOD_LINE)
    report = convert(source / part, tmp_path / "out", val_share=0)
    assert report["train"] == {"pictures": 1, "people": 1, "ignored": 0}


def test_yolo_without_its_labels(tmp_path, capsys):
    source = yolo_folder(tmp_path / "yolo", GOOD_LINE)
    (source / "train/labels/1.txt").unlink()
    error = fails(capsys, "convert", source, "--out", tmp_path / "out")
    assert "none of 1 pictures has a label file" in error
    assert str(source / "train/labels/1.txt") in error


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"imagePath": None}, "imagePath: expected a name, got None"),
        ({"shapes": [3]}, "shape 0: expected an object, got 3"),
        (
            {"shapes": [{"shape_type": "point", "points": [[1, "b"]], "label": "a"}]},
            "shape 0: points: expected pairs of numbers: [[1, 'b']]",
        ),
        (
            {"shapes": [{"shape_type": "point", "points": [[1, 2]], "label": "a"}] * 2},
            "'a' stands twice among the points without a group_id; give the points",
        ),
        ({"imagePath": "gone.png"}, "no picture can be used: pictures without a file"),
        ({"imageWidth": 50}, "pictures of another size than was annotated"),
        ({"shapes": []}, "expected labelled keypoints, got none"),
    ],
)
def test_labelme(tmp_path, capsys, change, message):
    file = animals.labelme_file(tmp_path / "in/1.json", "1.png", poses(1), **change)
    animals.write_picture(tmp_path / "in/1.png", 1)
    error = fails(capsys, "convert", file, "--out", tmp_path / "out")
    assert message in error and str(file) in error
    assert {path.name for path in tmp_path.iterdir()} == {"in"}


TASK = {"id": 7, "data": {"image": "1.png"}}
SIZE = {"original_width": 96, "original_height": 64}
POINT = {"type": "keypointlabels", **SIZE}
OTHERS = {
    "nothing.json": ("{}", "this JSON holds no labels; expected SLEAP"),
    "empty.json": ("[]", "this JSON holds no labels; expected SLEAP"),
    "broken.json": ('{"a": ', "expected JSON, Expecting value"),
    "via.json": (
        '{"_via_img_metadata": {}}',
        "VIA wrote this, whose points have no common",
    ),
    "datumaro.json": (
        '{"items": [], "info": {}}',
        "Datumaro wrote this, `datum convert",
    ),
    "cvat.xml": ("<annotations/>", "if CVAT wrote it, export 'COCO Keypoints 1.0'"),
    "film.mp4": ("", "this is a video or a picture, and its labels lie elsewhere"),
    "some.yaml": ("a: 1", "this YAML has no kpt_shape"),
    "1.txt": ("0 1", "one label file; name its data set's YAML"),
    "bad.slp": ("no HDF5", "expected a file that sleap-io reads; it says: "),
    "dlc.csv": ("scorer,me,me\nbodyparts,a,a\n", "expected DeepLabCut's table"),
    "dlc2.csv": (
        "scorer,me,me\nbodyparts,a,a\ncoords,x,y\na.png,1,b\n",
        "dlc2.csv, line 4: expected a number, got 'b'",
    ),
    "dlc3.csv": (
        "scorer,me,me\nbodyparts,a,a\ncoords,x,y\n17,1,2\n",
        "dlc3.csv, line 4: expected a picture's name, got 17; this is the analysis",
    ),
    "ls1.json": (
        json.dumps([{**TASK, "annotations": [{"result": [{**POINT, "value": {}}]}]}]),
        "task 7: result 0: expected original_width, original_height and a value",
    ),
    "ls2.json": (
        json.dumps(
            [
                {
                    **TASK,
                    "annotations": [
                        {
                            "result": [
                                {
                                    **POINT,
                                    "id": i,
                                    "value": {"x": 1, "y": 1, "keypointlabels": ["a"]},
                                }
                                for i in range(2)
                            ]
                        }
                    ],
                }
            ]
        ),
        "task 7: 'a' stands twice in one animal; tie the points",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_files(tmp_path, capsys, name):
    content, message = OTHERS[name]
    source = tmp_path / name
    source.write_text(content)
    error = fails(capsys, "convert", source, "--out", tmp_path / "out")
    assert message in error and str(source) in error
    assert {path.name for path in tmp_path.iterdir()} == {name}


def test_paths_that_are_not_there(tmp_path, capsys):
    error = fails(capsys, "convert", tmp_path / "no", "--out", tmp_path / "out")
    assert f"{tmp_path / 'no'}: no such file or folder" in error
    (tmp_path / "in").mkdir()
    error = fails(capsys, "convert", tmp_path / "in", "--out", tmp_path / "out")
    assert "has no DeepLabCut tables, no YAML with kpt_shape and no labelme" in error
    words = ("convert", tmp_path / "in", "--out", tmp_path / "out", "--images", "no")
    assert "no: no such folder of pictures or videos" in fails(capsys, *words)


def test_a_missing_package_is_named(tmp_path, capsys, monkeypatch):
    (tmp_path / "a.slp").write_text("")
    monkeypatch.delitem(sys.modules, "sleap_io", raising=False)
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name == "sleap_io":
            raise ModuleNotFoundError(name="sleap_io")
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    error = fails(capsys, "convert", tmp_path / "a.slp", "--out", tmp_path / "out")
    assert "pip install qepose-tf[convert]" in error and "a.slp" in error
    source = labelme_folder(tmp_path / "in")  # needs no other package
    assert main(["convert", str(source), "--out", str(tmp_path / "out")]) == 0


def test_one_name_of_two_pictures(tmp_path, capsys):
    images = [
        {"id": i, "file_name": f"{folder}/1.png", "width": 96, "height": 64}
        for i, folder in enumerate("ab")
    ]
    category = {"id": 1, "name": "mouse", "keypoints": ["nose"]}
    content = {"images": images, "annotations": [], "categories": [category]}
    (tmp_path / "a.json").write_text(json.dumps(content))
    animals.write_picture(tmp_path / "1.png", 1)
    error = fails(capsys, "convert", tmp_path / "a.json", "--out", tmp_path / "out")
    assert "a/1.png and b/1.png both lead to" in error


def test_nothing_is_replaced_unasked(tmp_path, capsys):
    source, out = labelme_folder(tmp_path / "in"), tmp_path / "out"
    words = ["convert", str(source), "--out", str(out)]
    assert main(words) == 0
    capsys.readouterr()
    before = (out / "train.json").read_bytes()
    assert f"{out}: exists" in fails(capsys, *words)
    assert main([*words, "--overwrite", "--seed", "1", "--val-share", "0"]) == 0
    assert (out / "train.json").read_bytes() != before
    assert not (out / "val.json").exists()
    capsys.readouterr()
    # A folder that was not written by this command, and one that holds the source.
    error = fails(capsys, "convert", source, "--out", source, "--overwrite")
    assert "only a folder that holds train.json is overwritten" in error
    error = fails(
        capsys, "convert", out / "train.json", "--out", out, "--overwrite"
    )  # fmt: skip
    assert f"{out}: holds {out / 'train.json'}, which is converted" in error
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out"}
    assert len(list(source.rglob("*.png"))) == 4


@pytest.mark.parametrize("fault", [KeyboardInterrupt, OSError(28, "No space left")])
def test_stopped_half_way(tmp_path, capsys, monkeypatch, fault):
    source, out = labelme_folder(tmp_path / "in"), tmp_path / "deep/out"
    real = module.write_split

    def stops(folder, name, *arguments):
        if name == "val":
            assert list(folder.rglob("*.png")), "train's pictures are written by now"
            raise fault
        return real(folder, name, *arguments)

    monkeypatch.setattr(module, "write_split", stops)
    assert main(["convert", str(source), "--out", str(out)]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"in"}


def test_pictures_that_cannot_be_used(tmp_path, caplog):
    source = labelme_folder(tmp_path / "in", 6)
    (source / "cage0/0.png").unlink()
    (source / "cage1/1.png").write_bytes(b"no picture")
    convert(source, tmp_path / "out")
    assert set(found(tmp_path / "out")[0]) == {2, 3, 4, 5}
    assert "1 pictures without a file; left out" in caplog.text
    assert "1 pictures that cannot be decoded; left out" in caplog.text


def test_a_name_that_the_skeleton_does_not_have(tmp_path, capsys):
    source = labelme_folder(tmp_path / "in")
    bones = tmp_path / "bones.yaml"
    names = "[nose, left_ear, right_ear, tails]"
    bones.write_text(f"name: m\nkeypoints: {names}\nsigmas: [.1, .1, .1, .1]\n")
    error = fails(
        capsys, "convert", source, "--out", tmp_path / "out", "--skeleton", bones
    )  # fmt: skip
    assert "keypoint 'tail' is not in skeleton 'm'; did you mean 'tails'?" in error


@pytest.mark.parametrize("tag", range(1, 9))
def test_pictures_with_an_orientation_are_written_as_they_were_annotated(tmp_path, tag):
    """A dark corner has to stay under the keypoint that marks it."""
    upright = np.full((64, 96), 200, np.uint8)
    upright[:16, :16] = 20
    inverse = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # of Pillow's transposes
    stored = Image.fromarray(upright)
    if tag > 1:
        turn = {0: Image.Transpose.FLIP_LEFT_RIGHT, 1: Image.Transpose.FLIP_TOP_BOTTOM}
        turn |= {2: Image.Transpose.ROTATE_90, 3: Image.Transpose.ROTATE_180}
        turn |= {4: Image.Transpose.ROTATE_270, 5: Image.Transpose.TRANSPOSE}
        turn |= {6: Image.Transpose.TRANSVERSE}
        stored = stored.transpose(turn[inverse[tag]])
    exif = Image.Exif()
    exif[0x0112] = tag
    (tmp_path / "in").mkdir()
    for number in range(2):
        stored.save(tmp_path / f"in/{number}.png", exif=exif)
        animals.labelme_file(
            tmp_path / f"in/{number}.json", f"{number}.png", np.array([[[8.0, 8, 2]]]),
            names=["corner"],
        )  # fmt: skip
    convert(tmp_path / "in", tmp_path / "out")
    for file in (tmp_path / "out/images").rglob("*.png"):
        with Image.open(file) as image:
            assert image.size == (96, 64)
            assert image.getexif().get(0x0112, 1) == 1
            np.testing.assert_array_equal(np.asarray(image.convert("L")), upright)
