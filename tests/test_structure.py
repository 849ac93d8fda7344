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
        for name in ("export", "examples", "benchmarks", "experiments")
        for f in ROOT.glob(f"{name}/**/*.py")
    ]
)

# A module may import rows above its own and its own name, never a neighbour in a row.
ROWS = (
    ("files", "skeleton_checks", "presets"),
    ("config", "skeleton", "ops"),
    ("images", "layers", "losses"),
    ("models", "data"),
    ("building", "conversion", "inference", "weights"),
    ("evaluation",),
    ("exporting", "training"),
    ("benchmark", "doctor"),
    ("cli",),
)
# The same inside the folders that have folders of their own.
INNER_ROWS = {
    "conversion": (
        ("labels",),
        ("places", "pictures", "splitting", "videos"),
        ("sources", "writing"),
        ("recognise",),
        ("convert",),
    ),
    "data": (("coco", "synthetic"), ("batches",), ("tfrecord",)),
    "evaluation": (
        ("crowd_index", "coco_evaluator", "tracking"),
        ("score_quality",),
        ("evaluate",),
        ("calibration",),
    ),
    "inference": (
        (
            *("detections", "native_logs", "people_tables", "runtimes", "tracking"),
            "video_tables",
        ),
        ("people",),
        ("detector", "exported_files", "following", "loop", "video_files"),
        ("exported_model", "prediction_files"),
        ("model_files",),
        ("predictor",),
    ),
    "exporting": (
        ("pose_json", "frozen"),
        ("served_graph",),
        ("formats", "checks"),
        ("exporter",),
        ("accuracy",),
    ),
    "training": (
        ("devices", "optimizer"),
        ("run_folder", "step"),
        ("callbacks",),
        ("building", "data_checks", "fitting"),
        ("run",),
    ),
}
ROW_OF = {name: row for row, names in enumerate(ROWS) for name in names}
# What stands around the package: it sees the package, and none of it sees the others.
AROUND = ("benchmarks", "experiments", "export", "train_tf")
PLAIN_ARGUMENTS = ("ops", "losses", "layers", "models", "data")
FORBIDDEN_NAMES = {"utils", "util", "misc", "common", "helpers", "helper", "base"}


def module_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_names(path: Path) -> list[list[str]]:
    """The parts of every name that a file imports, functions included."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import in line {node.lineno}"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return [name.split(".") for name in names]


def imported_modules(path: Path, depth: int = 1) -> set[str]:
    """Names below qepose_tf, `depth` deep, that a file imports."""
    found = {
        ".".join(parts[1 : 1 + depth])
        for parts in imported_names(path)
        if parts[0] == "qepose_tf" and len(parts) > 1
    }
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


@pytest.mark.parametrize("folder", INNER_ROWS)
def test_imports_run_downward_inside_a_folder(folder):
    row_of = {
        name: row for row, names in enumerate(INNER_ROWS[folder]) for name in names
    }
    for path in (PACKAGE / folder).rglob("*.py"):
        own = path.relative_to(PACKAGE / folder).parts[0].removesuffix(".py")
        if own == "__init__":
            continue
        assert own in row_of, f"{folder}/{own} stands in no row of INNER_ROWS"
        for imported in imported_modules(path, depth=2):
            name, _, inner = imported.partition(".")
            if name == folder and inner and inner != own:
                assert row_of[inner] < row_of[own], f"{path} imports {imported}"


def modules_in(folder: Path) -> set[str]:
    """The names of the files and folders with source in them."""
    found = {path.relative_to(folder).parts[0] for path in folder.rglob("*.py")}
    return {name.removesuffix(".py") for name in found} - {"__init__"}


def test_the_map_names_every_file_and_no_other():
    assert modules_in(PACKAGE) == set(ROW_OF)
    for folder, rows in INNER_ROWS.items():
        assert modules_in(PACKAGE / folder) == {n for row in rows for n in row}, folder
    for path in SOURCES:
        folder, *inner = path.relative_to(PACKAGE).parts[:-1] or ("",)
        assert len(inner) <= (folder in INNER_ROWS), f"{path} lies too deep"


def test_drawn_scenes_stand_beside_the_other_data():
    for path in (PACKAGE / "data").rglob("*.py"):
        inside = path.is_relative_to(PACKAGE / "data/synthetic")
        for name in imported_modules(path, depth=2):
            if name.startswith("data."):
                assert (name == "data.synthetic") == inside, f"{path} imports {name}"


@pytest.mark.parametrize("name", ["qepose_tf", *AROUND])
def test_nothing_imports_what_stands_around_the_package(name):
    files = [*(ROOT / name).rglob("*.py"), *ROOT.glob(f"{name}.py")]
    others = {"tests", "examples", *AROUND}
    if name == "experiments":  # a package of its own: `python -m experiments.ablation`
        others.remove(name)
    assert files
    for path in files:
        for parts in imported_names(path):
            assert parts[0] not in others, f"{path} imports {'.'.join(parts)}"


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
        if path == PACKAGE / "cli/terminal.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            is_print = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            assert not (is_print and node.func.id == "print"), f"{path}:{node.lineno}"


def test_annotations_are_parsed_in_one_place():
    """Everything else asks a `CocoDataset`."""
    names = {"parse_coco", "read_annotations"}
    for path in SOURCES:
        if path.is_relative_to(PACKAGE / "data/coco"):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            used = {getattr(node, key, None) for key in ("id", "attr", "name")}
            assert not used & names, f"{path}:{getattr(node, 'lineno', 1)}"
            if module_of(path) == "evaluation" and isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                own = path.name == "files.py"  # reads its own calibration.json
                assert own or called not in ("json.load", "json.loads"), path
