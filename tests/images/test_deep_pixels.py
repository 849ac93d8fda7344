"""Pictures of more than 8 bits give what the same picture gives in 8."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from qepose_tf.images.decoding import read_image
from qepose_tf.images.deep_pixels import eight_bits

RAMP = np.linspace(0, 255, 60).round().astype(np.uint8).reshape(5, 12)
COLOURS = np.stack([RAMP, RAMP[::-1], RAMP[:, ::-1]], -1)


@given(
    arrays.arrays(np.uint8, (6, 5), elements=st.integers(0, 255)),
    st.sampled_from([8, 10, 12, 14, 16]),
)
@settings(max_examples=60, deadline=None)
def test_any_number_of_bits_is_told_by_the_largest_value(picture, bits):
    picture[0, 0] = 255
    white = 2**bits - 1
    deep = np.round(picture / 255 * white)
    kind = np.uint16 if bits > 8 else np.uint8
    assert np.abs(eight_bits(deep.astype(kind)).astype(int) - picture).max() <= 1
    np.testing.assert_array_equal(
        eight_bits(deep.astype(np.uint32)), eight_bits(deep.astype(np.int32))
    )


@given(arrays.arrays(np.uint8, (6, 5), elements=st.integers(0, 255)))
@settings(max_examples=60, deadline=None)
def test_floats_are_shares_or_bytes(picture):
    picture[0, :2] = 255, 200
    np.testing.assert_array_equal(eight_bits(picture.astype(np.float32)), picture)
    np.testing.assert_array_equal(eight_bits(picture / 255), picture)


def test_broken_values_and_highlights_of_floats():
    shares = np.full((20, 20), 0.5, np.float32)
    shares[0, :4] = np.nan, np.inf, -np.inf, 40.0
    found = eight_bits(shares)
    np.testing.assert_array_equal(found[0, :4], [0, 255, 0, 255])
    np.testing.assert_array_equal(found[1:], 128)
    assert (eight_bits(np.full((2, 2), np.nan)) == 0).all()
    assert eight_bits(np.zeros((0, 3), np.float32)).shape == (0, 3)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("shape", ["grey", "colours", "transparent"])
def test_deep_files(tmp_path, suffix, bits, shape):
    picture = RAMP if shape == "grey" else COLOURS
    deep = np.round(picture / 255.0 * (2**bits - 1)).astype(np.uint16)
    if shape == "transparent":
        opaque = np.full((*RAMP.shape, 1), 65535, np.uint16)
        opaque[0, 0] = 0
        deep = np.concatenate([deep, opaque], -1)
    order = {"grey": None, "colours": [2, 1, 0], "transparent": [2, 1, 0, 3]}[shape]
    path = tmp_path / f"deep{suffix}"
    assert cv2.imwrite(str(path), deep if order is None else deep[..., order])
    found = read_image(path, exif=False).astype(int)
    expected = np.repeat(RAMP[..., None], 3, -1) if shape == "grey" else COLOURS
    expected = expected.copy()
    if shape == "transparent":
        expected[0, 0] = 255
    assert np.abs(found - expected).max() <= 1


@pytest.mark.parametrize("white", [1.0, 255.0])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("picture", [RAMP, COLOURS])
def test_float_tiffs(tmp_path, white, kind, picture):
    values = (picture / 255.0 * white).astype(kind)
    path = tmp_path / "float.tiff"
    assert cv2.imwrite(str(path), values if picture is RAMP else values[..., ::-1])
    found = read_image(path, exif=True)
    expected = np.repeat(RAMP[..., None], 3, -1) if picture is RAMP else COLOURS
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_a_broken_deep_file_is_named(tmp_path):
    deep = (COLOURS.astype(np.uint16) * 257)[..., ::-1]
    path = tmp_path / "deep.png"
    cv2.imwrite(str(path), deep)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ValueError, match="deep.png: broken image"):
        read_image(path, exif=False)
