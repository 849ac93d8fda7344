"""Every row of the paper's ablations: built, trained, saved, read and exported."""

import numpy as np
import pytest

from experiments.ablation.check import check_row, row_files

ROWS = row_files()


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
    found = check_row(path, tmp_path, **micro)
    assert np.isfinite(found.loss)
    assert set(found.max_pose_difference_px) == {"saved_model", "tflite"}
    assert max(found.max_pose_difference_px.values()) < 1e-2


def test_a_row_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="expected rows of baseline.*got 'n7'"):
        row_files(("n7",))
