"""Several models' scores against OKS, side by side, with a table of the figures."""

import math
from collections.abc import Mapping
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec

from qepose_tf.evaluation.calibration.axes import (
    QUIET,
    counts,
    house_style,
    legend,
    new_figure,
    reliability,
    save,
    scatter,
    shown,
)
from qepose_tf.evaluation.calibration.measures import Calibration

WIDTH = 1200
COLUMNS = 4  # panels in a row
LEFT, RIGHT, TOP, LEGEND = 62, 22, 78, 46  # px
LINE = 27  # px, of the table
# heading, attribute, with a sign
TABLE = (
    ("AP", "ap", False),
    ("oracle\nAP", "ap_oracle_ranking", False),
    ("lost to\nranking", "ap_lost_to_ranking", False),
    ("rank\ncorr.", "rank_correlation", False),
    ("... with\na person", "rank_correlation_matched", False),
    ("linear\ncorr.", "pearson", False),
    ("calib.\nerror", "calibration_error", False),
    ("worst\nbin", "max_calibration_error", False),
    ("bias", "bias", True),
)


def draw_comparison(
    calibrations: Mapping[str, Calibration],
    path: str | Path,
    title: str = "Is the score the quality?",
) -> None:
    """Draws a panel per model and a table of the figures into a PNG.

    Args:
        calibrations: by the names to show, in the order to show.
        path: of the PNG, 1200 px wide; the height grows with the number of models.
        title: above the panels.

    Raises:
        ValueError: there is nothing to compare.
        OSError: the file cannot be written.
    """
    if not calibrations:
        raise ValueError("expected at least one calibration to draw, got none")
    columns = min(COLUMNS, max(2, len(calibrations)))
    rows = math.ceil(len(calibrations) / columns)
    panel = (WIDTH - LEFT - RIGHT) / columns + 60  # px, with counts and labels
    table = LINE * (len(calibrations) + 2.6)
    height = round(TOP + rows * panel + LEGEND + table)
    with house_style():
        figure = new_figure(WIDTH, height)
        figure.text(LEFT / WIDTH, 1 - 34 / height, title, fontsize=17)
        grid = figure.add_gridspec(
            rows,
            columns,
            left=LEFT / WIDTH,
            right=1 - RIGHT / WIDTH,
            bottom=(table + LEGEND + 48) / height,
            top=1 - TOP / height,
            wspace=0.1,
            hspace=0.3,
        )
        for index, (name, calibration) in enumerate(calibrations.items()):
            points = _panel(figure, grid[index], calibration, columns)
            points.set_title(_cut(name, 88 // columns), loc="left")
            points.tick_params(labelleft=index % columns == 0)
            if index % columns == 0:
                points.set_ylabel("OKS")
        legend(figure, (LEFT - 8) / WIDTH, (table + 4) / height, ncols=5)
        _table(figure, calibrations, table, height)
        save(figure, path)


def _panel(
    figure: Figure, place: SubplotSpec, calibration: Calibration, columns: int
) -> Axes:
    narrow = columns == COLUMNS
    inner = place.subgridspec(2, 1, height_ratios=(4.5, 1), hspace=0.06)
    points = figure.add_subplot(inner[0])
    below = figure.add_subplot(inner[1], sharex=points)
    scatter(points, calibration, size=7)
    reliability(points, calibration)
    points.tick_params(labelbottom=False, length=0)
    if narrow:
        points.set_xticks((0, 0.5, 1))
    counts(below, calibration, font_size=7 if narrow else 8)
    below.set_xlabel("score, detections per bin")
    return points


def _cut(name: str, longest: int) -> str:
    if len(name) <= longest:
        return name
    return name[: longest - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _table(
    figure: Figure,
    calibrations: Mapping[str, Calibration],
    table: float,
    height: float,
) -> None:
    first, last = LEFT / WIDTH + 0.29, 1 - RIGHT / WIDTH
    places = [first + (last - first) * i / (len(TABLE) - 1) for i in range(len(TABLE))]
    top = table - 1.8 * LINE
    for (heading, _, _), place in zip(TABLE, places, strict=True):
        figure.text(
            place, (top + 6) / height, heading, ha="right", color=QUIET, fontsize=11
        )
    for row, (name, calibration) in enumerate(calibrations.items(), start=1):
        y = (top - row * LINE + 6) / height
        figure.text(LEFT / WIDTH, y, _cut(name, 26))
        for (_, attribute, signed), place in zip(TABLE, places, strict=True):
            value = shown(getattr(calibration, attribute), signed)
            figure.text(place, y, value, ha="right")
