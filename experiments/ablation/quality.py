"""Compares how well the scores of the rows predict OKS on the validation scenes."""

from collections.abc import Sequence
from pathlib import Path

from experiments.ablation.rows import ROWS, row_config
from experiments.ablation.runs import read_result
from qepose_tf.building import read_datasets
from qepose_tf.config.schema import Config
from qepose_tf.evaluation.calibration import Calibration, calibrate, write_calibration
from qepose_tf.evaluation.calibration.several_models import draw_comparison
from qepose_tf.evaluation.evaluate import predict_coco
from qepose_tf.models import load_model
from qepose_tf.skeleton import Skeleton

# The labels that the paper's Figure 5 is about.
DRAWN = {"CIR": "full", "Gaussian": "gaussian", "discrete": "discrete"}
FIGURES = {
    "rank correlation": "rank_correlation",
    "of matched detections": "rank_correlation_matched",
    "calibration error": "calibration_error",
    "AP": "ap",
    "AP, ranked by OKS": "ap_oracle_ranking",
    "AP lost to ranking": "ap_lost_to_ranking",
}


def compare_rows(
    results: Sequence[dict], folder: Path, picture: Path, overrides: tuple = ()
) -> str:
    """Calibrates the trained models of the first seed and draws three of them.

    Args:
        results: as `runs.run_all` returns them.
        folder: of the ablation.
        picture: PNG to write, where the rows of all three labels are there.
        overrides: those that the rows were trained with.

    Returns:
        A Markdown table.
    """
    seed = results[0]["seed"]
    rows = [result["row"] for result in results if result["seed"] == seed]
    found = {row: _calibrated(row_config(row, seed, folder, overrides)) for row in rows}
    drawn = {name: found[row] for name, row in DRAWN.items() if row in found}
    if len(drawn) == len(DRAWN):
        draw_comparison(drawn, picture)
    return _table(found, seed)


def _calibrated(config: Config) -> Calibration:
    result = read_result(config)
    skeleton = Skeleton.load(config.skeleton, config.data.categories)
    _, scenes = read_datasets(config, skeleton)
    if result is None or scenes is None:
        raise ValueError(f"{config.run_dir}: expected a finished run, found none")
    model = load_model(result["model"])
    results = predict_coco(model, scenes, config.train.batch_size)
    calibration = calibrate(scenes, results)
    write_calibration(calibration, config.run_dir / "calibration")
    return calibration


def _table(found: dict[str, Calibration], seed: int) -> str:
    lines = [
        f"| row, seed {seed} | {' | '.join(FIGURES)} |",
        "|---|" + "---|" * len(FIGURES),
    ]
    for row, calibration in found.items():
        values = [getattr(calibration, key) for key in FIGURES.values()]
        cells = ["-" if value is None else f"{value:.3f}" for value in values]
        lines.append(f"| {ROWS[row].title} | {' | '.join(cells)} |")
    return "\n".join(lines)
