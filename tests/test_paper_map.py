"""docs/PAPER.md names files, functions, tests and config keys: all must exist."""

import ast
import re
from pathlib import Path
from typing import get_args

import keras
import numpy as np
import pytest
from keras import ops

from qepose_tf.config.reading import load_config
from qepose_tf.config.schema import Config
from qepose_tf.layers.cir_target import CIRTargetLayer
from qepose_tf.losses import score_loss_sum
from qepose_tf.ops.oks import oks
from qepose_tf.skeleton import COCO
from tests.backends import value_and_gradients

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs/PAPER.md").read_text(encoding="utf-8")
QUOTED = re.findall(r"`([^`\n]+)`", TEXT)
SECTIONS = "|".join(Config.model_fields)
TEST = re.compile(r"[\w/]+\.py::test_\w+")
CODE = re.compile(r"[\w/]+\.(?:py|yaml)(?::[A-Za-z_][\w.]*)?")
KEY = re.compile(rf"(?:{SECTIONS})(?:\.\w+)*(?:=.+)?")
EXPECTED_IN_COLUMN = {"code": CODE, "test": TEST, "config": KEY}


def of_kind(kind, tokens):
    return [token for token in tokens if kind.fullmatch(token)]


def tables():
    """Every table as its list of rows, each a dict from column to text."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", TEXT, re.MULTILINE):
        lines = [
            [cell.strip() for cell in line.strip("|").split("|")]
            for line in block.splitlines()
        ]
        assert len({len(line) for line in lines}) == 1, block[:80]
        found.append([dict(zip(lines[0], line, strict=True)) for line in lines[2:]])
    return found


def table_with(column):
    (table,) = [table for table in tables() if column in table[0]]
    return table


MAP = table_with("code")


def located(path):
    """A file by its path below the package, or else below the root."""
    for folder in (ROOT / "qepose_tf", ROOT):
        if (folder / path).is_file():
            return folder / path
    raise AssertionError(f"there is no {path}")


def names_of(node, prefix=""):
    """Functions, classes, their methods, and what is assigned at the top."""
    for child in node.body:
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            yield prefix + child.name
            if isinstance(child, ast.ClassDef):
                yield from names_of(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.Assign):
            yield from (t.id for t in child.targets if isinstance(t, ast.Name))


def names_in(path):
    return set(names_of(ast.parse(path.read_text(encoding="utf-8"))))


@pytest.mark.parametrize("token", sorted(set(of_kind(CODE, QUOTED))))
def test_code_exists(token):
    path, _, name = token.partition(":")
    assert not name or name in names_in(located(path)), token


@pytest.mark.parametrize("token", sorted(set(of_kind(TEST, QUOTED))))
def test_tests_exist(token):
    path, _, name = token.partition("::")
    assert name in names_in(ROOT / "tests" / path), token


def config_fields(section=Config, prefix=""):
    for name, field in section.model_fields.items():
        yield prefix + name
        for part in sections_in(field.annotation):
            yield from config_fields(part, f"{prefix}{name}.")


def sections_in(annotation):
    """The sections that a field may hold, alone or in a list."""
    if hasattr(annotation, "model_fields"):
        yield annotation
    for part in get_args(annotation):
        yield from sections_in(part)


def claims():
    """(config file or None, token): a row's own configs decide, else defaults."""
    in_rows = set()
    for row in MAP:
        files = re.findall(r"`(configs/[\w/]+\.yaml)`", row["code"])
        for token in re.findall(r"`([^`]+)`", row["config"]):
            in_rows.add(token)
            yield from ((file, token) for file in files or [None])
    yield from ((None, token) for token in set(of_kind(KEY, QUOTED)) - in_rows)


@pytest.mark.parametrize("file, token", sorted(set(claims()), key=str))
def test_config_keys_exist_and_have_that_value(file, token, tmp_path):
    key, equals, _ = token.partition("=")
    assert key in set(config_fields()), token
    path = ROOT / file if file else tmp_path / "defaults.yaml"
    if not file:
        path.write_text("")
    if equals:
        # Setting a key to the value that it has changes nothing.
        assert load_config(path, [token]) == load_config(path), token


def test_nothing_that_looks_like_a_path_escapes_the_checks():
    for token in QUOTED:
        if ".py" in token or ".yaml" in token:
            assert CODE.fullmatch(token) or TEST.fullmatch(token), token


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        assert (ROOT / "docs" / target).is_file(), target


def test_every_row_of_the_map_names_code_and_test():
    for row in MAP:
        for column, kind in EXPECTED_IN_COLUMN.items():
            tokens = re.findall(r"`([^`]+)`", row[column])
            assert tokens or column == "config", f"{row['paper']}: no {column}"
            assert of_kind(kind, tokens) == tokens, f"{row['paper']}: {tokens}"


def test_the_map_is_whole():
    first = " ".join(row["paper"] for row in MAP)
    wanted = [f"Eq. {i}" for i in range(1, 8)] + [f"Table {i}" for i in range(1, 7)]
    for name in [*wanted, *(f"Fig. {i}" for i in range(1, 6))]:
        assert name in first, name
    for path in (ROOT / "configs/ablations").glob("*.yaml"):
        assert f"`configs/ablations/{path.name}`" in TEXT, path.name


def test_open_decisions_are_numbered_and_have_evidence():
    rows = table_with("#")
    assert [row["#"] for row in rows] == [str(i + 1) for i in range(len(rows))]
    assert len(rows) >= 20
    for row in rows:
        assert row["here"], row["#"]
        tokens = re.findall(r"`([^`]+)`", row["evidence"])
        stated = re.search(r"reasoning|measured|counts", row["evidence"])
        assert of_kind(TEST, tokens) or stated, row["#"]


@pytest.mark.parametrize(
    "radius, cells, zeros, constant", [(4, 45, 0.272, 0.054), (2.5, 21, 0.231, 0.058)]
)
def test_gaussian_score_losses_of_maps_that_know_nothing(
    radius, cells, zeros, constant
):
    layer = CIRTargetLayer([0.1], radius, label="gaussian")
    facts = np.float32([[[[40, 40, 2]]]]), np.float32([[500]])
    omega = layer.locate(*facts, (20, 20))
    empty = np.zeros((1, 20, 20, 1), "float32")
    target, weight, _ = layer(np.zeros((1, cells, 1, 2), "float32"), omega, empty)
    label = np.asarray(target)[np.asarray(weight) == 1]
    assert len(label) == cells
    assert (label**2).mean() == pytest.approx(zeros, abs=5e-4)
    assert label.var() == pytest.approx(constant, abs=5e-4)
    size = f"radius {radius:g} ({cells} cells, sigma {radius / 2:g})"
    assert f"{size}: {zeros} and {constant}" in TEXT


def test_the_score_loss_moves_no_pose():
    """A worse pose would lower the CIR, and so the loss of a low score."""
    layer = CIRTargetLayer([0.1, 0.1])
    keypoints = np.float32([[[[40, 40, 2], [48, 40, 2]]]])
    omega = layer.locate(keypoints, np.float32([[500]]), (20, 20))
    poses = keras.Variable(np.full((1, 45, 2, 2), 10.5, "float32"))
    scores = keras.Variable(np.full((1, 20, 20, 1), 0.25, "float32"))

    def loss():
        ignore = np.zeros((1, 20, 20, 1), "float32")
        target, weight, _ = layer(poses.value, omega, ignore)
        # The last term ties the poses to the loss, or there would be no gradient.
        return score_loss_sum(scores.value, target, weight) + 0 * ops.sum(poses.value)

    value, (of_poses, of_scores) = value_and_gradients(loss, [poses, scores])
    assert value > 1 and np.abs(of_scores).max() > 0
    np.testing.assert_array_equal(of_poses, 0)


def test_oks_of_equal_errors():
    (row,) = table_with("every error")
    row = dict(row)
    assert row.pop("every error") == "OKS"
    keypoints = np.ones((17, 3), "float32")
    for error, expected in row.items():
        poses = keypoints[:, :2] + np.float32(error)
        found = oks(poses, keypoints, np.float32(1), COCO.sigmas)
        assert float(found) == pytest.approx(float(expected), abs=6e-4), error
