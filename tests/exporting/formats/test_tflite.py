import json
import zipfile

import numpy as np
import pytest

from qepose_tf.exporting import Exporter
from qepose_tf.exporting.pose_json import describe
from qepose_tf.images.drawn_image import made_image
from qepose_tf.skeleton import COCO

pytestmark = pytest.mark.slow

litert = pytest.importorskip("ai_edge_litert.interpreter")
NAMES = ["cells", "count", "keypoint_scores", "poses", "scores"]


@pytest.fixture(scope="module")
def files(exporter, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    files = {}
    for precision in ("fp32", "fp16", "dynamic", "int8"):
        file = folder / f"{precision}.tflite"
        files[precision] = file, exporter.write("tflite", file, precision)
    assert {p.name for p in folder.iterdir()} == {f"{name}.tflite" for name in files}
    return files


def operations(file):
    """Operations by their place, as (name, input tensors, output tensors)."""
    plain = litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = litert.Interpreter(str(file), experimental_op_resolver_type=plain)
    tensors = {t["index"]: t for t in interpreter.get_tensor_details()}
    return [
        (op["op_name"], *([tensors[i] for i in op[k] if i in tensors] for k in ends))
        for op in interpreter._get_ops_details()
        for ends in [("inputs", "outputs")]
    ]


@pytest.mark.parametrize(
    ("precision", "most_px"), [("fp32", 0.01), ("fp16", 0.5), ("dynamic", None)]
)
def test_poses_are_those_of_keras(files, precision, most_px):
    _, comparison = files[precision]
    assert comparison.people > 10
    assert comparison.matched >= 50
    assert comparison.median_pose_difference_px < (most_px or 1.0)
    if most_px:
        assert comparison.unmatched == 0
        assert comparison.max_pose_difference_px < most_px
        assert comparison.max_score_difference < 1e-3


def test_fewer_bits_are_smaller_files(files):
    size = {name: file.stat().st_size for name, (file, _) in files.items()}
    assert size["fp16"] < 0.6 * size["fp32"]
    assert size["dynamic"] < 0.4 * size["fp32"]
    assert size["int8"] < 0.4 * size["fp32"]


@pytest.mark.parametrize("precision", ["fp32", "fp16", "dynamic", "int8"])
def test_built_in_operations_and_named_outputs_only(files, precision):
    file, _ = files[precision]
    names = {name for name, *_ in operations(file)}
    assert "CONV_2D" in names
    assert not [n for n in names if n.startswith("Flex") or "CUSTOM" in n.upper()]
    # What nearest upsampling becomes when a converter does not know it.
    assert not names & {"TILE", "SHAPE", "BROADCAST_ARGS"}
    interpreter = litert.Interpreter(str(file))
    assert interpreter.get_signature_list() == {
        "serving_default": {"inputs": ["images"], "outputs": NAMES}
    }


def test_int8_convolutions_and_float_coordinates(files):
    found = operations(files["int8"][0])
    convolutions = [outputs[0]["dtype"] for name, _, outputs in found if "CONV" in name]
    assert convolutions == [np.int8] * len(convolutions)
    assert len(convolutions) > 50
    # From the first gather on nothing is quantised: neither coordinates nor scores.
    first = next(i for i, (name, *_) in enumerate(found) if name == "GATHER")
    types = {t["dtype"] for _, _, outputs in found[first:] for t in outputs}
    assert types <= {np.float32, np.int32, np.bool_}
    made = [tensor for _, _, outputs in found for tensor in outputs]
    places = [t for t in made if t["shape"].size and t["shape"][-1] == 2]
    assert {t["dtype"] for t in places} <= {np.float32, np.int32}
    # Each of body and head goes in and comes out once.
    kinds = [name for name, *_ in found]
    assert kinds.count("DEQUANTIZE") <= 4
    assert kinds.count("QUANTIZE") <= 6


def outside_xnnpack(file):
    """Operations that the delegate did not take, seen from its partitions' borders."""
    interpreter = litert.Interpreter(str(file))
    interpreter.allocate_tensors()
    found = interpreter._get_ops_details()
    delegates = [op for op in found if op["op_name"] == "DELEGATE"]
    plain = [op for op in found if op["op_name"] != "DELEGATE"]
    taken = {t for op in delegates for t in op["inputs"]}
    given = {t for op in delegates for t in op["outputs"]}
    users = {}
    for op in plain:
        for tensor in op["inputs"]:
            users.setdefault(tensor, []).append(op["index"])
    # Inside: what a partition gives, and backwards to what it takes.
    inside = {op["index"] for op in plain if given & set(op["outputs"])}
    for op in reversed(plain):
        between = [t for t in op["outputs"] if t not in taken]
        if any(user in inside for t in between for user in users.get(t, [])):
            inside.add(op["index"])
    return [op["op_name"] for op in plain if op["index"] not in inside]


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_xnnpack_takes_all_but_gathers_and_what_it_does_not_have(files, precision):
    outside = outside_xnnpack(files[precision][0])
    gathers = {"GATHER", "TOPK_V2", "PACK", "UNPACK", "STRIDED_SLICE", "RESHAPE"}
    row_numbers = {"CAST", "ADD", "MUL", "MINIMUM", "MAXIMUM", "FLOOR_DIV", "FLOOR_MOD"}
    comparisons = {
        "GREATER",
        "GREATER_EQUAL",
        "LESS",
        "LESS_EQUAL",
        "LOGICAL_AND",
        "SELECT_V2",
        "SUM",
        "WHILE",
    }
    known = gathers | row_numbers | comparisons | {"RESIZE_NEAREST_NEIGHBOR"}
    assert set(outside) <= known
    assert outside.count("RESIZE_NEAREST_NEIGHBOR") == 10  # XNNPACK has none
    assert outside.count("GATHER") == 6


def test_the_float_weights_of_fp16_and_dynamic_are_small(files):
    for precision, expected in (("fp16", np.float16), ("dynamic", np.int8)):
        inputs = [i for name, i, _ in operations(files[precision][0])]
        types = [t["dtype"] for tensors in inputs for t in tensors]
        assert types.count(expected) > 50


def test_metadata_is_in_the_file(model, files):
    for precision, (file, _) in files.items():
        with zipfile.ZipFile(file) as archive:
            assert archive.namelist() == ["pose.json"]
            described = json.loads(archive.read("pose.json"))
        assert described == describe(model, precision, height=128, width=96, batch=1)
    assert described["skeleton"]["keypoints"] == list(COCO.keypoints)
    assert described["letterbox"]["fill"] == [124, 116, 104]
    assert (described["input"]["height"], described["input"]["width"]) == (128, 96)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_one_image_after_another(files, precision):
    interpreter = litert.Interpreter(str(files[precision][0]))
    detect = interpreter.get_signature_runner("serving_default")
    first, second = (made_image(128, 96, seed)[None] for seed in (7, 8))
    before = detect(images=first)
    between = detect(images=second)
    after = detect(images=first)
    assert {k: (v.shape, v.dtype) for k, v in before.items()} == {
        "poses": ((1, 30, 17, 2), np.float32),
        "scores": ((1, 30), np.float32),
        "keypoint_scores": ((1, 30, 17), np.float32),
        "count": ((1,), np.int32),
        "cells": ((1, 30, 2), np.int32),
    }
    assert before["count"] == np.sum(before["scores"] > 0)
    assert not np.array_equal(before["poses"], between["poses"])
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value)


def test_a_batch(model, tmp_path):
    with Exporter(model, height=64, width=64, batch=2) as exporter:
        comparison = exporter.write("tflite", tmp_path / "two.tflite")
    assert comparison.matched >= 4 * 25
    assert comparison.max_pose_difference_px < 0.01
    interpreter = litert.Interpreter(str(tmp_path / "two.tflite"))
    assert interpreter.get_input_details()[0]["shape"].tolist() == [2, 64, 64, 3]
