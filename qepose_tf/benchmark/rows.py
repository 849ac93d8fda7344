"""Rows of what was timed side by side."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from qepose_tf.benchmark import peers, products, stages
from qepose_tf.benchmark.report import Report
from qepose_tf.benchmark.timing import Timing
from qepose_tf.exporting.checks.comparison import Comparison


@dataclass(frozen=True)
class Measured:
    """What one run found.

    Attributes:
        timings: of each call by name.
        apart: of each runtime by name, how far its poses are from Keras' in float32.
        body_operations: multiplications and additions of the body for one image.
        head_operations: of the head's convolutions and products.
        batch: images at once.
    """

    timings: Mapping[str, Timing]
    apart: Mapping[str, Comparison]
    body_operations: float
    head_operations: float
    batch: int

    def ratio(self, name: str, other: str) -> float | None:
        """Of two times; None where one was not measured."""
        if name in self.timings and other in self.timings:
            return self.timings[name].ratio_to(self.timings[other])
        return None

    def gflops(self, name: str) -> float | None:
        """Billions of operations a second, of what has a number of operations."""
        operations = {
            stages.BODY: self.body_operations,
            peers.BODY: self.body_operations,
            peers.BODY_BF16: self.body_operations,
            stages.CONVOLUTIONS: self.head_operations,
        }
        if products.is_product(name):
            return products.gflops(name, self.timings[name])
        if name in operations:
            seconds = self.timings[name].median
            return self.batch * operations[name] / seconds / 1e9
        return None

    @property
    def beside(self) -> dict[str, np.ndarray]:
        """Seconds of `stages.REST` and `LEFT` round by round; none without stages."""
        if stages.WHOLE not in self.timings:
            return {}
        rest = self._seconds(stages.RESIZE, stages.HEAD, stages.POSES)
        rest += self._seconds(stages.SUPPRESSION) - self._seconds(stages.CONVOLUTIONS)
        left = self._total - self._seconds(stages.BODY, stages.CONVOLUTIONS)
        return {stages.REST: rest, stages.LEFT: left}

    def share(self, name: str) -> float | None:
        """The median share of one of `beside` in the whole, from pixels to poses."""
        if name not in self.beside:
            return None
        return float(np.median(self.beside[name] / self._total))

    @property
    def _total(self) -> np.ndarray:
        return self._seconds(stages.WHOLE) - self._seconds(stages.DECODE)

    def _seconds(self, *names: str) -> np.ndarray:
        return np.sum([self.timings[name].seconds for name in names], axis=0)


def add_rows(report: Report, measured: Measured) -> None:
    """A row for each call, then for what the sparse design must keep small.

    Columns: milliseconds (median, 10th and 90th percentile), times our own body, times
    the peer's body, billions of operations a second, their share of the fastest matrix
    product in the same type, and pixels from Keras in float32 at equal cells.
    """
    limits = products.limits(
        {n: t for n, t in measured.timings.items() if products.is_product(n)}
    )
    for name, timing in measured.timings.items():
        gflops = measured.gflops(name)
        limit = limits.get("bf16" if name == peers.BODY_BF16 else "fp32")
        product = products.is_product(name)
        apart = measured.apart.get(name)
        some = apart is not None and apart.matched > 0
        _add(
            report,
            name,
            np.asarray(timing.seconds),
            None if product else measured.ratio(name, stages.BODY),
            None if product else measured.ratio(name, peers.BODY),
            gflops,
            gflops / limit if gflops and limit and not product else None,
            apart.max_pose_difference_px if some else None,
            apart.median_pose_difference_px if some else None,
        )
    for name, seconds in measured.beside.items():
        _add(report, name, seconds)
        report.rows[-1]["of whole"] = measured.share(name)


def _add(report: Report, name: str, seconds: np.ndarray, *others: Any) -> None:
    milliseconds = 1000 * np.quantile(seconds, (0.5, 0.1, 0.9))
    names = ("x body", "x torch", "GFLOP/s", "of limit", "max px", "median px")
    values = (*others, *[None] * (len(names) - len(others)))
    row = dict(zip(("median ms", "low", "high"), map(float, milliseconds), strict=True))
    report.add(name=name, **row, **dict(zip(names, values, strict=True)))
