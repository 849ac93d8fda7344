"""`qepose predict` with videos, from words to files and one line of error."""

import json
import logging
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qepose_tf.cli import main
from qepose_tf.skeleton import COCO
from tests.cli.test_cli import fails
from tests.images.drawn_videos import counted, write_video
from tests.images.test_video import copy_sound

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model_file(tmp_path_factory) -> Path:
    from qepose_tf.models import PoseEstimator

    path = tmp_path_factory.mktemp("model") / "model.keras"
    PoseEstimator(COCO, backbone="tiny", input_size=64).save(path)
    return path


def run(*words: object) -> int:
    return main([str(word) for word in words])


def test_a_video_and_its_report(capsys, tmp_path, model_file):
    source = write_video(tmp_path / "clip.mov", 20, sound="aac")
    out = tmp_path / "out"
    options = ("--csv", "--every", 4, "--start", 0.1, "--stop", 0.5)
    assert run("predict", model_file, source, "--out", out, *options) == 0
    output = capsys.readouterr()
    assert f"videos      ['{out / 'clip.mp4'}']" in output.out
    assert {path.name for path in out.iterdir()} == {
        *("clip.mp4", "clip.jsonl", "clip.csv", "results.json")
    }
    lines = (out / "clip.jsonl").read_text().splitlines()
    assert [json.loads(line)["frame"] for line in lines] == [3, 7, 11]
    assert len(counted(out / "clip.mp4").times) == 3


def test_no_videos_and_no_display_are_said_before_any_work(
    capsys, tmp_path, model_file, monkeypatch
):
    Image.new("RGB", (64, 48)).save(tmp_path / "a.png")
    out = tmp_path / "out"
    for option in (["--csv"], ["--every", 2], ["--start", 1], ["--show"]):
        line = fails(
            capsys, "predict", model_file, tmp_path / "a.png", "--out", out, *option
        )
        assert f"{option[0]}: expected a video among the sources, got none" in line
    source = write_video(tmp_path / "clip.mp4", 3)
    words = ("predict", model_file, source, "--out", out)
    line = fails(capsys, *words, "--start", 2, "--stop", 1)
    assert "stop: expected more seconds than start (2), got 1.0" in line
    monkeypatch.delenv("DISPLAY", raising=False)
    assert "--show: " in fails(capsys, *words, "--show")
    assert not out.exists() or not list(out.iterdir())


def test_what_is_no_video_ends_with_one_line(capsys, tmp_path, model_file):
    text = tmp_path / "text.mp4"
    text.write_text("no video\n")
    sound = tmp_path / "sound.mp4"
    copy_sound(write_video(tmp_path / "both.mp4", 5, sound="aac"), sound)
    expected = {
        text: "expected a video, but the file is of another kind",
        sound: "expected a video, but the file holds sound only",
        "http://127.0.0.1:9/a.mp4": "cannot read the stream: Connection refused",
        "rtsp://127.0.0.1:9/a": "cannot read the stream: Connection refused",
        "camera:77": "cannot read the camera: No such file or directory",
    }
    for source, message in expected.items():
        line = fails(capsys, "predict", model_file, source, "--out", tmp_path / "out")
        assert f"{source}: {message}" in line
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["results.json"]


def test_a_cut_off_video_is_one_line_and_its_beginning_whole(
    capsys, tmp_path, model_file
):
    source = write_video(tmp_path / "cut.mp4", 60, movflags="faststart")
    source.write_bytes(source.read_bytes()[:-800])
    write_video(tmp_path / "good.mp4", 5)
    out = tmp_path / "out"
    assert run("predict", model_file, tmp_path, "--out", out) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"qepose: {source}: ends after ")
    lines = (out / "cut.jsonl").read_text().splitlines()
    shown = [line for line in map(json.loads, lines) if "error" not in line]
    assert len(counted(out / "cut.mp4").times) == len(shown) > 30
    assert len(counted(out / "good.mp4").times) == 5


def test_without_pyav_videos_of_a_folder_are_left_out_and_named_ones_say_why(
    capsys, caplog, tmp_path, model_file, monkeypatch
):
    write_video(tmp_path / "clip.mp4", 3)
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(tmp_path / "a.png")
    monkeypatch.setitem(sys.modules, "av", None)
    out = tmp_path / "out"
    line = fails(capsys, "predict", model_file, tmp_path / "clip.mp4", "--out", out)
    assert "clip.mp4: videos need PyAV: pip install 'qepose-tf[video]'" in line
    assert not out.exists() or not list(out.iterdir())
    with caplog.at_level(logging.INFO):
        assert run("predict", model_file, tmp_path, "--out", out) == 0
    assert {path.name for path in out.iterdir()} == {"a_poses.jpg", "results.json"}
    assert "1 videos are left out: pip install" in caplog.text
