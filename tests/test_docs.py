"""What the pages say can be found: links, files, folders, commands, config keys."""

import ast
import re
from pathlib import Path
from typing import get_args

import pytest
import typer

from qepose_tf.cli import app
from qepose_tf.config.schema import Config, DEKRConfig, config_class
from qepose_tf.config.yaml_values import parse_yaml
from tests.test_structure import ROW_OF

ROOT = Path(__file__).parent.parent
OUTSIDE = {".venv", "node_modules", "runs"}
PAGES = sorted(
    page
    for page in ROOT.rglob("*.md")
    if not OUTSIDE & set(page.relative_to(ROOT).parts)
)
# docs/PAPER.md has shorter paths, which tests/test_paper_map.py checks.
FOLDERS = "qepose_tf|tests|configs|experiments|benchmarks|examples|export|docs"
PATH = re.compile(rf"(?<![\w/.-])(?:{FOLDERS})/[\w./-]*\w")
SOURCE = re.compile(r"[\w/]+\.py")
STARTS = (ROOT, ROOT / "qepose_tf")
LINK = re.compile(r"\]\(([^)\s]+)\)")
KEY = re.compile(rf"(?<![\w./-])(?:{'|'.join(Config.model_fields)})(?:\.[a-z_]+)+")
NO_KEYS = (".py", ".yaml", ".json", ".safetensors", "model.fit", "model.compile")
COMMANDS = typer.main.get_command(app).commands

pages = pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))


def text_of(page):
    return page.read_text(encoding="utf-8")


def code_of(page):
    """What stands in fences and between backquotes."""
    text = text_of(page)
    fence = re.compile(r"```.*?```", re.DOTALL)
    return [*fence.findall(text), *re.findall(r"`([^`\n]+)`", fence.sub("", text))]


def anchors(page):
    """The names that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.*)$", text_of(page), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}


def test_all_pages_are_found():
    names = {str(page.relative_to(ROOT)) for page in PAGES}
    assert {"README.md", "docs/ARCHITECTURE.md", "examples/README.md"} <= names


@pages
def test_links_and_pictures_lead_to_a_file(page):
    for target in LINK.findall(text_of(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


@pages
def test_named_paths_exist(page):
    if page.name == "PAPER.md":
        return
    for path in PATH.findall(text_of(page)):
        assert (ROOT / path).exists(), path
    for path in filter(SOURCE.fullmatch, code_of(page)):
        starts = (*STARTS, page.parent)
        assert any((folder / path).exists() for folder in starts), path


def test_the_drawing_shows_what_there_is():
    drawing = (ROOT / "docs/architecture.svg").read_text(encoding="utf-8")
    for path in re.findall(r"[\w/]+\.py", drawing):
        assert (ROOT / "qepose_tf" / path).exists(), path
    names = re.findall(r'class="n">([\w.]+)<', drawing)
    modules = [name.removesuffix(".py") for name in names]
    assert sorted(modules) == sorted(ROW_OF)
    rows = [ROW_OF[module] for module in modules]
    assert rows == sorted(rows, reverse=True)


@pages
def test_imported_names_exist(page):
    for code in re.findall(r"```python\n(.*?)```", text_of(page), re.DOTALL):
        for node in ast.walk(ast.parse(code)):
            module = getattr(node, "module", None) or ""
            if isinstance(node, ast.ImportFrom) and module.startswith("qepose_tf"):
                source = source_of(module)
                for name in (alias.name for alias in node.names):
                    assert re.search(rf"\b{name}\b", source), f"{module}.{name}"


def source_of(module):
    path = ROOT / module.replace(".", "/")
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return file.read_text(encoding="utf-8")


@pages
def test_named_commands_exist(page):
    for code in code_of(page):
        # At the start of a line, of a prompt or of the whole; not inside a sentence.
        for command in re.findall(r"(?:^|until )qepose ([a-z][a-z-]*)", code, re.M):
            assert command in COMMANDS, command


@pages
def test_named_options_exist(page):
    for code in code_of(page):
        lines = code.replace("\\\n", " ")
        for command, words in re.findall(r"^qepose ([a-z-]+)(.*)", lines, re.M):
            known = {
                option for found in COMMANDS[command].params for option in found.opts
            }
            words = words.partition(" #")[0]
            assert set(re.findall(r"(?<=\s)--[a-z-]+", words)) <= known, words


def test_the_readme_names_every_command():
    named = re.findall(r"\bqepose ([a-z-]+)", text_of(ROOT / "README.md"))
    assert set(named) >= set(COMMANDS)


@pages
def test_make_targets_exist(page):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for code in code_of(page):
        for target in re.findall(r"^make ([a-z-]+)", code, re.M):
            assert re.search(rf"^{target}:", makefile, re.M), target


def keys_of(section, prefix=""):
    for name, field in section.model_fields.items():
        yield prefix + name
        for part in sections_in(field.annotation):
            yield from keys_of(part, f"{prefix}{name}.")


def sections_in(annotation):
    """The sections that a field may hold, alone or in a list."""
    if hasattr(annotation, "model_fields"):
        yield annotation
    for part in get_args(annotation):
        yield from sections_in(part)


@pages
def test_config_keys_exist(page):
    known = {*keys_of(Config), *keys_of(DEKRConfig)}
    for code in code_of(page):
        if "import " in code or page.name == "CHANGELOG.md":
            continue  # Python has names of its own; a changelog has former keys
        for key in KEY.findall(code):
            assert key in known or key.endswith(NO_KEYS), key


@pages
def test_config_examples_are_read(page):
    for text in re.findall(r"```yaml\n(.*?)```", text_of(page), re.DOTALL):
        values = parse_yaml(text, page.name)
        if set(values) <= set(Config.model_fields):
            config_class(values).model_validate({"name": "example", **values})
