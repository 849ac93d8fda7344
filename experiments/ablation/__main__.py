"""`make ablation`: trains the rows, then writes their table into docs/RESULTS.md."""

import argparse
import dataclasses
import logging
import sys
import tempfile
import time
from pathlib import Path

from experiments.ablation.check import check_row, row_files
from experiments.ablation.quality import compare_rows
from experiments.ablation.runs import known_rows, run_all, train_row
from experiments.ablation.table import ablation_table, conditions
from qepose_tf.benchmark.report import write_between_marks
from qepose_tf.cli.terminal import guarded, json_text, show_log
from qepose_tf.files.whole_files import write_file

logger = logging.getLogger(__name__)

FOLDER = Path("runs/ablation")
DOCUMENT = Path("docs/RESULTS.md")
PICTURE = Path("docs/labels.png")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m experiments.ablation", description=__doc__
    )
    add = parser.add_argument
    add("overrides", nargs="*", metavar="KEY=VALUE", help="before the options")
    add("--rows", nargs="+", default=[], metavar="ROW", help="all by default")
    add("--seeds", nargs="+", type=int, default=[0, 1], metavar="SEED")
    add("--jobs", type=int, default=2, help="runs side by side, a thread each")
    add("--folder", type=Path, default=FOLDER)
    add("--document", type=Path, default=DOCUMENT, help="with the table's marks")
    add("--check", action="store_true", help="only build, train a step, export")
    add("--one", nargs=2, metavar=("ROW", "SEED"), help="a single run, in here")
    return parser.parse_args()


def _main() -> None:
    arguments = _arguments()
    show_log(also="experiments")
    overrides = tuple(arguments.overrides)
    if arguments.check:
        _check(tuple(arguments.rows))
    elif arguments.one:
        row, seed = arguments.one
        train_row(row, int(seed), arguments.folder, overrides)
    else:
        _train(arguments, overrides)


def _train(arguments: argparse.Namespace, overrides: tuple) -> None:
    if arguments.jobs < 1:
        raise ValueError(f"--jobs: expected at least 1, got {arguments.jobs}")
    started = time.monotonic()
    rows = known_rows(arguments.rows)
    results = run_all(
        arguments.folder, rows, arguments.seeds, arguments.jobs, overrides
    )
    table = ablation_table(results)
    command = " ".join(["make ablation", *overrides])
    text = f"{conditions(results, command)}\n\n{table}"
    picture = arguments.folder / PICTURE.name
    text += f"\n\n{compare_rows(results, arguments.folder, picture, overrides)}"
    write_file(arguments.folder / "table.md", text + "\n")
    if not overrides:
        write_between_marks(arguments.document, "ablation", text)
        if picture.exists():
            write_file(PICTURE, picture.read_bytes())
    print(text)
    logger.info("all in %.0f minutes", (time.monotonic() - started) / 60)


def _check(rows: tuple[str, ...]) -> None:
    for path in row_files(rows):
        with tempfile.TemporaryDirectory() as folder:
            found = check_row(path, Path(folder))
        print(json_text(dataclasses.asdict(found)), end="", flush=True)


if __name__ == "__main__":
    sys.exit(guarded(_main))
