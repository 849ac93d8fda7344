"""DEKR in PyTorch and ours, with the same weights, make the same maps."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qepose_tf.weights import import_dekr
from tests.backends import to_numpy

ROOT = Path(__file__).parents[2]
SIZES = ("64x64", "96x160")
TOLERANCE = 1e-4
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("torch") is None,
        reason="needs torch; make install-timm installs it",
    ),
]


def written_by_pytorch(folder, *models):
    """The folder, with what `dekr_torch` writes."""
    words = [sys.executable, "-m", "tests.weights.dekr_torch", str(folder), *models]
    done = subprocess.run(
        words, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def narrow(tmp_path_factory):
    folder = tmp_path_factory.mktemp("narrow")
    return written_by_pytorch(folder, "dekr:tiny:17", "mmpose:tiny:14")


def check_maps(folder, variant, keypoints):
    model, report = import_dekr(folder / "dekr.pth")
    assert report.backbone == variant
    assert model.skeleton.num_keypoints == keypoints
    for size in SIZES:
        with np.load(folder / f"{size}.npz") as theirs:
            outputs = model(theirs["images"], training=False)
            names = "keypoint_heatmaps", "score_map"
            heat = np.concatenate([to_numpy(outputs[name]) for name in names], -1)
            displacements = to_numpy(model.displacement_map(outputs))
            pairs = (heat, theirs["heat"]), (displacements, theirs["displacements"])
            for ours, expected in pairs:
                assert ours.shape == expected.shape
                assert np.ptp(expected) > 1
                error = np.abs(ours - expected).max() / np.abs(expected).max()
                assert error < TOLERANCE, size


@pytest.mark.parametrize(("form", "keypoints"), [("dekr", 17), ("mmpose", 14)])
def test_heatmaps_and_displacements_of_a_narrow_network(narrow, form, keypoints):
    check_maps(narrow / f"{form}_tiny", "tiny", keypoints)


def test_heatmaps_and_displacements_of_w32(tmp_path):
    written_by_pytorch(tmp_path, "dekr:w32:17")
    check_maps(tmp_path / "dekr_w32", "w32", 17)
