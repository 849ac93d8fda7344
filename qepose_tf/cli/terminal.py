"""Output of the commands: reports, progress bars, logs and one-line errors."""

import dataclasses
import json
import logging
import math
import os
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from qepose_tf.files.interrupts import remembered_interrupts
from qepose_tf.files.whole_files import write_file

Item = TypeVar("Item")
STDOUT = Path("-")  # the file of `--json` without a value
_INTERRUPTED = 130  # typer's exit code after Ctrl-C
# Characters shown of an unexpected error, for TensorFlow's can fill a screen.
_LONGEST = 300


def guarded(command: Callable[[], Any], debug: bool = False) -> int:
    """Runs a command and turns an error into one line on stderr.

    Args:
        command: A function that returns, or raises `SystemExit` with an exit code.
        debug: Whether errors are raised, so that Python shows their traceback.

    Returns:
        The exit code: 0 after success, 1 after an error or Ctrl-C, else the command's.
    """
    # TensorFlow logs a missing GPU as an error; real errors are exceptions anyway.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with remembered_interrupts() as interrupted:
        try:
            command()
            return 0
        except SystemExit as ended:
            if ended.code != _INTERRUPTED:
                return ended.code if isinstance(ended.code, int) else 1
            message = "interrupted"
        except KeyboardInterrupt:
            message = "interrupted"
        except Exception as error:
            if debug:
                raise
            # TensorFlow turns a Ctrl-C inside of it into errors of many kinds.
            message = "interrupted" if interrupted.is_set() else _one_line(error)
    print(f"qepose: {message}", file=sys.stderr)
    return 1


def show_log(level: int = logging.INFO, also: str | None = None) -> None:
    """Shows the log of this package on stderr; other packages show only warnings.

    Args:
        level: The lowest level that is shown.
        also: The name of another package whose log is shown like this one's.
    """
    logging.basicConfig(format="%(levelname)s %(message)s", stream=sys.stderr)
    for name in filter(None, ("qepose_tf", also)):
        logging.getLogger(name).setLevel(level)


def show_report(report: dict[str, Any], json_file: Path | None, **shorter: str) -> None:
    """Prints a report, and writes it as JSON if a file is given.

    Args:
        report: Values by name, of the types of JSON; a float may be NaN.
        json_file: The file to write. With `STDOUT`, JSON is printed and nothing else.
        **shorter: The texts that are printed in place of values that are too long.
    """
    text = json_text(report)
    if json_file == STDOUT:
        print(text, end="")
        return
    width = max(map(len, report))
    for key, value in report.items():
        print(f"{key:<{width}}  {shorter.get(key) or _shown(value)}")
    if json_file is not None:
        write_file(json_file, text)


def show_table(rows: Sequence[Any]) -> None:
    """Prints dataclass instances as a table on stderr, for stdout may hold JSON.

    Args:
        rows: Instances of one dataclass; its fields are the columns.
    """
    if not rows:
        return
    names = [field.name for field in dataclasses.fields(rows[0])]
    lines = [[name.replace("_", " ") for name in names]]
    for row in rows:
        values = (getattr(row, name) for name in names)
        lines.append(["-" if value is None else _shown(value) for value in values])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        padded = (word.ljust(size) for word, size in zip(line, widths, strict=True))
        print("  ".join(padded).rstrip(), file=sys.stderr)


def json_text(report: dict[str, Any]) -> str:
    """Returns a report as JSON text, in which null stands for NaN."""
    plain = {
        key: None if isinstance(value, float) and math.isnan(value) else value
        for key, value in report.items()
    }
    return json.dumps(plain, indent=2, allow_nan=False) + "\n"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_shown(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return str(value)
    if isinstance(value, float):
        tiny = 0 < abs(value) < 0.0005  # three decimals would show 0.000
        return f"{value:.1e}" if tiny else f"{value:.3f}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def counted(
    items: Iterable[Item],
    total: int | None,
    progress: Callable[[int, int | None], None],
) -> Iterator[Item]:
    """Yields the items and reports each to a progress bar.

    Args:
        items: The items.
        total: The number of items; None where nobody knows it.
        progress: A function of (items done, total).
    """
    for done, item in enumerate(items, start=1):
        progress(done, total)
        yield item


@contextmanager
def progress_bar(
    title: str,
) -> Generator[Callable[[int, int | None], None], None, None]:
    """Shows a progress bar on stderr if stderr is a terminal.

    Args:
        title: The text before the bar.

    Yields:
        A function of (items done, total) that moves the bar.
    """
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(
        console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _one_line(error: Exception) -> str:
    ours = getattr(error, "name", None) or ""
    if isinstance(error, ModuleNotFoundError) and not ours.startswith("qepose_tf"):
        return f"{error.name} is missing: pip install 'qepose-tf[train]'"
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    text = " ".join(str(error).split())
    if isinstance(error, ValueError | OSError | ImportError) and text:
        return text
    name = type(error).__name__
    return f"unexpected {name}: {text[:_LONGEST]} (--debug shows the traceback)"
