"""Draws the scores of several models against OKS, side by side, with a table."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from qepose_tf.evaluation.calibration.axes import (
    Row,
    counts,
    house_style,
    legend,
    new_figure,
    reliability,
    save,
    scatter,
    shown,
    table,
)
from qepose_tf.evaluation.calibration.measures import Calibration

WIDTH = 1200
COLUMNS = 4  # most panels in a row
PANEL = 4.5  # height of a panel relative to that of its counts
LINE = 34  # height of a line of the table, px
# Heading, attribute of `Calibration`, and whether a sign is shown.
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
    """Draws a panel for each model and a table of the measurements into a PNG file.

    Args:
        calibrations: The measurements by the names of the models, in the order in which
            they are shown.
        path: The file, 1200 px wide; its height grows with the number of models.
        title: The text above the panels.

    Raises:
        ValueError: `calibrations` is empty.
        OSError: The file cannot be written.
    """
    if not calibrations:
        raise ValueError("expected at least one calibration to draw, got none")
    columns = min(COLUMNS, max(2, len(calibrations)))
    rows = math.ceil(len(calibrations) / columns)
    panel = WIDTH / columns + 60  # height in px, with counts and labels
    lines = LINE * (len(calibrations) + 2)
    counted = panel / (PANEL + 1)
    with house_style():
        figure = new_figure(WIDTH, round(rows * panel + lines + 90))
        figure.suptitle(title, x=0.013, ha="left", fontsize=17)
        grid: list[Any] = _mosaic(len(calibrations), rows, columns)
        axes = figure.subplot_mosaic(
            [*grid, ["table"] * columns],
            height_ratios=[PANEL, 1] * rows + [lines / counted],
        )
        for index, (name, calibration) in enumerate(calibrations.items()):
            points, below = axes[f"points {index}"], axes[f"counts {index}"]
            _panel(points, below, calibration, columns)
            points.set_title(_cut(name, 88 // columns), loc="left")
            points.tick_params(labelleft=index % columns == 0)
            if index % columns == 0:
                points.set_ylabel("OKS")
        widths = [0.28, *len(TABLE) * [0.72 / len(TABLE)]]
        table(axes["table"], _rows(calibrations), widths)
        legend(figure, figure, loc="outside lower left", ncols=5)
        save(figure, path)


def _mosaic(models: int, rows: int, columns: int) -> list[list[str]]:
    """Returns the names of the axes in a grid; a dot means that there are none."""
    numbers = [*range(models), *[None] * (rows * columns - models)]
    return [
        ["." if i is None else f"{kind} {i}" for i in numbers[start : start + columns]]
        for start in range(0, rows * columns, columns)
        for kind in ("points", "counts")
    ]


def _panel(points: Axes, below: Axes, calibration: Calibration, columns: int) -> None:
    narrow = columns == COLUMNS
    below.sharex(points)
    scatter(points, calibration, size=7)
    reliability(points, calibration)
    points.tick_params(labelbottom=False, length=0)
    if narrow:
        points.set_xticks((0, 0.5, 1))
    counts(below, calibration, font_size=7 if narrow else 8)
    below.set_xlabel("score, detections per bin")


def _cut(name: str, longest: int) -> str:
    if len(name) <= longest:
        return name
    return name[: longest - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _rows(calibrations: Mapping[str, Calibration]) -> list[Row]:
    rows: list[Row] = [(("", *(heading for heading, _, _ in TABLE)), True)]
    for name, calibration in calibrations.items():
        values = [
            shown(getattr(calibration, attribute), signed)
            for _, attribute, signed in TABLE
        ]
        rows.append(((_cut(name, 26), *values), False))
    return rows
