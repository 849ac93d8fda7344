"""Exports to a real disk that is full: a small tmpfs, which only root can mount."""

import os
import subprocess

import pytest


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.name != "posix" or os.geteuid():
        pytest.skip("only root mounts a small disk")
    words = ["mount", "-t", "tmpfs", "-o", "size=1200k", "tmpfs", str(folder)]
    mounted = subprocess.run(words, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a small disk: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize(
    ("format", "needs"),
    [
        ("saved_model", "tensorflow"),
        ("tflite", "tensorflow"),
        ("onnx", "tf2onnx"),
        ("openvino", "openvino"),
    ],
)
def test_a_full_disk_is_named_and_nothing_stays(exporter, small_disk, format, needs):
    pytest.importorskip(needs)
    path = small_disk / "new" / "7"
    with pytest.raises(OSError, match=r"/new/7: cannot be written, .*no space left"):
        exporter.write(format, path)
    assert list(small_disk.iterdir()) == []
