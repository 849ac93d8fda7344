import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from qepose_tf.exporting.checks.comparison import compare
from qepose_tf.exporting.formats.fixed_graph import write_fixed_graph
from qepose_tf.exporting.formats.onnx import OPSET, write_onnx
from qepose_tf.exporting.served_graph import OUTPUTS, detect
from qepose_tf.images.drawn_image import made_image

pytestmark = pytest.mark.slow
onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
pytest.importorskip("tf2onnx", reason="the extra onnx is not installed")

METADATA = {"schema": 1, "skeleton": {"name": "Füße"}}
IMAGES = np.stack([made_image(128, 96, seed) for seed in (3, 4)])
CLIENT = """
import sys, numpy, onnxruntime
session = onnxruntime.InferenceSession(
    sys.argv[1], providers=["CPUExecutionProvider"]
)
names = [output.name for output in session.get_outputs()]
found = session.run(names, {"images": numpy.load(sys.argv[2])})
numpy.savez(sys.argv[3], **dict(zip(names, found)))
print(*names)
"""


@pytest.fixture(scope="module")
def file(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("onnx")
    write_fixed_graph(model, folder / "graph", height=128, width=96, batch=2)
    write_onnx(folder / "graph", folder / "pose.onnx", METADATA)
    return folder / "pose.onnx"


def test_onnx_runtime_gives_the_models_poses(model, file):
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    np.save(file.with_name("images.npy"), IMAGES)
    files = [file, file.with_name("images.npy"), file.with_name("found.npz")]
    ended = subprocess.run(
        [sys.executable, "-c", CLIENT, *files], capture_output=True, text=True
    )
    assert not ended.returncode, ended.stderr
    assert "[W:onnxruntime" not in ended.stderr
    assert ended.stdout.split() == list(OUTPUTS)
    with np.load(files[2]) as found:
        actual = dict(found)
    expected = {name: value.numpy() for name, value in detect(model, IMAGES).items()}
    assert {k: (v.shape, v.dtype) for k, v in actual.items()} == {
        k: (v.shape, v.dtype) for k, v in expected.items()
    }
    comparison = compare([expected], [actual])
    assert comparison.people > 10
    assert comparison.unmatched == 0
    assert comparison.max_pose_difference_px < 0.05
    assert comparison.max_score_difference < 1e-3


def test_one_checked_file_of_standard_operations(file):
    onnx.checker.check_model(str(file), full_check=True)
    read = onnx.load(str(file))
    assert {p.key: json.loads(p.value) for p in read.metadata_props} == {
        "pose.json": METADATA
    }
    assert {node.domain for node in read.graph.node} == {""}
    assert {entry.domain: entry.version for entry in read.opset_import}[""] == OPSET
    [images] = read.graph.input
    assert images.name == "images"
    assert images.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    sides = [d.dim_value for d in images.type.tensor_type.shape.dim]
    assert sides == [2, 128, 96, 3]
    assert [output.name for output in read.graph.output] == list(OUTPUTS)
    # the body works on planes as it stands, not between transpositions
    kinds = [node.op_type for node in read.graph.node]
    assert kinds.count("Transpose") < kinds.count("Conv") / 3


class Unconvertible(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([1, 32, 32, 3], tf.uint8, "images")])
    def serve(self, images):
        encoded = tf.io.encode_jpeg(images[0])
        return {name: encoded for name in OUTPUTS}


def test_what_cannot_be_converted_is_named_in_one_line(tmp_path):
    module = Unconvertible()
    signatures = {"serving_default": module.serve}
    tf.saved_model.save(module, str(tmp_path / "graph"), signatures=signatures)
    with pytest.raises(ValueError, match="ONNX: .*EncodeJpeg") as error:
        write_onnx(tmp_path / "graph", tmp_path / "pose.onnx", METADATA)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "pose.onnx").exists()


def test_a_missing_package_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'qepose-tf\[onnx\]'"):
        write_onnx(tmp_path, tmp_path / "pose.onnx", METADATA)
    assert not list(tmp_path.iterdir())
