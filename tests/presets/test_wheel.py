"""What someone has who installs the package without a checkout."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import matplotlib
import pytest

ROOT = Path(__file__).resolve().parents[2]
PORTRAIT = Path(matplotlib.get_data_path()) / "sample_data/grace_hopper.jpg"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """The package as its wheel holds it."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(
        ROOT / "qepose_tf",
        source / "qepose_tf",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
        + ["--quiet", "--wheel-dir", folder, source],
        check=True,
    )
    (wheel,) = folder.glob("*.whl")
    assert wheel.stat().st_size < 16e6
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


def test_the_wheel_holds_the_preset_and_says_that_it_is_typed(unpacked):
    package = unpacked / "qepose_tf"
    for name in ("py.typed", "presets/people.keras", "presets/people.json"):
        source = (ROOT / "qepose_tf" / name).read_bytes()
        assert (package / name).read_bytes() == source


def test_predict_needs_nothing_but_a_photograph(unpacked, tmp_path):
    found = subprocess.run(
        [
            sys.executable,
            "-c",
            "from qepose_tf.cli import main; raise SystemExit(main())",
        ]
        + ["predict", str(PORTRAIT)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stderr
    written = {path.name for path in (tmp_path / "predictions").iterdir()}
    assert "results.json" in written and len(written) == 2
