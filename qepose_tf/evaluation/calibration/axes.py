"""What the pictures of calibrations share: style, scatter, curve, counts, saving.

Figures are objects of their own: pyplot, its global state and the user's matplotlibrc
have no part in them, so the same numbers give the same picture everywhere.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from qepose_tf.evaluation.calibration.measures import Calibration
from qepose_tf.files.whole_files import write_file

DPI = 100
# Okabe and Ito's colours, told apart by colour-blind readers.
PERSON, STRAY, CURVE = "#0072B2", "#D55E00", "#000000"
QUIET = "#8a8a8a"
STYLE = {
    "font.size": 12,
    "axes.titlesize": 13,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "legend.frameon": False,
}
TICKS = (0, 0.2, 0.4, 0.6, 0.8, 1)
FEW = 10  # a bin of fewer detections is drawn hollow: its mean is mostly chance


@contextmanager
def house_style() -> Iterator[None]:
    """Matplotlib's defaults and `STYLE`; what the user has set returns afterwards."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def scatter(axes: Axes, calibration: Calibration, size: float) -> None:
    """The sample's points, those that met no person in another colour."""
    points = np.array(calibration.sample, float).reshape(-1, 2)
    met = points[:, 1] > calibration.matched_oks
    # Thousands of points need to be seen through, a handful needs to be seen.
    alpha = float(np.clip(120 / max(len(points), 1), 0.4, 0.9))
    shown = {"s": size, "alpha": alpha, "linewidths": 0, "clip_on": False}
    oks = f"OKS > {calibration.matched_oks:g}"
    axes.scatter(*points[~met].T, color=STRAY, label=f"no person at {oks}", **shown)
    axes.scatter(*points[met].T, color=PERSON, label=f"a person at {oks}", **shown)


def reliability(axes: Axes, calibration: Calibration) -> None:
    """The diagonal, and mean OKS over mean score of each bin."""
    axes.plot([0, 1], [0, 1], "--", color=QUIET, lw=1.5, label="score = OKS")
    filled = [entry for entry in calibration.bins if entry.count]
    x = [entry.mean_score for entry in filled]
    y = [entry.mean_oks for entry in filled]
    axes.plot(x, y, "-", color=CURVE, lw=2)
    for few, label in (
        (False, "mean OKS of a score bin"),
        (True, f"of fewer than {FEW}"),
    ):
        chosen = [i for i, e in enumerate(filled) if (e.count < FEW) == few]
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
    """Bars of the number of detections in each bin, on a logarithmic axis."""
    bins = calibration.bins
    width = bins[0].high - bins[0].low
    centres = [(entry.low + entry.high) / 2 for entry in bins]
    heights = [entry.count for entry in bins]
    axes.set_yscale("log")
    # Bars start at 1 / 2, so that a single detection is seen; room for the numbers.
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
    """At most four characters up to 999,499: 999, 1.0k, 9.9k, 10k, 999k."""
    if count < 1000:
        return str(count)
    return f"{count / 1000:.{1 if count < 9950 else 0}f}k"


def shown(value: float | None, signed: bool = False) -> str:
    """A figure with three decimals, a dash where it is undefined."""
    if value is None:
        return "\N{EN DASH}"
    text = f"{value:+.3f}" if signed else f"{value:.3f}"
    return text.replace("-", "\N{MINUS SIGN}")


def legend(figure: Figure, left: float, bottom: float, ncols: int) -> None:
    """Explains each kind of mark once, whichever axes have it, in full colour."""
    entries: dict[str, Artist] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    drawn = figure.legend(
        entries.values(),
        entries.keys(),
        loc="lower left",
        bbox_to_anchor=(left, bottom),
        ncols=ncols,
        columnspacing=1.1,
        handletextpad=0.4,
    )
    for handle in drawn.legend_handles:
        handle.set_alpha(1.0)
        if isinstance(handle, PathCollection):
            handle.set_sizes([36])


def new_figure(width_px: float, height_px: float) -> Figure:
    """An empty figure that draws into memory, no window."""
    figure = Figure(figsize=(width_px / DPI, height_px / DPI), dpi=DPI)
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, path: str | Path) -> None:
    """Writes a PNG, completely or not at all."""
    picture = io.BytesIO()
    # matplotlib's version has no place in a file that should not change with it.
    figure.savefig(picture, format="png", dpi=DPI, metadata={"Software": None})
    write_file(path, picture.getvalue())
