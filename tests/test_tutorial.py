"""Every command of docs/OWN_DATA.md, from an empty folder.

They are run as they stand there, but for a third of the epochs: the mice are found
after these, too, and training takes most of the time.
"""

import json
import re
import shlex
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from qepose_tf.cli import main

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/OWN_DATA.md"
COMMANDS = [
    line
    for block in re.findall(r"```\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    for line in block.splitlines()
]
EPOCHS = "train.epochs=25"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where all commands were run, one after the other."""
    folder = tmp_path_factory.mktemp("tutorial")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("default")  # sigmas are missing, as the page says
        patch.chdir(folder)
        for command in COMMANDS:
            program, *arguments = shlex.split(command)
            if arguments[0] == "train":
                arguments.append(EPOCHS)
            if program == "qepose":
                assert main(arguments) == 0, command
            else:
                script, *arguments = arguments
                call = [sys.executable, ROOT / script, *arguments]
                subprocess.run(call, check=True)
    return folder


def test_the_page_goes_the_whole_way():
    steps = [shlex.split(command)[1] for command in COMMANDS]
    assert steps == ["examples/drawn_mice.py", "convert", "doctor", "train"] + [
        "evaluate",
        "predict",
        "export",
    ]


def test_the_mice_of_an_unseen_day_are_found(folder):
    results = json.loads((folder / "poses/results.json").read_text())
    assert len(list((folder / "poses").glob("*.jpg"))) == 10
    found = {entry["file_name"] for entry in results if "keypoints" in entry}
    assert len(found) >= 8


def test_everything_that_the_page_promises_is_there(folder):
    assert (folder / "doctor.html").stat().st_size > 10_000
    assert (folder / "mice.tflite").stat().st_size > 1_000_000
    assert (folder / "runs/mice/best.keras").is_file()
