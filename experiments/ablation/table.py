"""The rows' figures beside the paper's, as Markdown."""

import datetime
import statistics
from collections.abc import Sequence

from experiments.ablation.rows import ROWS
from qepose_tf.benchmark.report import processor

FIGURES = {
    "AP": "val_ap",
    "AP50": "val_ap50",
    "AP75": "val_ap75",
    "score-OKS rank correlation": "val_score_oks_rank_correlation",
}
# The paper's claims: a row, and the one that lacks the part.
CLAIMS = (
    ("CIR, without KQE and PQE", "cir", "baseline"),
    ("KQE", "cir_kqe", "cir"),
    ("PQE", "full", "cir_kqe"),
    ("CIR, with KQE and PQE", "full", "gaussian"),
    ("CIR instead of discrete labels", "full", "discrete"),
    ("QEB, discrete labels", "discrete_qeb", "discrete"),
    ("QEB, Gaussian labels", "gaussian_qeb", "gaussian"),
    ("CIR instead of Gaussian labels and QEB", "full", "gaussian_qeb"),
    ("semantic points, 3 instead of 0", "n3", "n0"),
    ("semantic points, 9 instead of 3", "full", "n3"),
    ("this network instead of DEKR", "full", "dekr"),
)


def ablation_table(results: Sequence[dict]) -> str:
    """Two Markdown tables: the rows' figures, and what each part adds.

    Args:
        results: as `runs.run_all` returns them, every row with the same seeds.
    """
    by_row: dict[str, list[dict]] = {}
    for result in results:
        by_row.setdefault(result["row"], []).append(result)
    names = [row for row in ROWS if row in by_row]
    lines = [
        f"| row | the paper's tables | paper's AP | {' | '.join(FIGURES)} |",
        "|---|---|---|" + "---|" * len(FIGURES),
    ]
    for name in names:
        row = ROWS[name]
        figures = [_spread(by_row[name], key) for key in FIGURES.values()]
        cells = [row.title, row.tables, f"{row.paper_ap:.1f}", *figures]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "| what is added | paper | here | seed by seed |",
        "|---|---|---|---|",
    ]
    for title, with_it, without in CLAIMS:
        if with_it in by_row and without in by_row:
            gains = _gains(by_row[with_it], by_row[without])
            paper = ROWS[with_it].paper_ap - ROWS[without].paper_ap
            each = ", ".join(f"{gain:+.1f}" for gain in gains)
            mean = statistics.mean(gains)
            lines.append(f"| {title} | {paper:+.1f} | {mean:+.1f} | {each} |")
    return "\n".join(lines)


def _spread(results: Sequence[dict], key: str) -> str:
    values = [result[key] for result in results]
    return f"{statistics.mean(values):.3f} ({min(values):.3f}-{max(values):.3f})"


def _gains(with_it: Sequence[dict], without: Sequence[dict]) -> list[float]:
    """In points of AP, for each seed that both rows have."""
    former = {result["seed"]: result["val_ap"] for result in without}
    return [
        100 * (result["val_ap"] - former[result["seed"]])
        for result in with_it
        if result["seed"] in former
    ]


def conditions(results: Sequence[dict], command: str) -> str:
    """One sentence: the command, the seeds, the time and the machine."""
    seeds = sorted({result["seed"] for result in results})
    minutes = sum(result["seconds"] for result in results) / 60
    return (
        f"`{command}`: {len(results)} runs of seeds {', '.join(map(str, seeds))}, "
        f"{minutes:.0f} minutes of training added up, {processor()}, "
        f"{datetime.date.today().isoformat()}."
    )
