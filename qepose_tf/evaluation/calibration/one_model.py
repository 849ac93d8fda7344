"""One model's scores against the OKS of its poses, after the paper's Figure 5."""

from pathlib import Path

from matplotlib.figure import Figure

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

WIDTH, HEIGHT = 1200, 860


def draw_calibration(calibration: Calibration, path: str | Path) -> None:
    """Draws scatter, reliability curve, counts and figures into a PNG.

    Raises:
        OSError: the file cannot be written.
    """
    with house_style():
        figure = new_figure(WIDTH, HEIGHT)
        grid = figure.add_gridspec(
            2,
            1,
            height_ratios=(5, 1),
            left=0.07,
            right=0.655,
            bottom=0.08,
            top=0.93,
            hspace=0.06,
        )
        points = figure.add_subplot(grid[0])
        below = figure.add_subplot(grid[1], sharex=points)
        scatter(points, calibration, size=16)
        reliability(points, calibration)
        points.set_ylabel("OKS of the pose with its best person")
        points.tick_params(labelbottom=False, length=0)
        counts(below, calibration, font_size=10)
        below.set_xlabel("score, and detections per score bin (logarithmic)")
        figure.text(0.07, 0.955, "Is the score the quality?", fontsize=17)
        _text_column(figure, calibration)
        legend(figure, 0.672, 0.065, ncols=1)
        save(figure, path)


def _text_column(figure: Figure, calibration: Calibration) -> None:
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
    top, line = 0.915, 0.0305
    for title, *rows in groups:
        figure.text(0.685, top, title, color=QUIET, fontsize=12)
        for name, value in rows:
            top -= line
            figure.text(0.685, top, name)
            figure.text(0.965, top, value, ha="right")
        top -= 1.6 * line
