"""What DESIGN says of files and imports, held by reading the source."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "qepose_tf"
SOURCES = sorted(PACKAGE.rglob("*.py"))
ALL_FILES = sorted(
    [*SOURCES, *ROOT.glob("*.py"), *(ROOT / "tests").rglob("*.py")]
    + [
        f
        for name in ("export", "examples", "benchmarks")
        for f in ROOT.glob(f"{name}/*.py")
    ]
)

# A module may import rows above its own and its own name, never a neighbour in a row.
ROWS = (
    (
        "skeleton_checks",
        "output_files",
        "folder_lock",
        "locations",
        "yaml_values",
        "config_errors",
    ),
    ("skeleton", "config"),
    ("config_changes",),
    ("ops",),
    ("losses", "layers", "data"),
    ("models", "coco_evaluator"),
    ("weights", "detector", "score_quality", "drawing", "exporting"),
    ("evaluation", "inference", "calibration"),
    ("prediction_files", "verdict"),
    ("training", "benchmark"),
    ("terminal",),
    ("cli", "quickstart", "ablation"),
)
ROW_OF = {name: row for row, names in enumerate(ROWS) for name in names}
PLAIN_ARGUMENTS = ("ops", "losses", "layers", "models", "data")
FORBIDDEN_NAMES = {"utils", "util", "misc", "common", "helpers", "helper", "base"}


def module_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_modules(path: Path) -> set[str]:
    """First names below qepose_tf that a file imports anywhere, functions included."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import in line {node.lineno}"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    parts = [name.split(".") for name in names]
    found = {part[1] for part in parts if part[0] == "qepose_tf" and len(part) > 1}
    return found - {"__version__"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_run_downward_only(path):
    module = module_of(path)
    if module == "__init__":
        assert imported_modules(path) == set(), "the package must import nothing itself"
        return
    assert module in ROW_OF, f"{module} stands in no row of tests/test_structure.py"
    for imported in imported_modules(path) - {module}:
        assert ROW_OF[imported] < ROW_OF[module], f"{module} imports {imported}"


@pytest.mark.parametrize("module", PLAIN_ARGUMENTS)
def test_config_stops_at_the_door(module):
    inside = [path for path in SOURCES if module_of(path) == module]
    assert inside
    for path in inside:
        assert "config" not in imported_modules(path), path


def test_only_measured_parts_run_on_every_backend():
    """ops, layers, losses and models touch TensorFlow only to make a gather fast."""
    for path in SOURCES:
        if module_of(path) in ("layers", "losses", "models"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = [alias.name for alias in getattr(node, "names", [])]
                names += [getattr(node, "module", None) or ""]
                assert not any(
                    str(name).split(".")[0] == "tensorflow" for name in names
                ), f"{path} imports TensorFlow"


@pytest.mark.parametrize("path", ALL_FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_are_small_and_named_after_their_idea(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 350
    assert path.stem not in FORBIDDEN_NAMES
    if path.stem != "__init__" and path.parent.name != "tests":
        assert path.parent.name not in FORBIDDEN_NAMES


def test_logging_not_print_inside_the_package():
    for path in SOURCES:
        if module_of(path) in ("terminal", "quickstart") or path.stem == "__main__":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            is_print = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            assert not (is_print and node.func.id == "print"), f"{path}:{node.lineno}"
