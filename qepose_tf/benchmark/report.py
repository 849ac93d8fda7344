"""Reports of benchmarks: the rows of a table, and targets with their results."""

import json
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from qepose_tf.files.whole_files import write_file


@dataclass(frozen=True)
class Target:
    """A target and what was measured.

    Attributes:
        name: A description of the quantity.
        value: The measured value.
        target: The limit.
        better: `lower` or `higher`, the side of the limit on which the target is held.
    """

    name: str
    value: float
    target: float
    better: str = "lower"

    @property
    def held(self) -> bool:
        """Whether the target is held; with NaN it is not."""
        if self.better == "lower":
            return self.value <= self.target
        return self.value >= self.target


@dataclass
class Report:
    """Collects rows and targets, formats them as Markdown and writes them as JSON.

    Attributes:
        rows: The rows of the table, as values by column. Rows may lack columns.
        targets: The targets of the benchmark.
        facts: The conditions of the benchmark by name: threads, versions, sizes.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def add(self, **row: Any) -> None:
        """Adds a row to the table."""
        self.rows.append(row)

    def aim(
        self, name: str, value: float, target: float, better: str = "lower"
    ) -> None:
        """Adds a target.

        Args:
            name: A description of the quantity.
            value: The measured value.
            target: The limit.
            better: `lower` or `higher`, see `Target`.
        """
        self.targets.append(Target(name, float(value), float(target), better))

    def markdown(self) -> str:
        """Returns the tables of rows and of targets as Markdown."""
        tables = [table(self.rows)] if self.rows else []
        if self.targets:
            tables.append(target_table(self.targets))
        return "\n\n".join(tables)

    def write(self, file: str | Path) -> None:
        """Writes command, facts, rows and targets as JSON.

        Args:
            file: The file to write.

        Raises:
            OSError: The file cannot be written.
        """
        content = {
            "command": " ".join(sys.argv),
            "facts": self.facts,
            "rows": self.rows,
            "targets": [{**asdict(t), "held": t.held} for t in self.targets],
        }
        write_file(file, json.dumps(content, indent=2) + "\n")


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Formats rows as a Markdown table.

    Args:
        rows: Values by column. The table has the columns of all rows, in the order in
            which they appear first.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [names, ["---"] * len(names)]
    lines += [[shown(row.get(name)) for name in names] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def target_table(targets: Sequence[Target]) -> str:
    """Formats targets as a Markdown table."""
    rows = [
        {
            "figure": target.name,
            "measured": target.value,
            "target": f"{'<=' if target.better == 'lower' else '>='} {target.target:g}",
            "held": "yes" if target.held else "**no**",
        }
        for target in targets
    ]
    return table(rows)


def shown(value: Any) -> str:
    """Formats a cell with three significant digits; None is empty."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def processor() -> str:
    """Returns the number and the name of the processor's cores."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.split(":")[1].strip() for line in lines if "model name" in line]
    return f"{len(names)} cores of {names[0]}" if names else platform.machine()


def write_between_marks(document: str | Path, name: str, text: str) -> None:
    """Replaces the text between two marks in a document.

    Args:
        document: A Markdown file with `<!-- NAME: begin -->` and `<!-- NAME: end -->`.
        name: The name in the marks.
        text: The new text.

    Raises:
        ValueError: The document does not have the marks.
    """
    first, last = (f"<!-- {name}: {edge} -->" for edge in ("begin", "end"))
    content = Path(document).read_text("utf-8")
    before, begin, rest = content.partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        raise ValueError(f"{document}: expected the marks {first} and {last}")
    write_file(document, f"{before}{first}\n{text}\n{last}{after}")
