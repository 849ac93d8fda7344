"""Checkpoints with the published names and shapes become whole models."""

from dataclasses import replace

import numpy as np
import pytest

from qepose_tf.cli import main
from qepose_tf.exporting import export
from qepose_tf.models import load_model
from qepose_tf.models.hrnet import VARIANTS
from qepose_tf.weights import import_dekr
from tests.weights import torch_shapes
from tests.weights.torch_format import Raw, glob, write_zip
from tests.weights.torch_shapes import conv, norm, random_tensors

TAPS = np.mgrid[-1:2, -1:2].reshape(2, 9).astype("<f4")


def dekr(variant="tiny", keypoints=17, seed=0):
    """The tensors of HRNet/DEKR's checkpoint."""
    heads = torch_shapes.dekr_head(variant, keypoints)
    tensors = tamed(random_tensors(torch_shapes.body(variant) | heads, seed))
    for k in range(keypoints):
        for block in range(2):
            tensors[f"offset_feature_layers.{k}.{block}.regular_matrix"] = TAPS
    return tensors


def mmpose(variant="tiny", keypoints=17, seed=0):
    """The tensors of mmpose's checkpoint, which holds the rescoring network, too."""
    width = torch_shapes.VARIANTS[variant].width
    channels, inputs = 15 * keypoints, 15 * width
    heat, way = "head.heatmap_conv_layers", "head.displacement_conv_layers"
    shapes = {f"backbone.{k}": v for k, v in torch_shapes.body(variant).items()}
    shapes |= conv(f"{heat}.0.conv", width, inputs, 1) | norm(f"{heat}.0.bn", width)
    shapes |= torch_shapes.basic_block(f"{heat}.1", width)
    shapes |= conv(f"{heat}.2", keypoints + 1, width, 1, bias=True)
    shapes |= conv(f"{way}.0.conv", channels, inputs, 1)
    shapes |= norm(f"{way}.0.bn", channels)
    for block in (1, 2):
        name = f"{way}.{block}"
        shapes |= conv(f"{name}.transform_matrix_conv", 6 * keypoints, 15, 3, bias=True)
        shapes |= conv(f"{name}.adapt_conv", channels, 15, 3)
        shapes |= norm(f"{name}.norm", channels)
    shapes |= conv(f"{way}.3", 2 * keypoints, 15, 1, bias=True)
    for name, shape in (("l1", (256, 74)), ("l2", (256, 256)), ("l3", (1, 256))):
        shapes[f"head.rescore_net.{name}.weight"] = shape
        shapes[f"head.rescore_net.{name}.bias"] = shape[:1]
    tensors = tamed(random_tensors(shapes, seed))
    for block in (1, 2):
        matrix = np.vstack([TAPS, np.ones(9, "<f4")])
        tensors[f"{way}.{block}.regular_matrix"] = matrix
    return tensors


def tamed(tensors):
    """Kernels around zero of about unit gain, and heatmaps around 0.4."""
    rng = np.random.default_rng(9)
    for name, value in tensors.items():
        if value.ndim == 4:
            gain = 1.0 / np.sqrt(np.prod(value.shape[1:]))
            tensors[name] = (gain * rng.normal(size=value.shape)).astype("<f4")
        elif name.endswith((".bias", "running_mean")):
            tensors[name] = (0.1 * rng.normal(size=value.shape)).astype("<f4")
    for name in ("head_heatmap.1", "head.heatmap_conv_layers.2"):
        if f"{name}.bias" in tensors:
            tensors[f"{name}.weight"] *= 0.1
            tensors[f"{name}.bias"] += 0.4
    return tensors


def named_before_version_1(tensors):
    """The same network as mmpose 0.x wrote it: other names, sign and order."""
    old = {}
    for name, value in tensors.items():
        name = name.replace("head.rescore_net", "rescore_net")
        name = name.replace("head.", "keypoint_head.")
        name = name.replace("displacement_conv_layers", "offset_conv_layers")
        if "offset_conv_layers.3" in name:
            value = -value
        if "heatmap_conv_layers.2" in name:
            value = np.roll(value, 1, axis=0)
        old[name] = value
    return old


def grouped(tensors, keypoints=17):
    """HRNet/DEKR's tensors in mmpose's form, for the same poses."""
    new = {f"backbone.{k}": v for k, v in tensors.items() if k.split(".")[0] in BODY}
    heat, way = "head.heatmap_conv_layers", "head.displacement_conv_layers"
    moved = {
        "transition_heatmap.0.": f"{heat}.0.conv.",
        "transition_heatmap.1.": f"{heat}.0.bn.",
        "head_heatmap.0.0.": f"{heat}.1.",
        "head_heatmap.1.": f"{heat}.2.",
        "transition_offset.0.": f"{way}.0.conv.",
        "transition_offset.1.": f"{way}.0.bn.",
    }
    for name, value in tensors.items():
        for before, after in moved.items():
            if name.startswith(before):
                new[name.replace(before, after)] = value

    def joined(pattern):
        return np.concatenate([tensors[pattern.format(k)] for k in range(keypoints)])

    for block in (0, 1):
        theirs, ours = f"offset_feature_layers.{{}}.{block}", f"{way}.{block + 1}"
        for part in ("weight", "bias"):
            rows = []
            for k in range(keypoints):
                name = theirs.format(k)
                matrix = tensors[f"{name}.transform_matrix_conv.{part}"]
                shift = tensors[f"{name}.translation_conv.{part}"]
                if part == "bias":  # mmpose moves taps from where they stand
                    matrix = matrix - np.array([1, 0, 0, 1], "<f4")
                rows += [*matrix[:2], shift[0], *matrix[2:], shift[1]]
            new[f"{ours}.transform_matrix_conv.{part}"] = np.stack(rows)
        new[f"{ours}.adapt_conv.weight"] = joined(f"{theirs}.adapt_conv.weight")
        for part in ("weight", "bias", "running_mean", "running_var"):
            new[f"{ours}.norm.{part}"] = joined(f"{theirs}.bn.{part}")
    for part in ("weight", "bias"):
        new[f"{way}.3.{part}"] = -joined(f"offset_final_layer.{{}}.{part}")
    return new


BODY = ("conv1", "bn1", "conv2", "bn2", "layer1", "transition1", "transition2")
BODY += ("transition3", "stage2", "stage3", "stage4")


@pytest.mark.slow
@pytest.mark.parametrize("form", [dekr, mmpose])
@pytest.mark.parametrize(("keypoints", "name"), [(17, "coco"), (14, "crowdpose")])
def test_every_tensor_is_used_once_or_named(form, keypoints, name, tmp_path):
    tensors = form(keypoints=keypoints)
    model, report = import_dekr(write_zip(tmp_path / "f.pth", tensors))
    assert (model.skeleton.name, report.backbone) == (name, "tiny")
    groups = {"num_batches_tracked", "regular_matrix"}
    groups |= {"rescore_net"} if form is mmpose else set()
    assert set(report.unused) == groups
    unused = [name for names in report.unused.values() for name in names]
    assert len(set(unused)) == len(unused)
    assert report.tensors_used + len(unused) == len(tensors)
    assert report.parameters == model.count_params()


@pytest.mark.slow
@pytest.mark.parametrize(("variant", "side"), [("w32", 512), ("w48", 640)])
def test_the_width_is_recognised(variant, side, monkeypatch, tmp_path):
    """By the first layers' channels: most of the others are left out."""
    shallow = replace(VARIANTS[variant], bottlenecks=1, modules=(0, 0, 0))
    monkeypatch.setitem(VARIANTS, variant, shallow)
    model, report = import_dekr(write_zip(tmp_path / "f.pth", dekr(variant)))
    assert (report.backbone, model.input_size) == (variant, side)


@pytest.mark.slow
def test_three_layouts_of_the_same_network_are_the_same_model(tmp_path):
    tensors = dekr()
    forms = tensors, grouped(tensors), named_before_version_1(grouped(tensors))
    models = [
        import_dekr(write_zip(tmp_path / f"{i}.pth", form))[0]
        for i, form in enumerate(forms)
    ]
    for model in models[1:]:
        assert model.decoder_settings.protocol == "mmpose"
        pairs = zip(models[0].get_weights(), model.get_weights(), strict=True)
        for ours, other in pairs:
            np.testing.assert_allclose(ours, other, atol=1e-6)


@pytest.mark.slow
@pytest.mark.usefixtures("shallow_body", "one_process")
@pytest.mark.parametrize("form", [dekr, mmpose])
def test_a_checkpoint_gives_the_same_poses_in_every_format(form, tmp_path, capsys):
    out = tmp_path / "dekr.keras"
    checkpoint = write_zip(tmp_path / "f.pth", form())
    assert main(["import-weights", str(checkpoint), "--out", str(out)]) == 0
    model = load_model(out)
    for name in ("saved_model", "pose.tflite", "pose.onnx"):
        sides = {} if name == "saved_model" else {"height": 64, "width": 96}
        compared = export(model, tmp_path / name, **sides)
        assert compared.max_pose_difference_px < 1e-2
        assert compared.matched > 0 and compared.people > 0


def refused(tmp_path, capsys, tensors):
    """The one line that the command prints, and nothing is written."""
    out = tmp_path / "dekr.keras"
    checkpoint = write_zip(tmp_path / "f.pth", tensors)
    assert main(["import-weights", str(checkpoint), "--out", str(out)]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    (line,) = [line for line in lines if line.startswith("qepose:")]
    assert str(checkpoint) in line and not out.exists()
    return line


@pytest.mark.slow
def test_what_is_no_dekr_is_one_line(tmp_path, capsys):
    tensors = dekr()
    lacking = {k: v for k, v in tensors.items() if k != "offset_final_layer.3.bias"}
    line = refused(tmp_path, capsys, lacking)
    assert "lacks the tensor offset_final_layer.3.bias [2]" in line
    wide = {**tensors, "transition1.0.0.weight": np.ones((40, 64, 3, 3), "<f4")}
    assert "this looks like w40" in refused(tmp_path, capsys, wide)
    mixed = {**tensors, "transition_heatmap.0.weight": np.ones((16, 480, 1, 1), "<f4")}
    assert "has shape [16, 480, 1, 1], expected" in refused(tmp_path, capsys, mixed)
    body = {k: v for k, v in tensors.items() if k.split(".")[0] in BODY}
    assert "expected the heads of DEKR" in refused(tmp_path, capsys, body)
    odd = {**tensors, "offset_feature_layers.0.0.regular_matrix": TAPS + 1}
    assert "expected the taps of a 3x3 kernel" in refused(tmp_path, capsys, odd)
    more = {**tensors, "head_heatmap.2.weight": np.ones(3, "<f4")}
    assert "no known DEKR has: head_heatmap.2.weight" in refused(tmp_path, capsys, more)
    heads = dekr(keypoints=5)
    assert "17 (coco) or 14 (crowdpose)" in refused(tmp_path, capsys, heads)
    code = {**tensors, "evil": Raw(glob("os", "system"))}
    assert "which is refused" in refused(tmp_path, capsys, code)


def test_a_wrong_use_says_what_to_do(tmp_path, capsys):
    out = str(tmp_path / "w.weights.h5")
    assert main(["import-weights", "f.pth", "--out", out]) == 2
    assert "--config" in capsys.readouterr().err
