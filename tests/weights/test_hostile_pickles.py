"""Pickles that misuse what an unpickler does without importing anything."""

import copyreg
import io
import os
import pickle
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from qepose_tf.weights.state_dict import read_checkpoint
from qepose_tf.weights.state_pickle import LARGEST_PICKLE, STAND_INS, read_pickle
from tests.weights.torch_format import (
    Pickled,
    Raw,
    glob,
    operations,
    write_legacy,
    write_zip,
)

WRITERS = pytest.mark.parametrize("write", [write_zip, write_legacy])
TENSOR = Raw(operations(Pickled(np.ones(2, "<f4")).data))
DEEP = 200_000


def text(value: str) -> bytes:
    return operations(pickle.dumps(value, 2))


@pytest.mark.parametrize("name", list(STAND_INS))
def test_attributes_of_a_name_are_not_set(name):
    """BUILD writes into `__dict__`, or calls `__setstate__`, of any object."""
    module, _, attribute = name.rpartition(".")
    target = glob(module, attribute)
    before = dict(getattr(STAND_INS[name], "__dict__", {}))
    for state in (
        {"__wrapped__": 1},
        (None, {"__defaults__": (1, 2, 3)}),
        (3, ">", None, None, None, -1, -1, 0),
    ):
        data = target + operations(pickle.dumps(state, 2)) + pickle.BUILD
        with pytest.raises(ValueError, match="attributes of no dictionary"):
            read_pickle(io.BytesIO(data + pickle.STOP))
    assert dict(getattr(STAND_INS[name], "__dict__", {})) == before
    assert getattr(STAND_INS[name], "__defaults__", None) is None


@WRITERS
@pytest.mark.parametrize("state", [{"offset": 2**20}, (None, {"shape": (2**20,)})])
def test_a_tensor_cannot_grow_after_its_check(tmp_path, write, state):
    grown = Raw(TENSOR + operations(pickle.dumps(state, 2)) + pickle.BUILD)
    path = write(tmp_path / "x.pth", {"a": np.ones(2, "<f4"), "grown": grown})
    with pytest.raises(ValueError, match="attributes of no dictionary"):
        read_checkpoint(path)


@WRITERS
def test_attributes_of_a_state_dict_do_not_replace_its_methods(tmp_path, write):
    """An `OrderedDict` would take them: its `items` could be a number."""
    attributes = operations(pickle.dumps({"items": 1, "get": 2, "values": 3}, 2))
    state = operations(Pickled({"a": TENSOR}).data) + attributes + pickle.BUILD
    beside = {"state_dict": {"b": np.ones(2, "<f4")}, "model": Raw(state)}
    assert list(read_checkpoint(write(tmp_path / "x.pth", beside)).tensors) == ["b"]
    content, _ = read_pickle(io.BytesIO(state + pickle.STOP))
    assert [key for key, _ in content.items()] == ["a"]


@pytest.mark.parametrize(
    "function",
    [
        pickle.NONE,
        text("eval"),
        pickle.EMPTY_DICT,
        glob("torch", "FloatStorage"),
        TENSOR,
    ],
)
def test_what_is_no_function_is_not_called(function):
    data = function + pickle.EMPTY_TUPLE + pickle.REDUCE + pickle.STOP
    with pytest.raises(ValueError, match="its pickle is damaged: .* not callable"):
        read_pickle(io.BytesIO(data))


@pytest.mark.parametrize("target", [TENSOR, glob("torch", "Size"), pickle.EMPTY_TUPLE])
def test_only_lists_and_dictionaries_are_filled(target):
    for fill in (
        pickle.NONE + pickle.APPEND,
        pickle.MARK + pickle.NONE + pickle.APPENDS,
        text("shape") + pickle.NONE + pickle.SETITEM,
        pickle.MARK + text("shape") + pickle.NONE + pickle.SETITEMS,
    ):
        with pytest.raises(ValueError, match="its pickle is damaged"):
            read_pickle(io.BytesIO(target + fill + pickle.STOP))


@pytest.mark.parametrize("load", [pickle.EXT1 + b"\xf0", pickle.EXT2 + b"\xf0\0"])
def test_registered_extensions_are_refused_even_where_pickle_knows_them(load):
    """An extension that was used once is cached, and `find_class` not asked again."""
    copyreg.add_extension("os", "system", 0xF0)
    try:
        assert pickle.loads(load + pickle.STOP) is os.system
        with pytest.raises(ValueError, match="its pickle uses EXT"):
            read_pickle(io.BytesIO(load + pickle.STOP))
    finally:
        copyreg.remove_extension("os", "system", 0xF0)


@pytest.mark.parametrize(
    "operation", ["LONG4", "BYTEARRAY8", "BINBYTES8", "NEXT_BUFFER", "FROZENSET"]
)
def test_operations_that_reserve_or_hash_before_they_read_are_refused(operation):
    code = getattr(pickle, operation)
    with pytest.raises(ValueError, match=f"its pickle uses {operation}"):
        read_pickle(io.BytesIO(code + b"\xff\xff\xff\x7f" * 2 + pickle.STOP))


@pytest.mark.parametrize(
    "declared",
    [
        pickle.BINUNICODE + b"\xff\xff\xff\x7f",
        pickle.BINUNICODE8 + (2**62).to_bytes(8, "little"),
        pickle.BINSTRING + b"\xff\xff\xff\x7f",
        pickle.FRAME + (2**62).to_bytes(8, "little"),
        pickle.FRAME + b"\xff" * 8,
        pickle.NONE + pickle.LONG_BINPUT + b"\xff\xff\xff\xff" + pickle.POP,
    ],
)
def test_huge_declared_sizes_cost_no_memory(declared):
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="its pickle (is damaged|uses POP)"):
            read_pickle(io.BytesIO(declared + b"abc"))
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_a_list_that_is_copied_again_and_again_is_refused():
    long = pickle.EMPTY_LIST + pickle.MARK + pickle.NONE * 9 + pickle.APPENDS
    size = glob("torch", "Size") + long + pickle.TUPLE1 + pickle.REDUCE
    with pytest.raises(ValueError, match="a size of too many dimensions"):
        read_pickle(io.BytesIO(size + pickle.STOP))


def doubled(times: int) -> bytes:
    """A tuple of twice a tuple of twice a tuple ..."""
    twice = [
        pickle.MEMOIZE + pickle.BINGET + bytes([i]) + b"\x86" for i in range(times)
    ]
    return pickle.EMPTY_TUPLE + b"".join(twice)


def test_references_are_not_copies():
    content, _ = read_pickle(io.BytesIO(doubled(100) + pickle.STOP))
    assert content[0] is content[1]


@pytest.mark.slow
@pytest.mark.parametrize("key", [doubled(100), pickle.EMPTY_TUPLE + b"\x85" * DEEP])
def test_keys_that_take_forever_to_hash_are_refused(key):
    for fill in (
        key + pickle.NONE + pickle.SETITEM,
        pickle.MARK + key + pickle.NONE + pickle.SETITEMS,
    ):
        with pytest.raises(ValueError, match="a key that is no text or number"):
            read_pickle(io.BytesIO(pickle.EMPTY_DICT + fill + pickle.STOP))


@pytest.mark.slow
@WRITERS
def test_deep_nesting_beside_the_weights_is_harmless(tmp_path, write):
    """Read in a process of its own: an overflow of the C stack ends the process."""
    nested = [
        Raw(pickle.EMPTY_TUPLE + pickle.TUPLE1 * DEEP),
        Raw(pickle.EMPTY_LIST * DEEP + pickle.APPEND * (DEEP - 1)),
        Raw((pickle.EMPTY_DICT + b"K\0") * DEEP + b"N" + pickle.SETITEM * DEEP),
    ]
    state = {"a": np.ones(2, "<f4")}
    path = write(tmp_path / "x.pth", {"state_dict": state, "optimizer": nested})
    code = (
        "import sys; from qepose_tf.weights.state_dict import read_checkpoint;"
        "print(list(read_checkpoint(sys.argv[1]).tensors))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "['a']\n"), done.stderr


@WRITERS
def test_a_pickle_larger_than_any_checkpoint_is_not_read_on(tmp_path, write):
    path = write(tmp_path / "x.pth", {"a": "x" * LARGEST_PICKLE})
    with pytest.raises(ValueError, match="cut short, or larger than 16 MiB") as caught:
        read_checkpoint(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "reference",
    [
        ("storage", Raw(pickle.NONE), "0", "cpu", 2),
        ("module", Raw(glob("torch", "FloatStorage")), "0", "cpu", 2),
        ("storage", Raw(glob("torch", "FloatStorage")), 0, "cpu", 2),
        ("storage", Raw(glob("torch", "FloatStorage")), "0", "cpu", -2),
        ("storage", Raw(glob("torch", "FloatStorage")), "0", "cpu", 2, ("v", 0, 1)),
        ("storage", Raw(glob("torch", "Size")), "0", "cpu", 2),
        (Raw(glob("torch", "FloatStorage")),) * 5,
        "storage",
    ],
)
def test_references_to_anything_but_a_storage(reference):
    data = Pickled(reference).data[:-1] + pickle.BINPERSID + pickle.STOP
    with pytest.raises(ValueError, match="its pickle is damaged: a reference"):
        read_pickle(io.BytesIO(data))
