"""Draws the scores of one model against OKS, like Figure 5 of the paper."""

from pathlib import Path

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

WIDTH, HEIGHT = 1200, 860


def draw_calibration(calibration: Calibration, path: str | Path) -> None:
    """Draws scatter plot, reliability curve, counts and a table into a PNG file.

    Args:
        calibration: The measurements.
        path: The file to write, 1200 x 860 px.

    Raises:
        OSError: The file cannot be written.
    """
    with house_style():
        figure = new_figure(WIDTH, HEIGHT)
        figure.suptitle("Is the score the quality?", x=0.013, ha="left", fontsize=17)
        places = figure.subplot_mosaic(
            [["points", "figures"], ["counts", "legend"]],
            width_ratios=(2, 1),
            height_ratios=(5, 1),
        )
        points, below = places["points"], places["counts"]
        below.sharex(points)
        scatter(points, calibration, size=16)
        reliability(points, calibration)
        points.set_ylabel("OKS of the pose with its best person")
        points.tick_params(labelbottom=False, length=0)
        counts(below, calibration, font_size=10)
        below.set_xlabel("score, and detections per score bin (logarithmic)")
        table(places["figures"], _rows(calibration), widths=(0.75, 0.25))
        places["legend"].set_axis_off()
        legend(places["legend"], figure, loc="upper left", borderaxespad=0)
        save(figure, path)


def _rows(calibration: Calibration) -> list[Row]:
    """Returns the measurements in four groups, each below its heading."""
    c = calibration
    groups = (
        (
            "Ranking",
            ("rank correlation", shown(c.rank_correlation)),
            ("  of those with a person", shown(c.rank_correlation_matched)),
            ("linear correlation", shown(c.pearson)),
        ),
        (
            "Calibration",
            ("calibration error", shown(c.calibration_error)),
            ("  of the worst bin", shown(c.max_calibration_error)),
            ("mean score \N{MINUS SIGN} mean OKS", shown(c.bias, signed=True)),
        ),
        (
            "Average precision",
            ("AP", shown(c.ap)),
            ("AP, ranked by an oracle", shown(c.ap_oracle_ranking)),
            ("lost to ranking", shown(c.ap_lost_to_ranking)),
        ),
        (
            "Counts",
            ("people", f"{c.people:,}"),
            ("detections", f"{c.detections:,}"),
            ("  with a person", f"{c.matched:,}"),
            ("  drawn as points", f"{len(c.sample):,}"),
        ),
    )
    rows: list[Row] = []
    for title, *figures in groups:
        rows += [((title, ""), True), *((entry, False) for entry in figures)]
        rows += [(("", ""), False)]
    return rows
