"""Every row of the paper's ablations: built, trained, saved, read and exported."""

import numpy as np
import pytest

from experiments.ablation.check import EXPORTED, check_row, row_files, row_settings

ROWS = row_files()


def network(path):
    """What an export depends on: the loss is not in it."""
    return {**row_settings(path), "loss": None}


# Of rows that differ in the loss alone, the first is exported.
NETWORKS = [network(path) for path in ROWS]
EXPORTS = {
    path: () if network(path) in NETWORKS[:number] else EXPORTED
    for number, path in enumerate(ROWS)
}


def test_there_is_a_config_for_every_row():
    """Table 2 has 5 rows, Table 3 5, Table 4 6 and Table 6 4; some are the same.

    Table 1 adds the network that the paper starts from.
    """
    assert [path.stem for path in ROWS] == [
        *("baseline", "cir", "cir_kqe", "dekr", "discrete", "discrete_qeb", "full"),
        *("gaussian", "gaussian_qeb", "n0", "n12", "n15", "n3", "n6"),
        *("pose_query_auto", "pose_query_kps", "pose_query_sp"),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("path", ROWS, ids=lambda path: path.stem)
def test_a_row_builds_trains_comes_back_and_exports(path, micro, one_process, tmp_path):
    if path.stem == "dekr":
        micro = micro | {"head": {"keypoint_channels": 4}}
    found = check_row(path, tmp_path, EXPORTS[path], micro)
    assert np.isfinite(found.loss)
    assert set(found.max_pose_difference_px) == set(EXPORTS[path])
    assert max(found.max_pose_difference_px.values(), default=0.0) < 1e-2


def test_every_network_is_exported():
    """Four of the rows differ from another one in the label alone."""
    assert list(EXPORTS.values()).count(("saved_model", "tflite")) == 13
    assert [path.stem for path in ROWS if not EXPORTS[path]] == [
        *("cir", "full", "gaussian", "gaussian_qeb")
    ]


def test_smaller_channels_leave_what_a_row_is_about(micro):
    heads = {path.stem: row_settings(path, micro)["head"] for path in ROWS}
    points = [heads[row]["semantic_points"] for row in ("n0", "n3", "n6", "n12", "n15")]
    assert points == [0, 3, 6, 12, 15]
    assert heads["pose_query_sp"]["pose_query"] == "semantic_points"
    assert all(head["keypoint_channels"] == 4 for head in heads.values())


def test_a_row_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="expected rows of baseline.*got 'n7'"):
        row_files(("n7",))
