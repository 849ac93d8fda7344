"""calibration.json and the pictures: complete, readable back, the same each time."""

import dataclasses
import json
import subprocess
import sys

import matplotlib
import pytest
from PIL import Image

from qepose_tf.evaluation.calibration import (
    read_calibration,
    write_calibration,
)
from qepose_tf.evaluation.calibration.one_model import draw_calibration
from qepose_tf.evaluation.calibration.several_models import draw_comparison
from tests.evaluation.test_calibration import found, four, measured, someone

EDGES = {
    "four": lambda: measured(*four()),
    "none": lambda: measured([someone(1)], []),
    "one": lambda: measured([someone(1)], [found(someone(1), 0.7, 0.9)]),
    "nobody": lambda: measured([], [found(someone(1), 0.7, 0.9)]),
    "outside": lambda: measured([someone(1)], [found(someone(1), 1.7, 0.9)]),
    "many bins": lambda: measured(*four(), num_bins=50),
    "one bin": lambda: measured(*four(), num_bins=1),
}


@pytest.mark.parametrize("case", EDGES)
def test_both_files_and_back(case, tmp_path):
    calibration = EDGES[case]()
    folder = tmp_path / "new" / "folder"
    write_calibration(calibration, folder)
    assert {p.name for p in folder.iterdir()} == {"calibration.json", "calibration.png"}
    assert read_calibration(folder) == calibration
    assert read_calibration(folder / "calibration.json") == calibration
    with Image.open(folder / "calibration.png") as picture:
        picture.load()
        assert (picture.format, picture.size) == ("PNG", (1200, 860))


def test_json_holds_the_figures_by_name_and_null_for_the_undefined(tmp_path):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    write_calibration(EDGES["none"](), tmp_path)
    text = (tmp_path / "calibration.json").read_text()
    content = json.loads(text, parse_constant=refuse)
    assert content["rank_correlation"] is None
    assert content["calibration_error"] is None
    assert content["ap_lost_to_ranking"] == 0.0
    assert content["num_bins"] == len(content["bins"]) == 10
    assert content["bins"][3] == {
        "low": 0.3,
        "high": 0.4,
        "count": 0,
        "mean_score": None,
        "mean_oks": None,
    }


def test_a_file_in_the_folders_place_is_refused(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(OSError, match="out: expected a writable folder"):
        write_calibration(EDGES["four"](), tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "got JSONDecodeError"),
        ("[]", "got TypeError"),
        ("{}", "got KeyError: 'num_bins'"),
        ('{"num_bins": 1, "bins": [], "sample": []}', "missing 13 required"),
        ('{"num_bins": 1, "bins": [{"low": 0}], "sample": []}', "got TypeError"),
    ],
)
def test_other_files_are_refused_by_name(text, message, tmp_path):
    path = tmp_path / "calibration.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="calibration.json: expected a calibration"):
        read_calibration(path)
    with pytest.raises(ValueError, match=message):
        read_calibration(path)
    with pytest.raises(FileNotFoundError, match="not found: .*none.json"):
        read_calibration(tmp_path / "none.json")


def test_a_picture_is_the_same_whatever_the_user_has_set(tmp_path):
    calibration = EDGES["four"]()
    draw_calibration(calibration, tmp_path / "first.png")
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        draw_calibration(calibration, tmp_path / "second.png")
        assert matplotlib.rcParams["font.size"] == 30
    first, second = (tmp_path / f"{n}.png" for n in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()


def test_points_are_drawn_in_two_colours(tmp_path):
    """A lone detection near a person is blue, one of nobody orange."""
    blue, orange = (0, 114, 178), (213, 94, 0)
    sizes = {}
    for name, oks in (("person", 0.9), ("stray", 0)):
        one = [someone(1)]
        path = tmp_path / f"{name}.png"
        # sixty points in one place are opaque; the bin's mean lies between two such
        results = [found(one[0], score, oks) for score in (0.61, 0.69)] * 60
        draw_calibration(measured(one, results), path)
        with Image.open(path) as picture:
            scatter = picture.convert("RGB").crop((90, 62, 780, 660))
        colours = {rgb: n for n, rgb in scatter.getcolors(1 << 20)}
        sizes[name] = [colours.get(colour, 0) for colour in (blue, orange)]
    assert sizes["person"][0] >= 4 and sizes["person"][1] == 0
    assert sizes["stray"][1] >= 4 and sizes["stray"][0] == 0


@pytest.mark.slow
@pytest.mark.parametrize("models", [1, 2, 3, 4, 7])
def test_a_comparison_is_1200_px_wide_and_grows_down(models, tmp_path):
    kinds = [EDGES[case]() for case in EDGES]
    path = tmp_path / "comparison.png"
    draw_comparison({f"model_{'x' * 30}_{i}": kinds[i] for i in range(models)}, path)
    with Image.open(path) as picture:
        picture.load()
        assert picture.format == "PNG"
        assert picture.width == 1200
        rows = 1 if models <= 4 else 2
        assert 300 * rows < picture.height < 900 * rows


def test_nothing_to_compare(tmp_path):
    with pytest.raises(ValueError, match="at least one calibration"):
        draw_comparison({}, tmp_path / "comparison.png")
    assert list(tmp_path.iterdir()) == []


def test_read_calibrations_draw_as_measured_ones_do(tmp_path):
    calibration = EDGES["four"]()
    write_calibration(calibration, tmp_path)
    draw_comparison({"a": calibration}, tmp_path / "measured.png")
    draw_comparison({"a": read_calibration(tmp_path)}, tmp_path / "read.png")
    measured_png = (tmp_path / "measured.png").read_bytes()
    assert measured_png == (tmp_path / "read.png").read_bytes()
    other = dataclasses.replace(calibration, ap=0.123)
    draw_comparison({"a": other}, tmp_path / "other.png")
    assert measured_png != (tmp_path / "other.png").read_bytes()


def test_matplotlib_is_imported_only_to_draw():
    code = (
        "import sys; "
        "from qepose_tf.evaluation.calibration import calibrate, write_calibration; "
        "assert 'matplotlib' not in sys.modules; "
        "import qepose_tf.evaluation.calibration.several_models; "
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
