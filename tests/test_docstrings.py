"""The examples in docstrings are true, except those that need the files of a user."""

import doctest
import importlib
import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
RUN = re.compile(r"^ *>>> (?!.*doctest: \+SKIP)", re.MULTILINE)
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted((ROOT / "qepose_tf").rglob("*.py"))
    if RUN.search(path.read_text(encoding="utf-8"))
]
# They build a model.
SLOW = (
    "qepose_tf.models.bodies",
    "qepose_tf.models.image_model",
    "qepose_tf.models.pose_estimator",
)


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in MODULES],
)
def test_the_examples_of_a_module_are_true(name):
    module = importlib.import_module(name)
    names = {**vars(module), "np": np}
    result = doctest.testmod(module, extraglobs=names, optionflags=doctest.ELLIPSIS)
    assert result.failed == 0
    assert result.attempted > 0


def test_examples_are_found():
    assert {"qepose_tf.models.settings", *SLOW} <= set(MODULES)
