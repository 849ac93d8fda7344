"""The help of every command can be read on a terminal of 80 columns."""

import re

import pytest
import typer

from qepose_tf.cli import app, main

COMMANDS = typer.main.get_command(app).commands


@pytest.fixture(autouse=True)
def terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


def help_of(capsys, *words: str) -> str:
    assert main([*words, "--help"]) == 0
    return capsys.readouterr().out


def entries(text: str) -> list[str]:
    """The lines below `Arguments:`, `Options:` and `Commands:`."""
    blocks = re.findall(r"^(?:Arguments|Options|Commands):\n((?:  .*\n?)+)", text, re.M)
    return [line for block in blocks for line in block.splitlines()]


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_an_option_stands_on_one_line_of_80_columns(capsys, command):
    text = help_of(capsys, *filter(None, [command]))
    assert max(map(len, text.splitlines())) <= 80
    # A name, then two spaces, then its text: a longer entry goes on in another line.
    for line in entries(text):
        assert re.fullmatch(r"  \S+( \S+)*  +\S.*", line), line
        assert not line.endswith("..."), line


@pytest.mark.parametrize("command", COMMANDS)
def test_each_option_has_a_text_and_its_default(capsys, command):
    lines = entries(help_of(capsys, command))
    shown = [param for param in COMMANDS[command].params if not param.hidden]
    for param in shown:
        name = max(param.opts, key=len)
        if not name.startswith("-"):
            name = param.metavar
        (line,) = (line for line in lines if line.split()[0] == name)
        if param.default not in (None, False):
            assert f"[default: {param.default}" in line
        if param.required:
            assert line.endswith("required]")
    # One line each, and one for `--help` itself.
    assert len(lines) == len(shown) + 1


@pytest.mark.parametrize("command", COMMANDS)
def test_the_list_of_commands_has_the_first_sentence_of_each(capsys, command):
    (line,) = (line for line in entries(help_of(capsys)) if line.split()[0] == command)
    sentence = line.split(maxsplit=1)[1]
    assert sentence.endswith(".")
    assert f"  {sentence}\n" in help_of(capsys, command)
