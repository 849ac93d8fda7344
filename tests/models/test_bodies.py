"""Bodies by name, and bodies of the user's own."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest

from qepose_tf.models import load_model
from qepose_tf.models.bodies import (
    STRIDES,
    build_body,
    layer_strides,
    layers_up_to,
    name_of,
    named_bodies,
)
from qepose_tf.models.complexity import activations, macs
from qepose_tf.models.pose_estimator import PoseEstimator
from tests.backends import needs_tensorflow, to_numpy
from tests.models.conftest import PAIR, random_facts, random_images

ROOT = Path(__file__).parents[2]
TAPPED = ("block_2_add", "block_5_add", "block_12_add", "out_relu")


def mobilenet(shape=(None, None, 3), tapped=TAPPED):
    """MobileNetV2 with maps at strides 4, 8, 16 and 32."""
    model = keras.applications.MobileNetV2(
        input_shape=shape, alpha=0.35, include_top=False, weights=None
    )
    outputs = [model.get_layer(name).output for name in tapped]
    return keras.Model(model.input, outputs, name="mobilenet")


class Pyramidal(keras.Model):
    """A functional model as KerasHub's backbones are: its maps beside its output."""

    def __init__(self, keys=("P2", "P3", "P4", "P5")):
        images = keras.Input((None, None, 3))
        x = keras.layers.Conv2D(8, 3, 2, padding="same", name="stem")(images)
        maps = {}
        for key, channels in zip(keys, (8, 12, 16, 20), strict=True):
            x = keras.layers.Conv2D(channels, 3, 2, padding="same", name=key)(x)
            maps[key] = x
        super().__init__(images, x, name="pyramidal")
        self.pyramid_outputs = maps


class Subclassed(keras.Model):
    def call(self, inputs):
        return [inputs[:, ::stride, ::stride] for stride in STRIDES]


def estimator(body, **settings):
    small = {"keypoint_channels": 4, "instance_channels": 8}
    return PoseEstimator(PAIR, backbone=body, input_size=64, head=small, **settings)


@pytest.fixture(scope="module")
def lite0():
    keras.utils.set_random_seed(0)
    return build_body("efficientnet_lite0")


@pytest.mark.parametrize("size", [(64, 64), (96, 160)])
def test_efficientnet_has_four_maps(lite0, size):
    height, width = size
    maps = lite0(random_images(1, height, width), training=False)
    assert [output.shape for output in maps] == [
        (1, height // stride, width // stride, channels)
        for stride, channels in zip(STRIDES, (24, 24, 40, 40), strict=True)
    ]
    assert all(np.ptp(to_numpy(output)) > 0 for output in maps)


def test_efficientnet_has_the_published_encoder(lite0):
    """The classifier's 4,652,008 numbers less its head: 320 to 1280 to 1000."""
    encoder = sum(
        int(np.prod(weight.shape))
        for weight in lite0.trainable_weights
        if not weight.path.startswith("pyramid_")
    )
    assert encoder == 4_652_008 - (320 * 1280 + 2 * 1280) - (1280 * 1000 + 1000)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(named_bodies()))
def test_a_body_knows_its_name_and_its_layers_have_names_of_their_own(name):
    body = build_body(name)
    assert name_of(body) == name
    names = [layer.name for layer in body.layers]
    assert len(set(names)) == len(names)


@pytest.mark.slow
def test_batch_normalisation_is_as_asked_for():
    body = build_body("efficientnet_lite0", momentum=0.7, synchronized=True)
    norms = [
        layer
        for layer in body.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    assert len(norms) == 48 + 8  # a stem's, 16 blocks' three less one; the pyramid's
    assert {(norm.momentum, norm.synchronized) for norm in norms} == {(0.7, True)}
    epsilons = {n.name.split("_")[0]: n.epsilon for n in norms}
    assert epsilons == {"bn0": 1e-3, "blocks": 1e-3, "pyramid": 1e-5}


@pytest.mark.parametrize("name", ["tiny", "efficientnet_lite0", "mobilenet"])
def test_strides_are_those_of_the_maps(name):
    body = mobilenet() if name == "mobilenet" else build_body(name)
    side = 512
    maps = keras.Model(body.input, [layer.output for layer in body.layers])
    outputs = maps.compute_output_spec(keras.KerasTensor((1, side, side, 3)))
    found = layer_strides(body)
    assert [layer for layer, _ in found] == body.layers
    for (layer, stride), output in zip(found, outputs, strict=True):
        beyond = output.shape[1] - side // stride
        assert 0 <= beyond <= 2 * layer.name.endswith("pad"), layer.name


@pytest.mark.parametrize(
    "stride, first_left, last_taken",
    [
        (2, "blocks_1_depthwise_conv", "blocks_1_bn0_relu"),
        (4, "blocks_3_depthwise_conv", "blocks_3_bn0_relu"),
        (8, "blocks_5_depthwise_conv", "blocks_5_bn0_relu"),
        (16, "blocks_11_depthwise_conv", "blocks_11_bn0_relu"),
        (32, "pyramid_5_lateral", "blocks_15_bn2"),
    ],
)
def test_the_first_layers_end_where_the_map_gets_coarser(
    lite0, stride, first_left, last_taken
):
    first = [layer.name for layer in layers_up_to(lite0, stride)]
    assert first[0] == "images" and first[-1] == last_taken
    assert first_left not in first
    assert not any(name.startswith("pyramid_") for name in first)


def test_complexity_counts_what_a_body_multiplies():
    """MobileNetV2's depthwise convolutions, and paddings that widen its maps."""
    body = mobilenet()
    kernels = [
        (layer, weight)
        for layer in body.layers
        for weight in layer.weights
        if "kernel" in weight.name
    ]
    depthwise = [
        layer for layer, _ in kernels if isinstance(layer, keras.layers.DepthwiseConv2D)
    ]
    assert len(depthwise) == 17
    maps = keras.Model(body.input, [layer.output for layer, _ in kernels])
    outputs = maps.compute_output_spec(keras.KerasTensor((1, 64, 64, 3)))
    products = sum(
        int(np.prod(output.shape[1:3])) * int(np.prod(weight.shape))
        for output, (_, weight) in zip(outputs, kernels, strict=True)
    )
    model = estimator(body)
    head = [w for w in model.weights if w.name == "kernel"]
    of_body = {id(weight) for weight in body.weights}
    per_cell = sum(int(np.prod(w.shape)) for w in head if id(w) not in of_body)
    assert macs(model, 64, 64) == products + 16 * 16 * per_cell
    assert activations(model, 128, 64) == 2 * activations(model, 64, 64) > 0


@pytest.mark.slow
@pytest.mark.parametrize("make", [mobilenet, Pyramidal])
def test_a_body_of_the_user_s_own_trains_and_is_saved(make, tmp_path):
    keras.utils.set_random_seed(0)
    body = make()
    model = estimator(body)
    assert name_of(model.body) is None
    images, facts = random_images(2, 64, 64), random_facts(2, keypoints=2)
    before = to_numpy([weight.value for weight in body.trainable_weights])
    model.compile(keras.optimizers.Adam(1e-3), run_eagerly=True)
    history = model.fit(images, facts, batch_size=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    for weight, former in zip(body.trainable_weights, before, strict=True):
        assert (to_numpy(weight.value) != former).any(), weight.path
    expected = to_numpy(model(images, training=False))
    assert expected["score_map"].shape == (2, 16, 16, 1)
    model.save(tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    found = to_numpy(loaded(images, training=False))
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, name)
    predicted = loaded.predict(images, verbose=0)
    np.testing.assert_allclose(predicted["scores"], expected["scores"], atol=1e-5)


def test_maps_may_come_as_a_dict():
    plain = mobilenet()
    maps = dict(zip("abcd", plain.outputs, strict=True))
    body = build_body(keras.Model(plain.input, maps))
    images = random_images(1, 64, 64)
    for found, expected in zip(body(images), plain(images), strict=True):
        np.testing.assert_array_equal(to_numpy(found), to_numpy(expected))


@pytest.mark.slow
def test_the_example_of_the_documentation():
    text = (ROOT / "docs/TRAINING.md").read_text(encoding="utf-8")
    section = text.partition("### A body of your own\n")[2]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)[:1]
    names: dict = {}
    exec(compile(code, "docs/TRAINING.md", "exec"), names)
    poses = names["model"].predict(random_images(1, 64, 64), verbose=0)["poses"]
    assert poses.shape == (1, 30, 17, 2)


@pytest.mark.slow
@needs_tensorflow
@pytest.mark.usefixtures("one_process")
@pytest.mark.parametrize("make", [mobilenet, Pyramidal])
def test_a_body_of_the_user_s_own_is_exported(make, tmp_path):
    """The exporter holds each file's poses to the model's itself."""
    from qepose_tf.benchmark.settled import settled_model
    from qepose_tf.exporting import Exporter
    from qepose_tf.images.drawn_image import made_image

    images = [made_image(64, 64, seed) for seed in range(8)]
    small = {"keypoint_channels": 4, "instance_channels": 8}
    settings = {"backbone": make(), "input_size": 64, "head": small}
    keras.utils.set_random_seed(0)
    model = settled_model(PAIR, settings, images)
    with Exporter(model, height=64, width=64, calibration=images) as exporter:
        saved = exporter.write("saved_model", tmp_path / "saved")
        plain = exporter.write("tflite", tmp_path / "fp32.tflite", "fp32")
        eight_bits = exporter.write("tflite", tmp_path / "int8.tflite", "int8")
    for comparison in (saved, plain):
        assert comparison.people >= 5 and comparison.unmatched == 0
        assert comparison.max_pose_difference_px < 0.01
    assert eight_bits.people >= 5 and eight_bits.matched > 0


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: "w31", "expected a backbone of .* or a keras.Model, got 'w31'"),
        (lambda: Subclassed(), "expected a backbone that is a name or a functional"),
        (lambda: 7, "expected a backbone that is a name or a functional .*, got 7"),
        (
            lambda: mobilenet((64, 64, 3)),
            "backbone mobilenet: expected one input of shape .* got .*64, 64, 3",
        ),
        (
            lambda: mobilenet(tapped=TAPPED[:3]),
            r"backbone mobilenet: expected four maps at strides .*\(4, 4\)\] for",
        ),
        (
            lambda: mobilenet(tapped=("block_1_project_BN", *TAPPED[::2], "out_relu")),
            "backbone mobilenet: expected four maps at strides",
        ),
        (
            lambda: Pyramidal(("P2", "P3", "P4", "P6")),
            r"backbone pyramidal: expected pyramid_outputs P2 to P5, got .*'P6'",
        ),
    ],
)
def test_what_cannot_be_a_body_is_one_clear_line(make, message):
    with pytest.raises(ValueError, match=message) as error:
        estimator(make())
    assert "\n" not in str(error.value)
