"""The documentation as a site: complete, and built without a broken link."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import qepose_tf

ROOT = Path(__file__).parent.parent
OBJECTS = re.findall(r"^::: ([\w.]+)$", (ROOT / "docs/API.md").read_text(), re.M)


def test_every_public_name_is_in_the_reference():
    names = {path.rpartition(".")[2] for path in OBJECTS}
    callbacks = set(importlib.import_module("qepose_tf.training.callbacks").__all__)
    assert set(qepose_tf.__all__) - {"callbacks"} | callbacks <= names


@pytest.mark.parametrize("path", OBJECTS)
def test_what_the_reference_shows_says_what_it_takes_and_gives(path):
    module, _, name = path.rpartition(".")
    shown = getattr(importlib.import_module(module), name)
    text = shown.__doc__ or ""
    assert text.splitlines()[0].endswith("."), path
    assert "Args:" in text or "Attributes:" in text, path
    assert "Example" in text or name == "TrackerSettings", path


def test_every_page_has_its_place():
    loader = type("Loader", (yaml.SafeLoader,), {})
    loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)
    nav = yaml.load((ROOT / "mkdocs.yml").read_text(), loader)["nav"]
    pages = re.findall(r"[\w.]+\.md", str(nav))
    assert sorted(pages) == sorted(page.name for page in (ROOT / "docs").glob("*.md"))


@pytest.mark.slow
def test_the_site_builds_strictly(tmp_path):
    pytest.importorskip("mkdocs", reason="the extra docs is not installed")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", tmp_path / "site"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    reference = (tmp_path / "site/API/index.html").read_text()
    for path in OBJECTS:
        assert f'id="{path}"' in reference, path
