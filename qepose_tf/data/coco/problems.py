"""What is wrong with a data set: collected, then one line per kind."""

import logging
from collections import Counter
from typing import Any

logger = logging.getLogger(__name__)


class Problems:
    """Counts of each kind of problem that can be skipped.

    Attributes:
        source: The file that the messages name.
        strict: Whether any problem is an error.
        texts: In how many entries a number was text, by field.
    """

    def __init__(self, source: str, strict: bool) -> None:
        self.source = source
        self.strict = strict
        self.texts: Counter[str] = Counter()
        self._lines: list[str] = []
        self._remarks: list[tuple[int, str]] = []

    def remark(self, level: int, line: str) -> None:
        """Notes what the user should know but is no fault of the file.

        Args:
            level: Of `logging`.
            line: What is so, and what follows from it.
        """
        self._remarks.append((level, line))

    def warn(self, line: str) -> None:
        """Notes a warning that is no fault of the file."""
        self.remark(logging.WARNING, line)

    def add(self, count: int, what: str, first: object = None) -> None:
        """Notes `count` cases; none is no problem.

        Args:
            count: How many.
            what: What they are and what becomes of them.
            first: Names the first of them.
        """
        if count:
            example = "" if first is None else f" (first: {one_line(first)})"
            self._lines.append(f"{count} {what}{example}")

    def report(self) -> None:
        """Logs the remarks and one warning per kind of problem.

        Raises:
            ValueError: There are problems and `strict` is set; names all of them.
        """
        if self.strict and self._lines:
            raise ValueError(f"{self.source}: {'; '.join(self._lines)}")
        if self.texts:
            fields = ", ".join(f"{n} x {field}" for field, n in self.texts.items())
            self.warn(f"numbers given as text are read as numbers: {fields}")
        for level, line in self._remarks:
            logger.log(level, "%s: %s", self.source, line)
        for line in self._lines:
            logger.warning("%s: %s", self.source, line)


def one_line(text: object) -> str:
    """A file's name or the like in a message: what cannot be printed is escaped."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(text))


def shown(value: Any) -> str:
    """Any value of a file in one short line."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
