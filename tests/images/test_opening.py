import io
import struct
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from qepose_tf.images import opening
from qepose_tf.images.decoding import read_image
from qepose_tf.images.header import read_header

COARSE = np.random.default_rng(0).integers(0, 255, (6, 8, 3), np.uint8)
PICTURE = COARSE.repeat(16, 0).repeat(16, 1)


def heic_bytes(**options):
    pillow_heif = pytest.importorskip("pillow_heif")
    content = io.BytesIO()
    heif = pillow_heif.from_pillow(Image.fromarray(PICTURE))
    heif.save(content, quality=95, **options)
    return content.getvalue()


@pytest.mark.parametrize("suffix", ["jfif", "mpo", "jpg", "webp", "avif", "tga", "jp2"])
def test_suffixes_do_not_matter_and_all_formats_are_read(tmp_path, suffix):
    path = tmp_path / f"photo.{suffix}"
    kind = {"jfif": "JPEG", "mpo": "MPO"}.get(suffix)
    second = {"save_all": True, "append_images": [Image.new("RGB", (9, 9))]}
    Image.fromarray(PICTURE).save(path, kind, **(second if suffix == "mpo" else {}))
    found = read_image(path, exif=True).astype(int)
    assert found.shape == PICTURE.shape
    assert np.abs(found - PICTURE).mean() < 12


def test_heic(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "phone.heic"
    path.write_bytes(heic_bytes(exif=exif.tobytes()))
    upright = np.rot90(PICTURE, -1)
    # Its decoder turns the picture; the orientation is not applied a second time.
    for wanted in (False, True):
        found = read_image(path, exif=wanted).astype(int)
        assert found.shape == upright.shape
        assert np.abs(found - upright).mean() < 12
    assert read_header(path) == (*upright.shape[:2], 1)


def test_without_the_package_one_line_says_how_to_read_heic(monkeypatch):
    content = heic_bytes()
    opening._heif_opener.cache_clear()
    for table in (Image.OPEN, Image.MIME):
        monkeypatch.delitem(table, "HEIF", raising=False)
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name != "HEIF"])
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ValueError, match=r"pip install 'qepose-tf\[heic\]'") as caught:
        read_image(content, exif=True)
    assert "\n" not in str(caught.value)


def test_a_broken_heic_is_named(tmp_path):
    path = tmp_path / "phone.heic"
    path.write_bytes(heic_bytes()[:200])
    with pytest.raises(ValueError, match="phone.heic: "):
        read_image(path, exif=True)


def test_pictures_above_pillow_s_own_limit_are_read():
    height, width = 3, 60_000_000
    assert height * width > 2 * 89_478_485  # where Pillow refuses by itself
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(height * (1 + width // 8)))
    content = b"\x89PNG\r\n\x1a\n"
    for chunk in (head, b"IDAT" + rows, b"IEND"):
        content += struct.pack(">I", len(chunk) - 4) + chunk
        content += struct.pack(">I", zlib.crc32(chunk))
    with opening.opened(content, "strip") as image:
        assert image.size == (width, height)
        image.load()
        assert image.getpixel((width - 1, height - 1)) == 0


def test_more_pixels_than_fit_into_memory_are_refused(monkeypatch):
    monkeypatch.setattr(opening, "MAX_PIXELS", 1_000_000)
    content = io.BytesIO()
    Image.new("L", (2000, 501)).save(content, "PNG")
    with pytest.raises(ValueError, match="at most 1 million pixels, got 2000x501; mak"):
        read_image(content.getvalue(), exif=False)


def test_every_cut_of_a_jpeg_is_refused():
    content = io.BytesIO()
    Image.fromarray(PICTURE).save(content, "JPEG", quality=95)
    whole = content.getvalue()
    for length in (*range(0, len(whole), 151), *range(len(whole) - 20, len(whole))):
        with pytest.raises(ValueError, match="image bytes: "):
            read_image(whole[:length], exif=False)


def test_a_jpeg_that_a_wrong_marker_cuts_is_refused():
    content, rng = io.BytesIO(), np.random.default_rng(0)
    noise = rng.integers(0, 255, PICTURE.shape, np.uint8)
    Image.fromarray(noise).save(content, "JPEG", quality=95)
    whole, refused = content.getvalue(), 0
    for place in range(len(whole) // 3, 2 * len(whole) // 3, 97):
        damaged = whole[:place] + b"\xff\x3e" + whole[place + 2 :]
        try:
            np.asarray(Image.open(io.BytesIO(damaged)))
        except OSError:
            refused += 1
            with pytest.raises(ValueError, match="image bytes: broken image"):
                read_image(damaged, exif=False)
    assert refused > 5


def test_jpeg_pixels_are_those_of_pillow():
    for options in (
        {"quality": 30},
        {"quality": 95, "subsampling": 0},
        {"progressive": True},
        {"subsampling": 1, "optimize": True},
    ):
        content = io.BytesIO()
        Image.fromarray(PICTURE[:75, :101]).save(content, "JPEG", **options)
        with Image.open(content) as picture:
            expected = np.asarray(picture)
        found = read_image(content.getvalue(), exif=False)
        np.testing.assert_array_equal(found, expected)
        assert found.flags.c_contiguous
