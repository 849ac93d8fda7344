"""What someone has who installs the package without a checkout."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import skimage
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]

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
    """It finds the astronaut, whose eyes are at (205, 110) and (245, 110)."""
    Image.fromarray(skimage.data.astronaut()).save(tmp_path / "astronaut.png")
    found = subprocess.run(
        [
            sys.executable,
            "-c",
            "from qepose_tf.cli import main; raise SystemExit(main())",
        ]
        + ["predict", "astronaut.png"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stderr
    written = {path.name for path in (tmp_path / "predictions").iterdir()}
    assert "results.json" in written and len(written) == 2
    results = json.loads((tmp_path / "predictions/results.json").read_text())
    best = max(results, key=lambda person: person["score"])
    eyes = np.reshape(best["keypoints"], (17, 3))[1:3, :2]
    np.testing.assert_allclose(eyes, [(245, 110), (205, 110)], atol=20)
