import pickle
import zipfile

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from qepose_tf.weights.state_dict import names_of, read_checkpoint
from tests.weights.torch_format import Raw, Strided, write_legacy, write_zip

WRITERS = pytest.mark.parametrize("write", [write_zip, write_legacy])
VALUES = np.asarray([[0.5, -2.0, 3.25], [0.0, 1.0, 256.0]])


def write_safetensors(path, tensors):
    save_file(tensors, str(path))
    return path


@pytest.mark.parametrize("write", [write_zip, write_legacy, write_safetensors])
@pytest.mark.parametrize("dtype", ["<f4", "<f2", "<f8", "<i8", ml_dtypes.bfloat16])
def test_numbers_and_types_of_every_format(tmp_path, write, dtype):
    values = VALUES.astype(dtype)
    path = write(tmp_path / "any.name", {"a": values, "b.c": values[0] * 2})
    tensors = read_checkpoint(path).tensors
    assert set(tensors) == {"a", "b.c"}
    assert tensors["a"].dtype == np.dtype(dtype)
    np.testing.assert_array_equal(tensors["a"], values)
    np.testing.assert_array_equal(tensors["b.c"], values[0] * 2)


@WRITERS
def test_empty_scalar_and_strided_tensors(tmp_path, write):
    numbers = np.arange(12, dtype="<f4")
    path = write(
        tmp_path / "x.pth",
        {
            "scalar": np.asarray(7, "<i8"),
            "empty": np.zeros((0, 3), "<f4"),
            "transposed": Strided(numbers, (3, 4), (1, 3)),
            "part": Strided(numbers, (2, 2), (4, 1), offset=5),
        },
    )
    tensors = read_checkpoint(path).tensors
    assert tensors["scalar"].shape == () and tensors["scalar"] == 7
    assert tensors["empty"].shape == (0, 3)
    np.testing.assert_array_equal(tensors["transposed"], numbers.reshape(4, 3).T)
    np.testing.assert_array_equal(tensors["part"], [[5, 6], [9, 10]])


@WRITERS
@pytest.mark.parametrize("wrapper", ["state_dict", "model", "best_state_dict"])
def test_training_checkpoints_are_unwrapped(tmp_path, write, wrapper):
    state = {"a": np.ones(2, "<f4")}
    content = {"epoch": 3, wrapper: state, "optimizer": {"state": {0: state}}}
    read = read_checkpoint(write(tmp_path / "x.pth.tar", content))
    assert list(read.tensors) == ["a"]
    assert read.others == ["epoch", "optimizer"]


@WRITERS
def test_a_name_of_the_model_is_not_its_weights(tmp_path, write):
    content = {"model": "pose_hrnet", "state_dict": {"a": np.ones(2, "<f4")}}
    assert read_checkpoint(write(tmp_path / "x.pth", content)).others == ["model"]


@WRITERS
@pytest.mark.parametrize("content", [{}, [], {"epoch": 1}, {"model": {"model": {}}}])
def test_files_without_tensors(tmp_path, write, content):
    path = write(tmp_path / "x.pth", content)
    with pytest.raises(ValueError, match="holds no tensors"):
        read_checkpoint(path)


def test_a_dictionary_inside_itself_ends(tmp_path):
    put, get = pickle.BINPUT + b"\x01", pickle.BINGET + b"\x01"
    itself = pickle.EMPTY_DICT + put + pickle.dumps("model", 2)[2:-1] + get + b"s"
    with pytest.raises(ValueError, match="holds no tensors"):
        read_checkpoint(write_zip(tmp_path / "x.pth", Raw(itself)))


def test_values_beside_the_tensors_are_named(tmp_path):
    path = write_zip(tmp_path / "x.pth", {"a": np.ones(2, "<f4"), "note": "text"})
    with pytest.raises(ValueError, match="tensors alone, but note is none"):
        read_checkpoint(path)


@pytest.mark.parametrize("write", [write_zip, write_legacy, write_safetensors])
def test_a_file_cut_anywhere_is_one_clear_line(tmp_path, write):
    tensors = {name: np.arange(20, dtype="<f4") for name in ("a", "b")}
    whole = write(tmp_path / "whole.pth", tensors).read_bytes()
    path = tmp_path / "cut.pth"
    for length in range(0, len(whole) - 1, 7):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError) as caught:
            read_checkpoint(path)
        message = str(caught.value)
        assert message.startswith(f"{path}: expected a PyTorch checkpoint")
        assert "\n" not in message


@pytest.mark.parametrize("write", [write_zip, write_legacy, write_safetensors])
def test_changed_bytes_never_raise_anything_else(tmp_path, write):
    tensors = {"a": np.arange(6, dtype="<f4"), "b": np.ones((2, 2), "<f2")}
    whole = np.frombuffer(write(tmp_path / "x.pth", tensors).read_bytes(), np.uint8)
    rng = np.random.default_rng(0)
    path = tmp_path / "changed.pth"
    refused = 0
    for _ in range(150):
        changed = whole.copy()
        places = rng.integers(0, len(changed), rng.integers(1, 4))
        changed[places] = rng.integers(0, 256, len(places))
        path.write_bytes(changed.tobytes())
        try:
            read_checkpoint(path)
        except ValueError as error:
            assert str(error).startswith(f"{path}: expected")
            refused += 1
    assert refused > 40


def test_changed_numbers_of_an_archive_are_noticed(tmp_path):
    path = write_zip(tmp_path / "x.pth", {"a": np.full(8, 1.5, "<f4")})
    data = path.read_bytes()
    path.write_bytes(data.replace(np.float32(1.5).tobytes(), b"\0\0\0\0", 1))
    with pytest.raises(ValueError, match="damaged or cut short: Bad CRC"):
        read_checkpoint(path)


def test_compressed_archives_are_refused_before_they_unpack(tmp_path):
    zeros = {"a": np.zeros(2**20, "<f4")}
    path = write_zip(tmp_path / "x.pth", zeros, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 2**14
    with pytest.raises(ValueError, match="compressed, which torch.save never does"):
        read_checkpoint(path)


def test_entries_that_overlap_are_refused(tmp_path):
    """An entry that claims more than the file has is not read."""
    path = write_zip(tmp_path / "x.pth", {"a": np.zeros(4096, "<f4")})
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        sizes = [entry.file_size for entry in archive.infolist()]
    assert max(sizes) == 4 * 4096
    place = data.rindex((4 * 4096).to_bytes(4, "little") * 2)
    data[place : place + 8] = (2**31 - 1).to_bytes(4, "little") * 2
    path.write_bytes(data)
    with pytest.raises(ValueError, match="overlap"):
        read_checkpoint(path)


def test_other_files_say_what_they_are(tmp_path):
    path = tmp_path / "hrnet.pth"
    for data, what in (
        (b"", "starts with b''"),
        (b"\n<!DOCTYPE html><html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "version https://"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "PNG"),
        (pickle.dumps({"a": 1}), "a pickle, but not one that torch.save wrote"),
    ):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=what):
            read_checkpoint(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(ValueError, match="zip archive, but not one that torch.save"):
        read_checkpoint(path)


def test_missing_files_and_folders(tmp_path):
    for path in (tmp_path / "none.pth", tmp_path):
        with pytest.raises(FileNotFoundError, match="found none"):
            read_checkpoint(path)


def test_big_endian_files_are_refused(tmp_path):
    path = write_zip(tmp_path / "x.pth", {"a": np.ones(2, "<f4")})
    turned = tmp_path / "turned.pth"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(turned, "w") as new:
        for name in old.namelist():
            new.writestr(name, "big" if "byteorder" in name else old.read(name))
    with pytest.raises(ValueError, match="big-endian"):
        read_checkpoint(turned)


def test_names_are_few():
    assert names_of(["a"]) == "a"
    assert names_of(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
