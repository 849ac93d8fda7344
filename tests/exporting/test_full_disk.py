"""Exports to a real disk that is full: a small tmpfs, which only root can mount."""

import pytest

from tests.small_disk import mounted_disk

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_process")]


@pytest.fixture
def small_disk(tmp_path):
    with mounted_disk(tmp_path, "1200k") as folder:
        yield folder


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
