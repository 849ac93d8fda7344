import importlib.util
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import keras
import numpy as np
import pytest

from qepose_tf.exporting.checks.comparison import compare
from qepose_tf.exporting.formats.fixed_graph import write_fixed_graph
from qepose_tf.exporting.formats.openvino import write_openvino
from qepose_tf.exporting.served_graph import OUTPUTS, detect
from qepose_tf.images.drawn_image import made_image
from qepose_tf.models.hrnet import VARIANTS
from qepose_tf.models.pose_estimator import PoseEstimator
from qepose_tf.skeleton import COCO
from tests.micro_body import SHALLOW

if not importlib.util.find_spec("openvino"):
    pytest.skip("the extra openvino is not installed", allow_module_level=True)

pytestmark = pytest.mark.slow
METADATA = {"schema": 1, "skeleton": {"name": "Füße"}}
IMAGES = [np.stack([made_image(128, 96, seed) for seed in (3, 4)])]
# Reads a model as any client would, without an option, and says what it computes in.
CLIENT = """
import sys; sys.modules["openvino_telemetry"] = None
import json, numpy, openvino
compiled = openvino.Core().compile_model(sys.argv[1], "CPU")
found = compiled({"images": numpy.load(sys.argv[2])})
numpy.savez(sys.argv[3], **{o.any_name: found[o] for o in compiled.outputs})
rounded = []
for node in compiled.get_runtime_model().get_ordered_ops():
    told = {k: v.astype(str) for k, v in node.get_rt_info().items() if "Prec" in k
            or k in ("layerType", "originalLayersNames")}
    if told["runtimePrecision"].lower() == "bf16" and told["layerType"] != "Reorder":
        rounded.append([told["layerType"], told["originalLayersNames"]])
can = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
names = [port.any_name for port in (*compiled.inputs, *compiled.outputs)]
print(json.dumps({"rounded": rounded, "can": can, "names": names}))
"""


def converted(model, folder, *precisions):
    write_fixed_graph(model, folder / "graph", height=128, width=96, batch=2)
    for precision in precisions:
        write_openvino(folder / "graph", folder / precision, METADATA, precision)
    return folder


def answered(folder):
    """What the file answers, and what a client finds in the compiled model."""
    np.save(folder / "images.npy", IMAGES[0])
    files = [folder / name for name in ("pose.xml", "images.npy", "found.npz")]
    ended = subprocess.run(
        [sys.executable, "-c", CLIENT, *files], capture_output=True, text=True
    )
    assert not ended.returncode, ended.stderr
    with np.load(folder / "found.npz") as found:
        return [dict(found)], json.loads(ended.stdout)


def expected(model):
    return [
        {k: v.numpy() for k, v in detect(model, images).items()} for images in IMAGES
    ]


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    return converted(model, tmp_path_factory.mktemp("ir"), "fp32", "fp16", "bf16")


def test_fp32_is_computed_in_float32_without_an_option(model, folder):
    found, facts = answered(folder / "fp32")
    comparison = compare(expected(model), found)
    assert comparison.people > 10
    assert comparison.unmatched == 0
    assert comparison.max_pose_difference_px < 0.01
    assert comparison.max_score_difference < 1e-3
    assert facts["names"] == ["images", *OUTPUTS]
    assert facts["rounded"] == []


def test_bf16_rounds_features_and_no_coordinate(model, folder):
    found, facts = answered(folder / "bf16")
    comparison = compare(expected(model), found)
    assert comparison.matched > 20
    # an untrained network multiplies what is rounded
    assert comparison.median_pose_difference_px < 0.25
    assert comparison.max_pose_difference_px < 3
    if not facts["can"]:
        pytest.skip("this CPU does not compute in bfloat16")
    kinds = [kind for kind, _ in facts["rounded"]]
    layers = [layer.get("type") for layer in ET.parse(folder / "bf16/pose.xml").iter()]
    assert kinds.count("Convolution") == layers.count("Convolution") > 50
    names = " ".join(name for _, name in facts["rounded"])
    assert "decoder" not in names
    assert "offset" not in names
    assert "score" not in names
    # of the layer that samples the score's features, only what carries these
    carriers = ("Tensordot", "Reshape", "GatherV2", "MatMul", "norm", "Relu")
    sampled = [part for part in re.split("[ ,]", names) if "pose_query" in part]
    assert any("GatherV2" in part for part in sampled)
    assert [part for part in sampled if not any(c in part for c in carriers)] == []


@pytest.mark.parametrize(
    "variant",
    [
        {"semantic_points": 0},
        {"keypoint_query_encoding": False, "pose_query": "none"},
        {"quality_branch": True, "pose_query": "keypoints"},
    ],
    ids=lambda variant: "-".join(variant),
)
def test_no_variant_rounds_a_coordinate(variant, monkeypatch, tmp_path):
    """What is not rounded is in the head: most of the body's layers are left out."""
    monkeypatch.setitem(VARIANTS, "tiny", SHALLOW)
    keras.utils.set_random_seed(0)
    model = PoseEstimator(COCO, backbone="tiny", input_size=128, head=variant)
    kernel, bias = model.get_layer("score").weights
    kernel.assign(kernel * 0.02)
    bias.assign(bias + 0.3)
    folder = converted(model, tmp_path, "fp32", "bf16")
    found, facts = answered(folder / "fp32")
    comparison = compare(expected(model), found)
    assert comparison.matched > 20
    assert comparison.max_pose_difference_px < 0.01
    assert facts["rounded"] == []
    _, facts = answered(folder / "bf16")
    names = " ".join(name for _, name in facts["rounded"])
    assert not any(word in names for word in ("decoder", "offset", "score", "Floor"))


def test_fp16_is_half_as_large_and_as_exact_as_its_weights(model, folder):
    found, facts = answered(folder / "fp16")
    comparison = compare(expected(model), found)
    assert comparison.matched > 40
    assert comparison.max_pose_difference_px < 0.2
    assert facts["rounded"] == []
    size = {p: (folder / p / "pose.bin").stat().st_size for p in ("fp32", "fp16")}
    assert size["fp16"] < 0.6 * size["fp32"]


def test_metadata_stands_beside_the_model(folder):
    assert sorted(path.name for path in (folder / "fp32").glob("pose.*")) == [
        "pose.bin",
        "pose.json",
        "pose.xml",
    ]
    text = (folder / "bf16" / "pose.json").read_text("utf-8")
    assert json.loads(text) == METADATA
    assert "Füße" in text


def test_errors_are_one_line(folder, tmp_path):
    with pytest.raises(ValueError, match="expected a precision of .* got 'int8'"):
        write_openvino(folder / "graph", tmp_path, METADATA, "int8")
    with pytest.raises(ValueError, match="OpenVINO cannot convert") as error:
        write_openvino(tmp_path / "missing", tmp_path / "out", METADATA, "fp32")
    assert "missing" in str(error.value)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_nothing_is_reported(forks):
    """In a process of its own: in this one somebody else has blocked it."""
    code = (
        "import sys\n"
        "from qepose_tf.exporting.formats.openvino import import_openvino\n"
        "assert import_openvino().Core\n"
        "assert sys.modules['openvino_telemetry'] is None\n"
        "assert not [m for m in sys.modules if m.startswith('openvino_telemetry.')]\n"
    )
    process = forks.start("-c", code)
    assert process.wait(120) == 0, process.communicate()


def test_a_missing_package_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ImportError, match=r"pip install 'qepose-tf\[openvino\]'"):
        write_openvino(tmp_path, tmp_path / "out", METADATA, "fp32")
    assert not list(tmp_path.iterdir())
