import keras
import numpy as np
import pytest

from qepose_tf.models.complexity import trainable_params
from qepose_tf.models.hrnet import VARIANTS, hrnet
from tests.backends import to_numpy

LARGE = [pytest.param(name, marks=pytest.mark.slow) for name in ("w32", "w48")]


@pytest.fixture(scope="module")
def bodies(request):
    """The large ones are built where a test looks at them."""

    class Bodies:
        def __getitem__(self, variant):
            name = "coco_model" if variant == "tiny" else variant
            return request.getfixturevalue(name).body

    return Bodies()


def test_the_table_holds_four_variants():
    assert list(VARIANTS) == ["tiny", "w18", "w32", "w48"]


@pytest.mark.slow
@pytest.mark.parametrize("variant, count", [("w32", 29_305_536), ("w48", 65_325_120)])
def test_trainable_parameters_are_exactly_those_of_hrnet(bodies, variant, count):
    assert trainable_params(bodies[variant]) == count


@pytest.mark.parametrize("variant", ["tiny", *LARGE])
def test_four_maps_of_doubling_stride_and_width(bodies, variant):
    width = VARIANTS[variant].width
    assert [tuple(output.shape) for output in bodies[variant].outputs] == [
        (None, None, None, width * 2**i) for i in range(4)
    ]


@pytest.mark.parametrize("height, width", [(64, 64), (96, 160), (32, 32)])
def test_sizes_of_the_maps(bodies, height, width):
    outputs = bodies["tiny"](np.zeros((2, height, width, 3), "float32"))
    assert [tuple(output.shape) for output in outputs] == [
        (2, height // stride, width // stride, 4 * stride) for stride in (4, 8, 16, 32)
    ]


@pytest.mark.parametrize("variant", ["tiny", *LARGE])
def test_convolutions_of_stride_two_pad_both_sides(bodies, variant):
    convolutions = [
        layer
        for layer in bodies[variant].layers
        if isinstance(layer, keras.layers.Conv2D) and layer.strides == (2, 2)
    ]
    assert len(convolutions) > 5
    for layer in convolutions:
        before = layer.input._keras_history.operation
        assert isinstance(before, keras.layers.ZeroPadding2D), layer.name
        assert before.padding == ((1, 1), (1, 1))
        assert layer.padding == "valid" and layer.kernel_size == (3, 3)


def test_new_branches_come_from_the_last_one(w32):
    for stage, modules, last in ((2, 1, 1), (3, 4, 2)):
        pad = w32.body.get_layer(f"transition{stage}_{last + 1}_0_0_pad")
        source = f"stage{stage}_{modules - 1}_fuse_layers_{last}_relu"
        assert pad.input._keras_history.operation.name == source


def test_branches_are_fused_at_their_own_stride(w32):
    """The stride-4 branch takes those below enlarged by 2, 4 and 8, nearest cell."""
    for source, factor in ((1, 2), (2, 4), (3, 8)):
        enlarge = w32.body.get_layer(f"stage4_2_fuse_layers_0_{source}_up")
        assert (enlarge.factor, enlarge.interpolation) == (factor, "nearest")
    added = w32.body.get_layer("stage4_2_fuse_layers_3_add").input
    assert [part._keras_history.operation.name for part in added] == [
        "stage4_2_fuse_layers_3_0_2_1",
        "stage4_2_fuse_layers_3_1_1_1",
        "stage4_2_fuse_layers_3_2_0_1",
        "stage4_2_branches_3_3_relu",
    ]


def test_a_lit_pixel_through_the_first_convolution(bodies):
    """Output (i, j) is the 3x3 around input (2i, 2j): the centre of the kernel."""
    body = bodies["tiny"]
    first = keras.Model(body.input, body.get_layer("conv1").output)
    kernel = np.zeros(first.get_layer("conv1").kernel.shape, "float32")
    kernel[:, :, 0, 0] = np.arange(1, 10).reshape(3, 3)
    before = first.get_layer("conv1").get_weights()
    first.get_layer("conv1").set_weights([kernel])
    images = np.zeros((3, 8, 8, 3), "float32")
    images[0, 0, 0, 0] = images[1, 7, 7, 0] = images[2, 4, 3, 0] = 1.0
    outputs = to_numpy(first(images))[..., 0]
    first.get_layer("conv1").set_weights(before)
    expected = np.zeros((3, 4, 4))
    expected[0, 0, 0] = 5  # the centre
    expected[1, 3, 3] = 9  # one right of and below (6, 6)
    expected[2, 2, 1], expected[2, 2, 2] = 6, 4  # between (4, 2) and (4, 4)
    np.testing.assert_array_equal(outputs, expected)


def test_names_are_those_of_the_public_checkpoints(w32):
    names = {layer.name for layer in w32.body.layers}
    for key in (
        "conv1",
        "bn2",
        "layer1_0_downsample_0",
        "layer1_3_conv3",
        "transition1_0_0",
        "transition1_1_0_0",
        "transition3_3_0_1",
        "stage2_0_branches_1_3_bn2",
        "stage3_3_fuse_layers_2_0_0_0",
        "stage3_3_fuse_layers_2_0_1_1",
        "stage4_2_fuse_layers_0_3_0",
        "stage4_2_fuse_layers_3_0_2_1",
    ):
        assert key in names


def test_an_unknown_variant_is_named():
    with pytest.raises(ValueError, match=r"expected a backbone of .*'w48'.*got 'w64'"):
        hrnet("w64")
