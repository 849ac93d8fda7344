"""The `qepose` command line, one function per command.

TensorFlow takes seconds to import, so each function imports what it needs when it runs.
"""

import logging
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from qepose_tf import __version__
from qepose_tf.cli.benchmark import benchmark
from qepose_tf.cli.conversion import convert
from qepose_tf.cli.data import prepare
from qepose_tf.cli.doctor import doctor
from qepose_tf.cli.model_files import export, info
from qepose_tf.cli.poses import evaluate, predict
from qepose_tf.cli.terminal import STDOUT, guarded, show_log
from qepose_tf.cli.training import import_weights, train

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    # Plain text: an option and its default stand on one line of 80 columns.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Single-stage human pose estimation: train, evaluate, predict, export.",
)
_COMMANDS = (
    *(train, evaluate, predict, export, info, doctor, prepare, convert),
    *(import_weights, benchmark),
)
for _command in _COMMANDS:
    app.command()(_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code.

    Args:
        arguments: The words after the program's name; those of `sys.argv` by default.

    Returns:
        0 if the command succeeded, 1 if it failed, with one line on stderr that says
        why, 2 if the command line was wrong, and 75 if a training run was stopped by
        SIGTERM and can be continued.

    Example:
        >>> main(["--version"])
        qepose_tf ...
        0
    """
    words = _with_defaults(sys.argv[1:] if arguments is None else list(arguments))
    return guarded(lambda: app(words, prog_name="qepose"), "--debug" in words)


@app.callback(invoke_without_command=True)
def _global_options(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the whole traceback of an error.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.")
    ] = False,
) -> None:
    if version:
        typer.echo(f"qepose_tf {__version__}")
        raise typer.Exit
    show_log(logging.DEBUG if debug else logging.INFO)


def _with_defaults(words: list[str]) -> list[str]:
    """Makes `--json` without a file mean stdout, and `--debug` valid anywhere."""
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
