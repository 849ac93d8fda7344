from experiments.ablation.rows import ROWS
from experiments.ablation.table import CLAIMS, ablation_table, conditions


def result(row, seed, ap):
    figures = {"val_ap": ap, "val_ap50": 2 * ap, "val_ap75": ap / 2}
    figures["val_score_oks_rank_correlation"] = 0.5
    return {"row": row, "seed": seed, "seconds": 90.0, **figures}


RESULTS = [
    result("baseline", 0, 0.1),
    result("baseline", 1, 0.14),
    result("cir", 0, 0.2),
    result("cir", 1, 0.18),
]


def test_mean_and_spread_stand_beside_the_papers_figure():
    lines = ablation_table(RESULTS).splitlines()
    assert lines[2] == (
        "| Gaussian label, no KQE, no PQE | 2 | 63.5 | 0.120 (0.100-0.140) | "
        "0.240 (0.200-0.280) | 0.060 (0.050-0.070) | 0.500 (0.500-0.500) |"
    )
    assert lines[3].startswith("| CIR | 2 | 64.5 | 0.190 (0.180-0.200) |")


def test_what_a_part_adds_seed_by_seed():
    """10 and 4 points: 7 on average; the paper has 64.5 - 63.5 = 1."""
    lines = ablation_table(RESULTS).splitlines()
    assert lines[-1] == "| CIR, without KQE and PQE | +1.0 | +7.0 | +10.0, +4.0 |"


def test_every_claim_is_about_rows_that_are_trained():
    assert {row for _, *rows in CLAIMS for row in rows} <= set(ROWS)


def test_the_papers_figures_are_those_of_its_tables():
    """Tables 1 to 4 of the paper, row by row."""
    assert {name: row.paper_ap for name, row in ROWS.items()} == {
        **dict(baseline=63.5, cir=64.5, cir_kqe=68.4, full=69.8, gaussian=68.3),
        **dict(discrete=67.7, discrete_qeb=68.6, gaussian_qeb=69.0, n0=68.5, n3=68.9),
        "dekr": 68.0,
    }


def test_conditions_name_command_seeds_and_time():
    text = conditions(RESULTS, "make ablation")
    assert text.startswith("`make ablation`: 4 runs of seeds 0, 1, 6 minutes")
