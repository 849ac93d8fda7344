"""What a benchmark found: rows of a table, and targets that are held or missed."""

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
    """A figure that was asked for, and what was measured.

    Attributes:
        name: what is measured, in words.
        value: measured.
        target: asked for.
        better: `lower` or `higher`: which values hold the target.
    """

    name: str
    value: float
    target: float
    better: str = "lower"

    @property
    def held(self) -> bool:
        """Whether the measured value is as good as the target; NaN is not."""
        if self.better == "lower":
            return self.value <= self.target
        return self.value >= self.target


@dataclass
class Report:
    """Collects rows and targets; prints them as Markdown, writes them as JSON.

    Attributes:
        rows: of the table, each by column; a column may be missing in some.
        targets: of this benchmark.
        facts: what the figures depend on (threads, versions, sizes), by name.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def add(self, **row: Any) -> None:
        """Adds a row."""
        self.rows.append(row)

    def aim(
        self, name: str, value: float, target: float, better: str = "lower"
    ) -> None:
        """Adds a target."""
        self.targets.append(Target(name, float(value), float(target), better))

    def markdown(self) -> str:
        """Both tables."""
        tables = [table(self.rows)] if self.rows else []
        if self.targets:
            tables.append(target_table(self.targets))
        return "\n\n".join(tables)

    def write(self, file: str | Path) -> None:
        """Writes JSON."""
        content = {
            "command": " ".join(sys.argv),
            "facts": self.facts,
            "rows": self.rows,
            "targets": [{**asdict(t), "held": t.held} for t in self.targets],
        }
        write_file(file, json.dumps(content, indent=2) + "\n")


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as Markdown; the columns are those of all rows, in order of appearance."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [names, ["---"] * len(names)]
    lines += [[shown(row.get(name)) for name in names] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def target_table(targets: Sequence[Target]) -> str:
    """Targets as Markdown."""
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
    """A cell: three significant digits, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def processor() -> str:
    """The machine's cores, as it calls them."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.split(":")[1].strip() for line in lines if "model name" in line]
    return f"{len(names)} cores of {names[0]}" if names else platform.machine()


def write_between_marks(document: str | Path, name: str, text: str) -> None:
    """Replaces what a document has between its marks; all else stays as it is.

    Args:
        document: Markdown with `<!-- NAME: begin -->` and `<!-- NAME: end -->`.
        name: of the marks.
        text: without them.

    Raises:
        ValueError: The document has no such marks.
    """
    first, last = (f"<!-- {name}: {edge} -->" for edge in ("begin", "end"))
    content = Path(document).read_text("utf-8")
    before, begin, rest = content.partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        raise ValueError(f"{document}: expected the marks {first} and {last}")
    write_file(document, f"{before}{first}\n{text}\n{last}{after}")
