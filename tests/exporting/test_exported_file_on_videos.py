"""A TFLite file looks at videos without TensorFlow, and Ctrl-C ends it well."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.exporting.test_exported_files_as_models import ALONE
from tests.images.drawn_videos import counted, write_video

# A shell's background job ignores the signal, and so would its children.
RESTORED = "import signal; signal.signal(2, signal.default_int_handler)\n"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model_file(exporter, tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "pose.tflite"
    exporter.write("tflite", path)
    return path


def command(model_file, source, out):
    words = ["predict", model_file, source, "--out", out, "--csv"]
    return [sys.executable, "-c", RESTORED + ALONE, *map(str, words)]


def test_a_video_needs_no_tensorflow(model_file, tmp_path):
    source = write_video(tmp_path / "clip.mp4", 20, sound="aac")
    out = tmp_path / "out"
    ended = subprocess.run(
        command(model_file, source, out), capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    assert counted(out / "clip.mp4").times == counted(source).times
    lines = (out / "clip.jsonl").read_text().splitlines()
    assert len([json.loads(line) for line in lines]) == 20


def test_ctrl_c_finishes_the_files_and_is_told(model_file, tmp_path):
    source = write_video(tmp_path / "clip.mp4", 2000, sound="aac")
    out = tmp_path / "out"
    process = subprocess.Popen(
        command(model_file, source, out),
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
    )
    written = out / f".{process.pid}"
    for _ in range(600):  # until there are frames
        files = list(out.glob(f"{written.name}-*-clip.mp4")) if out.is_dir() else []
        if files and files[0].stat().st_size > 10_000:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1, errors
    *told, last = errors.splitlines()
    assert last == "qepose: interrupted"
    lines = [json.loads(line) for line in (out / "clip.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in lines] == list(range(len(lines)))
    after = counted(out / "clip.mp4")
    assert 0 < len(after.times) == len(lines) < 2000
    assert abs(after.sound_to - after.times[-1]) < 0.1
    assert f"{out}/clip.mp4 holds the {len(lines)} frames" in " ".join(told)
    assert sorted(path.name for path in out.iterdir()) == [
        *("clip.csv", "clip.jsonl", "clip.mp4", "results.json")
    ]
