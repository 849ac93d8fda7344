"""What is wrong with a data set: collected, then one line per kind."""

import logging

from qepose_tf.data.coco.content import one_line

logger = logging.getLogger(__name__)


class Problems:
    """Counts of each kind of problem that can be skipped.

    Attributes:
        source: The file that the messages name.
        strict: Whether any problem is an error.
    """

    def __init__(self, source: str, strict: bool) -> None:
        self.source = source
        self.strict = strict
        self._lines: list[str] = []
        self._remarks: list[tuple[int, str]] = []

    def remark(self, level: int, line: str) -> None:
        """Notes what the user should know but is no fault of the file.

        Args:
            level: Of `logging`.
            line: What is so, and what follows from it.
        """
        self._remarks.append((level, line))

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
        for level, line in self._remarks:
            logger.log(level, "%s: %s", self.source, line)
        for line in self._lines:
            logger.warning("%s: %s", self.source, line)
