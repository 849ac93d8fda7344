"""The comparison itself, and the pieces around the network, without an export."""

import numpy as np
import pytest
import tensorflow as tf

from qepose_tf.exporting.checks.comparison import Comparison, compare
from qepose_tf.exporting.served_graph import float32_model, resized_sides
from qepose_tf.files.whole_files import written_whole
from qepose_tf.images.decoding import resize_image
from qepose_tf.images.drawn_image import made_image
from qepose_tf.models.pose_estimator import PoseEstimator
from qepose_tf.ops.geometry import fit_short_side
from qepose_tf.skeleton import COCO


def detections(cells, scores, shift=0.0):
    cells, scores = np.array([cells], np.int32), np.array([scores], np.float32)
    poses = cells[:, :, None].repeat(2, axis=2) * 4.0 + shift
    return {
        "cells": cells,
        "scores": scores,
        "poses": poses.astype(np.float32),
        "keypoint_scores": scores[..., None].repeat(2, axis=2),
    }


def test_rows_are_compared_by_cell_not_by_rank():
    first = detections([[1, 2], [3, 4], [5, 6]], [0.9, 0.5, 0.0])
    second = detections([[3, 4], [1, 2], [7, 8]], [0.75, 0.5, 0.0], shift=0.25)
    assert compare([first], [second]) == Comparison(
        max_pose_difference_px=0.25,
        median_pose_difference_px=0.25,
        max_score_difference=pytest.approx(0.4),
        matched=2,
        unmatched=0,  # the third rows are empty in both
        people=2,
    )


def test_people_of_one_side_only_are_counted():
    first = detections([[1, 2], [3, 4]], [0.9, 0.8])
    second = detections([[1, 2], [5, 6]], [0.9, 0.7])
    comparison = compare([first, first], [second, first])
    assert (comparison.matched, comparison.unmatched, comparison.people) == (3, 2, 4)
    with pytest.raises(ValueError, match="2 people found by one only, of 4"):
        comparison.check("it")


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"matched": 0}, "no cell in common"),
        ({"max_pose_difference_px": 0.6}, r"0.6 px apart \(at most 0.5\)"),
        ({"max_pose_difference_px": float("nan")}, "nan px apart"),
        ({"max_score_difference": 0.02}, r"0.02 of score apart \(at most 0.01\)"),
        ({"unmatched": 4}, "4 people found by one only, of 30"),
    ],
)
def test_faults(changes, fault):
    good = {
        "max_pose_difference_px": 0.1,
        "median_pose_difference_px": 0.01,
        "max_score_difference": 0.0,
        "matched": 60,
        "unmatched": 3,
        "people": 30,
    }
    Comparison(**good).check("it")
    with pytest.raises(ValueError, match=f"it does not give .*: {fault}"):
        Comparison(**{**good, **changes}).check("it")


def test_eight_bits_may_move_poses_but_not_lose_them():
    bad = Comparison(9.0, 1.0, 0.2, matched=0, unmatched=30, people=30)
    for precision in ("fp32", "fp16", "bf16"):
        with pytest.raises(ValueError, match="it does not give"):
            bad.check("it", precision)
    for precision in ("dynamic", "int8"):
        bad.check("it", precision)
        with pytest.raises(ValueError, match="nan px apart"):
            Comparison(float("nan"), 1.0, 0.2, 1, 1, 1).check("it", precision)


def test_who_is_suppressed_in_one_only_is_unmatched():
    first = detections([[1, 2], [3, 4]], [0.9, 0.8])
    second = detections([[1, 2], [3, 4]], [0.9, 0.0])
    for pair in ((first, second), (second, first)):
        comparison = compare([pair[0]], [pair[1]])
        assert (comparison.matched, comparison.unmatched) == (2, 1)
        assert comparison.max_score_difference == 0


def test_nan_poses_are_a_difference():
    first = detections([[1, 2]], [0.9])
    second = detections([[1, 2]], [0.9], shift=float("nan"))
    assert np.isnan(compare([first], [second]).max_pose_difference_px)


def test_resized_sides_are_those_of_fit_short_side():
    rng = np.random.default_rng(0)
    for height, width in [(1, 1), (427, 640), *rng.integers(100, 400, (200, 2))]:
        expected, _ = fit_short_side(int(height), int(width), 512)
        assert tuple(resized_sides(tf.constant([height, width]), 512)) == expected


def test_strips_shrink_to_four_input_sizes():
    assert tuple(resized_sides(tf.constant([200, 4000]), 512)) == (102, 2040)
    assert tuple(resized_sides(tf.constant([4000, 1]), 512)) == (4000, 1)
    assert tuple(resized_sides(tf.constant([100, 400]), 512)) == (512, 2048)


@pytest.mark.parametrize("size", [(60, 80), (300, 170), (128, 128)])
def test_tensorflow_resizes_as_pillow_does(size):
    image = made_image(150, 110, seed=3)
    ours = tf.round(tf.image.resize(image, size, antialias=True)).numpy()
    pillow = resize_image(image, *size).astype(np.float32)
    assert np.abs(ours - pillow).max() <= 1.0


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "new" / "model"
    with written_whole(path, overwrite=False, marker="mark") as folder:
        folder.mkdir()
        (folder / "mark").write_text("1")
    with pytest.raises(RuntimeError):
        with written_whole(path, overwrite=True, marker="mark") as folder:
            folder.mkdir()
            raise RuntimeError
    assert (path / "mark").read_text() == "1"
    with written_whole(path, overwrite=True, marker="mark") as folder:
        folder.mkdir()
        (folder / "mark").write_text("2")
    assert (path / "mark").read_text() == "2"
    assert [p.name for p in path.parent.iterdir()] == ["model"]


@pytest.mark.slow
def test_reduced_precision_becomes_float32(model):
    assert float32_model(model) is model
    reduced = PoseEstimator(
        COCO, backbone="tiny", input_size=64, dtype="mixed_bfloat16"
    )
    copy = float32_model(reduced)
    assert copy.dtype_policy.name == "float32"
    assert copy.input_size == 64
    for ours, theirs in zip(copy.get_weights(), reduced.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
