"""The parts of calibration pictures: style, plots, legend, table and saving.

Figures are made without pyplot, its global state and the user's matplotlibrc, so that
the same numbers give the same picture everywhere.
"""

import io
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.table import Table
from matplotlib.transforms import Bbox

from qepose_tf.evaluation.calibration.measures import Calibration
from qepose_tf.files.whole_files import write_file

DPI = 100
# Okabe and Ito's colours, which colour-blind readers can tell apart.
PERSON, STRAY, CURVE = "#0072B2", "#D55E00", "#000000"
QUIET = "#8a8a8a"
STYLE: dict[str, Any] = {
    "font.size": 12,
    "axes.titlesize": 13,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    # Space around the axes, in inches and as a share of their size.
    "figure.constrained_layout.w_pad": 0.14,
    "figure.constrained_layout.h_pad": 0.1,
    "figure.constrained_layout.wspace": 0.0,
    "figure.constrained_layout.hspace": 0.0,
    "legend.frameon": False,
    "legend.columnspacing": 1.1,
    "legend.handletextpad": 0.4,
}
Row = tuple[Sequence[str], bool]  # the texts, and whether the row is a heading
TICKS = (0, 0.2, 0.4, 0.6, 0.8, 1)
FEW = 10  # bins of fewer detections are drawn hollow, for their means are mostly noise


@contextmanager
def house_style() -> Generator[None, None, None]:
    """Sets Matplotlib's defaults and `STYLE`, and restores the user's style after."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        # Matplotlib's annotations list its keys one by one and accept no plain `str`.
        matplotlib.rcParams.update(STYLE)  # ty: ignore[no-matching-overload]
        yield


def scatter(axes: Axes, calibration: Calibration, size: float) -> None:
    """Draws the sample as points, in two colours for matched and unmatched detections.

    Args:
        axes: The axes to draw into.
        calibration: The measurements.
        size: The area of a point, in points squared.
    """
    points = np.array(calibration.sample, float).reshape(-1, 2)
    met = points[:, 1] > calibration.matched_oks
    # Many points have to be transparent, and few points have to be visible.
    alpha = float(np.clip(120 / max(len(points), 1), 0.4, 0.9))
    shown: dict[str, Any] = {
        "s": size,
        "alpha": alpha,
        "linewidths": 0,
        "clip_on": False,
    }
    oks = f"OKS > {calibration.matched_oks:g}"
    axes.scatter(*points[~met].T, color=STRAY, label=f"no person at {oks}", **shown)
    axes.scatter(*points[met].T, color=PERSON, label=f"a person at {oks}", **shown)


def reliability(axes: Axes, calibration: Calibration) -> None:
    """Draws the diagonal and the reliability curve: mean OKS over mean score by bin."""
    axes.plot([0, 1], [0, 1], "--", color=QUIET, lw=1.5, label="score = OKS")
    filled = [
        (entry.mean_score, entry.mean_oks, entry.count)
        for entry in calibration.bins
        if entry.mean_score is not None and entry.mean_oks is not None
    ]
    x = [mean_score for mean_score, _, _ in filled]
    y = [mean_oks for _, mean_oks, _ in filled]
    axes.plot(x, y, "-", color=CURVE, lw=2)
    for few, label in (
        (False, "mean OKS of a score bin"),
        (True, f"of fewer than {FEW}"),
    ):
        chosen = [i for i, (_, _, n) in enumerate(filled) if (n < FEW) == few]
        axes.plot(
            [x[i] for i in chosen],
            [y[i] for i in chosen],
            "o",
            color=CURVE,
            markerfacecolor="white" if few else CURVE,
            markersize=7,
            label=label if chosen or not few else None,
        )
    if not filled:
        axes.text(0.5, 0.2, "no detections", ha="center", color=QUIET)
    scores = [score for score, _ in calibration.sample]
    axes.set_xlim(min([0.0, *scores]) - 0.02, max([1.0, *scores]) + 0.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xticks(TICKS)
    axes.set_yticks(TICKS)


def counts(axes: Axes, calibration: Calibration, font_size: float) -> None:
    """Draws the number of detections of each bin as bars on a logarithmic axis.

    Args:
        axes: The axes to draw into.
        calibration: The measurements.
        font_size: The size of the numbers above the bars, in points.
    """
    bins = calibration.bins
    width = bins[0].high - bins[0].low
    centres = [(entry.low + entry.high) / 2 for entry in bins]
    heights = [entry.count for entry in bins]
    axes.set_yscale("log")
    # Bars start at 0.5, so that one detection is visible, and end below the numbers.
    axes.set_ylim(0.5, 6 * max(10, *heights))
    axes.bar(centres, heights, width=0.9 * width, color="#b9c4cc")
    axes.yaxis.set_visible(False)
    axes.spines["left"].set_visible(False)
    axes.grid(False)
    for centre, height in zip(centres, heights, strict=True):
        if height and len(bins) <= 12:
            text = _short(height)
            axes.text(centre, 1.25 * height, text, ha="center", fontsize=font_size)


def _short(count: int) -> str:
    """Returns at most four characters for counts to 999,499: 999, 1.0k, 10k, 999k."""
    if count < 1000:
        return str(count)
    return f"{count / 1000:.{1 if count < 9950 else 0}f}k"


def shown(value: float | None, signed: bool = False) -> str:
    """Returns a number with three decimals, or a dash for None."""
    if value is None:
        return "\N{EN DASH}"
    text = f"{value:+.3f}" if signed else f"{value:.3f}"
    return text.replace("-", "\N{MINUS SIGN}")


def legend(target: Figure | Axes, figure: Figure, **options: Any) -> None:
    """Draws a legend that explains each label of a figure once, in full colour.

    Args:
        target: The figure or axes that the legend is drawn in.
        figure: The figure whose labels are explained.
        **options: Place and columns, see `Figure.legend`.
    """
    entries: dict[str, Artist] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    drawn = target.legend(entries.values(), entries.keys(), **options)
    for handle in filter(None, drawn.legend_handles):
        handle.set_alpha(1.0)
        if isinstance(handle, PathCollection):
            handle.set_sizes([36])


def table(axes: Axes, rows: Sequence[Row], widths: Sequence[float]) -> None:
    """Fills axes with a table: names are aligned to the left, numbers to the right.

    Args:
        axes: The axes, whose frame is hidden.
        rows: The texts of each row, and whether the row is a heading.
        widths: The widths of the columns, with a sum of 1.
    """
    axes.set_axis_off()
    drawn = Table(axes, bbox=Bbox.unit())
    drawn.edges = "open"
    drawn.auto_set_font_size(False)
    for row, (texts, heading) in enumerate(rows):
        for column, (text, width) in enumerate(zip(texts, widths, strict=True)):
            # Headings of two lines are twice as high.
            height = 2 if any("\n" in other for other in texts) else 1
            side = "right" if column else "left"
            cell = drawn.add_cell(row, column, width, height, text=text, loc=side)
            cell.PAD = 0
            cell.set_text_props(color=QUIET if heading else "black")
    axes.add_table(drawn)


def new_figure(width_px: float, height_px: float) -> Figure:
    """Returns an empty figure of a size in px that arranges its axes itself."""
    figure = Figure((width_px / DPI, height_px / DPI), DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, path: str | Path) -> None:
    """Writes a figure as a PNG file, completely or not at all."""
    picture = io.BytesIO()
    # Without Matplotlib's version in it, the file does not change with the version.
    figure.savefig(picture, format="png", dpi=DPI, metadata={"Software": None})
    write_file(path, picture.getvalue())
