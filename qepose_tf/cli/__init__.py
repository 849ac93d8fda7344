"""The `qepose` command: one function per command, nothing heavy before it runs.

TensorFlow takes seconds to import, so each command imports what it needs.
"""

import logging
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from qepose_tf import __version__
from qepose_tf.cli.benchmark import benchmark
from qepose_tf.cli.data import prepare
from qepose_tf.cli.model_files import export, info
from qepose_tf.cli.poses import evaluate, predict
from qepose_tf.cli.terminal import STDOUT, guarded, show_log
from qepose_tf.cli.training import import_weights, train

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Single-stage human pose estimation: train, evaluate, predict, export.",
)
_COMMANDS = (train, evaluate, predict, export, info, prepare, import_weights, benchmark)
for _command in _COMMANDS:
    app.command()(_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code.

    0: done; 1: failed, with one line on stderr; 2: wrong usage.

    Args:
        arguments: Without the program's name; `sys.argv` by default.
    """
    words = _with_defaults(sys.argv[1:] if arguments is None else list(arguments))
    return guarded(lambda: app(words, prog_name="qepose"), "--debug" in words)


@app.callback(invoke_without_command=True)
def _global_options(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error.")
    ] = False,
    version: Annotated[bool, typer.Option("--version", help="Show it.")] = False,
) -> None:
    if version:
        typer.echo(f"qepose_tf {__version__}")
        raise typer.Exit
    show_log(logging.DEBUG if debug else logging.INFO)


def _with_defaults(words: list[str]) -> list[str]:
    """Lets `--json` stand without a file (stdout) and `--debug` anywhere."""
    result = []
    for index, word in enumerate(words):
        result.append(word)
        following = words[index + 1 : index + 2]
        if word == "--json" and (not following or following[0].startswith("--")):
            result.append(str(STDOUT))
    if "--debug" in result:
        result.remove("--debug")
        result.insert(0, "--debug")
    return result
