"""What is checked before a commit is what `make lint` checks."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]


def test_the_hooks_run_the_commands_of_make_lint():
    makefile = (ROOT / "Makefile").read_text()
    (recipe,) = re.findall(r"^lint:.*\n((?:\t.+\n)+)", makefile, re.M)
    commands = [
        line.strip().replace("$(BIN)", ".venv/bin") for line in recipe.split("\n")
    ]
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert local["repo"] == "local"
    assert [hook["entry"] for hook in local["hooks"]] == [c for c in commands if c]
    # Files are named by the commands themselves.
    assert not any(hook["pass_filenames"] for hook in local["hooks"])
