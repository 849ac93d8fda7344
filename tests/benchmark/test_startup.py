"""`benchmarks/startup.py` from words to figures."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*words):
    return subprocess.run(
        [sys.executable, ROOT / "benchmarks/startup.py", *map(str, words)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


def test_a_missing_file_is_named(tmp_path):
    done = run(tmp_path / "none.keras")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.endswith("none.keras: expected a .keras model file, found none")


@pytest.mark.slow
def test_figures_and_targets(model_file, tmp_path):
    report = tmp_path / "report.json"
    done = run(model_file, "--runs", 1, "--json", report)
    assert done.returncode == 0, done.stderr
    content = json.loads(report.read_text())
    rows = {row["name"]: row for row in content["rows"]}
    assert rows["import tensorflow"]["seconds"] > 0
    poses = rows["first poses of a saved W32"]
    assert 0 < poses["without imports"] < poses["seconds"]
    assert [target["target"] for target in content["targets"]] == [0.7, 6.0, 20.0]
