import io
import os
import pickle

import numpy as np
import pytest

from qepose_tf.weights.state_dict import read_checkpoint
from qepose_tf.weights.state_pickle import read_pickle
from tests.weights.torch_format import (
    Pickled,
    Raw,
    Strided,
    glob,
    write_legacy,
    write_zip,
)

WRITERS = pytest.mark.parametrize("write", [write_zip, write_legacy])


class Runs:
    """Unpickled by `pickle`, it makes a file."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_that_runs_a_command_is_refused_and_runs_nothing(tmp_path, protocol):
    marker = tmp_path / "ran"
    path = tmp_path / "hostile.pth"
    path.write_bytes(pickle.dumps(Runs(marker), protocol))
    with pytest.raises(ValueError, match="asks for '(posix|nt).system', .* refused"):
        read_checkpoint(path)
    assert not marker.exists()
    pickle.loads(path.read_bytes())
    assert marker.exists(), "the file is not hostile, the test says nothing"


@WRITERS
def test_a_command_inside_a_checkpoint_is_refused(tmp_path, write):
    marker = tmp_path / "ran"
    hostile = Raw(pickle.dumps(Runs(marker), 2)[2:-1])
    path = write(tmp_path / "h.pth", {"conv1.weight": np.ones(3, "<f4"), "x": hostile})
    with pytest.raises(ValueError) as caught:
        read_checkpoint(path)
    assert "posix.system" in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert not marker.exists()


@pytest.mark.parametrize(
    "module, name",
    [
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("__builtin__", "exec"),
        ("torch", "load"),
        ("torch.hub", "load"),
        ("collections", "Counter"),
        ("numpy.core.multiarray", "scalar"),
        ("torch._utils", "_rebuild_tensor_v2.__globals__"),
    ],
)
def test_any_other_name_is_refused_even_where_it_is_not_called(module, name):
    for data in (
        glob(module, name),
        pickle.dumps(module)[:-1] + pickle.dumps(name)[2:-1] + pickle.STACK_GLOBAL,
    ):
        with pytest.raises(ValueError, match=f"asks for '{module}.{name}'"):
            read_pickle(io.BytesIO(data + pickle.STOP))


@pytest.mark.parametrize(
    "operations, token",
    [
        (pickle.MARK + b"ios\nsystem\n", "INST"),
        (glob("collections", "OrderedDict") + pickle.EMPTY_TUPLE + b"\x81", "NEWOBJ"),
        (pickle.MARK + glob("collections", "OrderedDict") + b"o", "OBJ"),
        (b"\x82\x01", "EXT1"),
        (b"Pname\n", "PERSID"),
        (pickle.EMPTY_LIST + b"2", "DUP"),
    ],
)
def test_operations_that_no_state_dict_needs_are_refused(operations, token):
    with pytest.raises(ValueError, match=f"its pickle uses {token}"):
        read_pickle(io.BytesIO(operations + pickle.STOP))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        pickle.STOP,
        pickle.REDUCE + pickle.STOP,
        pickle.NONE + pickle.NONE + pickle.REDUCE + pickle.STOP,
        pickle.BINGET + b"\x07" + pickle.STOP,
        pickle.EMPTY_TUPLE + pickle.BINPERSID + pickle.STOP,
        pickle.EMPTY_DICT + pickle.MARK + pickle.NONE + pickle.SETITEMS + pickle.STOP,
        pickle.EMPTY_DICT + pickle.EMPTY_TUPLE + pickle.NONE + pickle.SETITEM + b".",
        pickle.NONE + pickle.NONE + pickle.BUILD + pickle.STOP,
        glob("collections", "OrderedDict") + pickle.NONE + pickle.REDUCE + b".",
        glob("torch._utils", "_rebuild_tensor_v2") + pickle.EMPTY_TUPLE + b"R.",
        glob("torch", "Size") + pickle.EMPTY_TUPLE + pickle.REDUCE + pickle.STOP,
        pickle.BINUNICODE8 + b"\xff" * 8 + pickle.STOP,
        pickle.APPENDS + pickle.STOP,
    ],
)
def test_malformed_pickles_are_damaged(data):
    with pytest.raises(ValueError, match="its pickle is damaged"):
        read_pickle(io.BytesIO(data))


def test_memo_entries_far_away_cost_no_memory():
    far = pickle.NONE + pickle.LONG_BINPUT + b"\xff\xff\xff\x7f" + pickle.STOP
    assert read_pickle(io.BytesIO(far)) == (None, {})


def test_plain_values_of_every_protocol():
    values = {
        "text": "é",
        "numbers": [0, 255, 65535, -7, 2**31, -(2**40), 2.5, True, False, None],
        "nested": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [[]], {"a": {}}),
    }
    values["again"] = values["nested"]
    for protocol in (2, 3, 4, 5):
        file = io.BytesIO(pickle.dumps(values, protocol) + b"next")
        assert read_pickle(file) == (values, {})
        assert file.read() == b"next"


def test_sizes_parameters_and_attributes_of_dictionaries():
    tensor = Raw(Pickled(np.ones(2, "<f4")).data[2:-1])
    parameter = glob("torch._utils", "_rebuild_parameter")
    encode = Pickled({})._encode
    size = glob("torch", "Size") + encode((Raw(encode((3, 4))),)) + pickle.REDUCE
    wrapped = parameter + encode((tensor, True, {})) + pickle.REDUCE
    state = encode({"size": Raw(size), "weight": Raw(wrapped)})
    built = state + encode({"_metadata": {"": {"version": 1}}}) + pickle.BUILD
    content, storages = read_pickle(io.BytesIO(built + pickle.STOP))
    assert content["size"] == (3, 4)
    assert content["weight"].shape == (2,)
    assert [(s.key, s.count) for s in storages.values()] == [("0", 2)]
    assert list(content) == ["size", "weight"]


@WRITERS
@pytest.mark.parametrize(
    "tensor, what",
    [
        (Strided(np.ones(4, "<f4"), (2, 2), (2, 1), offset=1), "beyond its storage"),
        (Strided(np.ones(4, "<f4"), (2, 2), (3, 1)), "beyond its storage"),
        (Strided(np.ones(4, "<f4"), (2, 2), (2, -1)), "shape or strides"),
        (Strided(np.ones(4, "<f4"), (-2, 2), (2, 1)), "shape or strides"),
        (Strided(np.ones(4, "<f4"), (2, 2), (1,)), "strides"),
        (Strided(np.ones(4, "<f4"), (2, 2), (2, 1), offset=-1), "storage"),
        (Strided(np.ones(4, "<f4"), (2**40,), (0,)), "larger than its storage"),
        (Strided(np.ones(4, "<f4"), (2**30, 2**30), (0, 0)), "larger than its"),
        (Strided(np.ones(4, "<f4"), (4,), (2**47,)), "beyond its storage"),
        (Strided(np.ones(4, "<f4"), (8,), (1,), count=8), "shorter|cut short"),
        (Strided(np.ones(4, "<f4"), (4,), (1,), count=2**47), "shorter|cut short"),
        (Strided(np.ones(4, "<f4"), ("4",), (1,)), "shape or strides"),
        (Strided(np.ones(4, "<f4"), (True,), (1,)), "shape or strides"),
    ],
)
def test_tensors_outside_of_their_storage(tmp_path, write, tensor, what):
    path = write(tmp_path / "bounds.pth", {"x": tensor})
    with pytest.raises(ValueError, match=what):
        read_checkpoint(path)
