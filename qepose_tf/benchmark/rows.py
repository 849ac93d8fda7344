"""Makes the rows of a report from the times of one run."""

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
    """The measurements of one run.

    Attributes:
        timings: The times of each call by name.
        apart: The differences of each runtime from Keras in float32, by name.
        body_operations: The multiplications and additions of the body for one image.
        head_operations: Those of the head's convolutions and matrix products.
        batch: The number of images in a batch.
    """

    timings: Mapping[str, Timing]
    apart: Mapping[str, Comparison]
    body_operations: float
    head_operations: float
    batch: int

    def ratio(self, name: str, other: str) -> float | None:
        """Returns the ratio of two calls' times, or None if one was not measured."""
        if name in self.timings and other in self.timings:
            return self.timings[name].ratio_to(self.timings[other])
        return None

    def gflops(self, name: str) -> float | None:
        """Returns the speed of a call in GFLOP/s, or None if its work is not known."""
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
        """The times of `stages.REST` and `LEFT` by round in s; empty without stages."""
        if stages.WHOLE not in self.timings:
            return {}
        rest = self._seconds(stages.RESIZE, stages.HEAD, stages.POSES)
        rest += self._seconds(stages.SUPPRESSION) - self._seconds(stages.CONVOLUTIONS)
        left = self._total - self._seconds(stages.BODY, stages.CONVOLUTIONS)
        return {stages.REST: rest, stages.LEFT: left}

    def share(self, name: str) -> float | None:
        """Returns the median share of an entry of `beside` in the whole."""
        if name not in self.beside:
            return None
        return float(np.median(self.beside[name] / self._total))

    @property
    def _total(self) -> np.ndarray:
        return self._seconds(stages.WHOLE) - self._seconds(stages.DECODE)

    def _seconds(self, *names: str) -> np.ndarray:
        return np.sum([self.timings[name].seconds for name in names], axis=0)


def add_rows(report: Report, measured: Measured) -> None:
    """Adds a row for each call, and one for each entry of `Measured.beside`.

    The columns are the time in ms (median, 10th and 90th percentile), its ratio to that
    of our body and of the peer's body, the speed in GFLOP/s, its share of that of the
    fastest matrix product in the same type, and the distance of the poses from Keras in
    float32 at equal cells, in px.

    Args:
        report: The report that the rows are added to.
        measured: The measurements.
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
