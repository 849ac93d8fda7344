"""What is written of a video, read again with PyAV, JSON and pandas."""

import csv
import json
import logging
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pandas
import pytest

from qepose_tf.images.drawing import PEOPLE
from qepose_tf.images.finding import find_sources
from qepose_tf.images.video import Video, VideoSpan
from qepose_tf.images.video_sources import is_drawn_video
from qepose_tf.inference.people import ImagePoses
from qepose_tf.inference.prediction_files import write_predictions
from qepose_tf.skeleton import COCO, Skeleton
from tests.images.drawn_videos import counted, even_times, turn, write_video
from tests.images.test_video import UNEVEN, spoiled
from tests.small_disk import mounted_disk


def run(predictor, sources, out, span=None, **options):
    files = find_sources(sources, out)
    videos = [Video(file, VideoSpan(**(span or {}))) for file in files]
    path = out / "results.json"
    drawn = write_predictions(predictor.outcomes(videos), out, COCO, path, **options)
    return drawn, json.loads(path.read_text())


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_video_becomes_an_mp4_with_its_times_and_sound_and_lines(tmp_path, predictor):
    source = write_video(tmp_path / "clip.mp4", UNEVEN, sound="aac")
    out = tmp_path / "out"
    drawn, (entry,) = run(predictor, source, out)
    assert names(out) == ["clip.jsonl", "clip.mp4", "results.json"]
    assert drawn == [out / "clip.mp4"]
    rows = lines(out / "clip.jsonl")
    assert entry == {
        "image_id": 1,
        "file_name": str(source),
        "frames": len(UNEVEN),
        "people": sum(len(row["people"]) for row in rows),
        "video": str(out / "clip.mp4"),
        "poses": str(out / "clip.jsonl"),
    }
    before, after = counted(source), counted(out / "clip.mp4")
    assert after.times == before.times == [float(time) for time in UNEVEN]
    assert (after.codec, after.sound, after.size) == ("h264", "aac", (96, 64))
    np.testing.assert_allclose(after.sound_to, before.sound_to, atol=1e-3)
    assert after.sound_from == before.sound_from == 0
    assert abs(after.frequency - 440) < 2
    assert [row["frame"] for row in rows] == list(range(len(UNEVEN)))
    assert [row["seconds"] for row in rows] == before.times


def test_a_line_has_the_people_of_its_frame(tmp_path, predictor):
    source = write_video(tmp_path / "clip.mp4", 6)
    found = list(predictor(source))
    run(predictor, source, tmp_path / "out")
    for row, frame in zip(lines(tmp_path / "out/clip.jsonl"), found, strict=True):
        assert (row["frame"], row["seconds"]) == (frame.frame, round(frame.seconds, 6))
        assert len(row["people"]) == len(frame) > 0
        for index, person in enumerate(row["people"]):
            assert person["id"] is None
            keypoints = np.array(person["keypoints"])
            np.testing.assert_allclose(keypoints[:, :2], frame.poses[index], atol=5e-3)
            np.testing.assert_allclose(
                keypoints[:, 2], frame.keypoint_scores[index], atol=5e-5
            )
            np.testing.assert_allclose(person["score"], frame.scores[index], atol=5e-5)
            ends = [*keypoints[:, :2].min(axis=0), *keypoints[:, :2].max(axis=0)]
            np.testing.assert_allclose(person["box"], ends, atol=1e-6)


def test_people_are_drawn_on_the_pixels_of_the_video(tmp_path):
    """A person without sides, whose one limb goes down with the frames."""
    source = write_video(tmp_path / "clip.mp4", 4, size=(320, 240), crf="10")
    ends = ("top", "end")
    skeleton = Skeleton("bar", ends, (), (ends,), (0.05, 0.05))

    def found():
        for frame in Video(source).frames():
            y = 60 + 40 * frame.number
            pose = np.array([[[150.0, y], [300.0, y]]], np.float32)
            score = np.array([0.9], np.float32)
            yield ImagePoses(frame, (240, 320), pose, score, pose[..., 0], skeleton)

    write_predictions(found(), tmp_path / "out", skeleton)
    drawn = list(Video(tmp_path / "out/clip.mp4").frames())
    for frame, plain in zip(drawn, Video(source).frames(), strict=True):
        y = 60 + 40 * frame.number
        np.testing.assert_allclose(frame.pixels()[y, 225], PEOPLE[0], atol=40)
        away = np.abs(frame.pixels().astype(int) - plain.pixels())
        away[y - 8 : y + 9] = 0
        assert away.mean() < 2


def test_a_turned_video_is_written_upright(tmp_path, predictor):
    source = turn(write_video(tmp_path / "clip.mov", 3), (0, 1, -1, 0))
    _, (entry,) = run(predictor, source, tmp_path / "out")
    assert counted(tmp_path / "out/clip.mp4").size == (64, 96)
    first = next(iter(Video(tmp_path / "out/clip.mp4").frames()))
    (found, *_) = predictor(source)
    assert found.image_hw == first.pixels().shape[:2] == (96, 64)


@pytest.mark.parametrize(
    ("name", "sound", "kept", "codec"),
    [
        ("a.mkv", "libopus", "opus", "libx264"),
        ("a.mov", "pcm_s16le", "aac", "libx264"),
        ("a.avi", "pcm_s16le", "aac", "mpeg4"),
        ("a.webm", "libopus", "opus", "libvpx"),
        ("a.mp4", "libmp3lame", "mp3float", "libx264"),
    ],
)
def test_sound_is_copied_or_becomes_aac(tmp_path, predictor, name, sound, kept, codec):
    source = write_video(tmp_path / name, 30, sound=sound, codec=codec)
    run(predictor, source, tmp_path / "out")
    before, after = counted(source), counted(tmp_path / "out/a.mp4")
    assert after.sound == kept
    assert len(after.times) == 30
    np.testing.assert_allclose(after.times, before.times, atol=1e-5)
    np.testing.assert_allclose(after.sound_to, before.sound_to, atol=0.03)
    assert abs(after.frequency - 440) < 3


def test_a_part_is_written_from_0_with_its_sound_and_the_numbers_of_the_whole(
    tmp_path, predictor
):
    source = write_video(tmp_path / "clip.mp4", 90, sound="aac")
    span = {"every": 2, "start": 1.0, "stop": 2.0}
    run(predictor, source, tmp_path / "out", span)
    rows = lines(tmp_path / "out/clip.jsonl")
    assert [row["frame"] for row in rows] == list(range(30, 60, 2))
    assert rows[0]["seconds"] == 1.0 and rows[-1]["seconds"] < 2.0
    after = counted(tmp_path / "out/clip.mp4")
    expected = [row["seconds"] - 1.0 for row in rows]
    np.testing.assert_allclose(after.times, expected, atol=1e-5)
    assert after.sound_from <= 0.03 and 0.9 < after.sound_to < 1.05
    assert abs(after.frequency - 440) < 3


def test_pixels_that_are_not_square_stay_so(tmp_path, predictor):
    source = turn(
        write_video(tmp_path / "clip.mp4", 2, aspect=Fraction(4, 3)), (0, 1, -1, 0)
    )
    run(predictor, source, tmp_path / "out")
    with av.open(str(tmp_path / "out/clip.mp4")) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(3, 4)


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, predictor):
    source = write_video(tmp_path / "clip.mp4", 120, size=(320, 240))
    with mounted_disk(tmp_path, "100k") as disk:
        with pytest.raises(OSError, match="clip.mp4: cannot be written, No space left"):
            run(predictor, source, disk / "out")
        assert names(disk / "out") == []


def test_odd_sides_get_one_more_row_and_column(tmp_path, predictor):
    source = write_video(tmp_path / "odd.avi", 3, size=(64, 48), codec="mpeg4")
    (frame, *_) = Video(source).frames()
    pixels = frame.pixels()[:47, :63]
    from qepose_tf.images.video_writing import VideoWriter

    with VideoWriter(tmp_path / "odd.mp4") as writer:
        for time in even_times(3):
            writer.add(pixels, time, Fraction(1, 30))
    (first, *_) = Video(tmp_path / "odd.mp4").frames()
    assert first.pixels().shape == (48, 64, 3)
    assert np.abs(first.pixels()[:47, :63].astype(int) - pixels).mean() < 4


def test_the_table_is_read_as_deeplabcuts(tmp_path, predictor):
    source = write_video(tmp_path / "clip.mp4", 5)
    _, (entry,) = run(predictor, source, tmp_path / "out", table=True)
    path = tmp_path / "out/clip.csv"
    assert entry["table"] == str(path)
    # As DeepLabCut reads its own.
    table = pandas.read_csv(path, header=[0, 1, 2, 3], index_col=0)
    assert table.columns.names == ["scorer", "individuals", "bodyparts", "coords"]
    rows = lines(tmp_path / "out/clip.jsonl")
    assert table.index.tolist() == [row["frame"] for row in rows]
    most = max(len(row["people"]) for row in rows)
    assert table.shape == (5, most * 17 * 3)
    for row in rows:
        for place, person in enumerate(row["people"], start=1):
            flat = table.loc[row["frame"]]["qepose"][f"person{place}"].to_numpy()
            np.testing.assert_allclose(flat, np.ravel(person["keypoints"]))


def followed(found):
    """Ids as a tracker gives them: the best of frame 0 is 7, of the others 9."""
    for frame in found:
        people = frame[:1]
        number = 7 if frame.frame == 0 else 9
        yield replace(people, ids=np.array([number]))


def test_followed_people_keep_their_numbers_in_lines_and_table(tmp_path, predictor):
    source = write_video(tmp_path / "clip.mp4", 3)
    outcomes = followed(predictor.outcomes(Video(source)))
    write_predictions(outcomes, tmp_path / "out", COCO, table=True)
    rows = lines(tmp_path / "out/clip.jsonl")
    assert [[p["id"] for p in row["people"]] for row in rows] == [[7], [9], [9]]
    with (tmp_path / "out/clip.csv").open() as file:
        _, individuals, *_, first, second, third = csv.reader(file)
    assert individuals[1] == "person7" and individuals[-1] == "person9"
    middle = 1 + 17 * 3
    assert not any(first[middle:]) and all(first[1:middle])
    assert not any(second[1:middle]) and all(third[middle:])


def test_ctrl_c_leaves_a_video_that_plays_and_whole_lines(tmp_path, predictor, caplog):
    source = write_video(tmp_path / "clip.mp4", 60, sound="aac")

    def interrupted():
        for found in predictor.outcomes(Video(source)):
            if found.frame == 20:
                raise KeyboardInterrupt
            yield found

    out = tmp_path / "out"
    with caplog.at_level(logging.INFO), pytest.raises(KeyboardInterrupt):
        write_predictions(interrupted(), out, COCO, out / "results.json", table=True)
    rows = lines(out / "clip.jsonl")
    assert [row["frame"] for row in rows] == list(range(20))
    after = counted(out / "clip.mp4")
    assert len(after.times) == 20
    assert after.sound == "aac" and abs(after.sound_to - 20 / 30) < 0.05
    (entry,) = json.loads((out / "results.json").read_text())
    assert entry["frames"] == 20
    assert names(out) == ["clip.csv", "clip.jsonl", "clip.mp4", "results.json"]
    assert "clip.mp4 holds the 20 frames that were done" in caplog.text


def test_another_error_leaves_nothing(tmp_path, predictor):
    source = write_video(tmp_path / "clip.mp4", 30)

    def failing():
        for found in predictor.outcomes(Video(source)):
            if found.frame == 10:
                raise RuntimeError("out of memory")
            yield found

    with pytest.raises(RuntimeError, match="out of memory"):
        write_predictions(failing(), tmp_path / "out", COCO)
    assert names(tmp_path / "out") == []


def test_a_cut_off_file_leaves_what_it_has_and_is_said(tmp_path, predictor, caplog):
    source = write_video(tmp_path / "clip.mp4", 60, movflags="faststart", sound="aac")
    content = source.read_bytes()
    source.write_bytes(content[: int(len(content) * 0.8)])
    _, (entry,) = run(predictor, source, tmp_path / "out")
    assert "clip.mp4: ends after" in entry["error"]
    count = entry["frames"]
    assert 10 < count < 60
    assert len(lines(tmp_path / "out/clip.jsonl")) >= count
    assert len(counted(tmp_path / "out/clip.mp4").times) == count
    ((failed, reason),) = predictor.failures
    assert isinstance(failed, Video) and reason == entry["error"]
    with caplog.at_level(logging.WARNING):
        assert len(list(predictor(source))) == count
    assert caplog.text.count("ends after") == 1


def test_broken_frames_have_lines_and_one_warning(tmp_path, predictor, caplog):
    source = write_video(tmp_path / "clip.mp4", 120, movflags="faststart")
    spoiled(source, 0.5, 0.6)
    with caplog.at_level(logging.WARNING):
        _, (entry,) = run(predictor, source, tmp_path / "out")
    rows = lines(tmp_path / "out/clip.jsonl")
    assert [row["frame"] for row in rows] == list(range(120))
    broken = [row for row in rows if "error" in row]
    assert entry["broken"] == len(broken) > 0
    assert entry["frames"] == 120 - len(broken)
    assert len(counted(tmp_path / "out/clip.mp4").times) == entry["frames"]
    assert caplog.text.count("is broken and cannot be decoded") == 1
    assert f"clip.mp4: {len(broken)} broken" in caplog.text


def test_files_of_others_and_other_videos_are_not_overwritten(tmp_path, predictor):
    source = write_video(tmp_path / "clip.mp4", 3)
    write_video(tmp_path / "clip.mkv", 4)
    own = source.read_bytes()
    drawn, entries = run(predictor, tmp_path, tmp_path)
    assert source.read_bytes() == own
    assert [path.name for path in drawn] == ["clip_2.mp4", "clip_3.mp4"]
    assert all(is_drawn_video(path) for path in drawn)
    assert [entry["frames"] for entry in entries] == [4, 3]
    # A second run finds the same sources, and writes over its own files.
    assert run(predictor, tmp_path, tmp_path)[0] == drawn


def test_pictures_and_videos_of_a_folder_in_one_run(tmp_path, predictor):
    from PIL import Image

    write_video(tmp_path / "b.mp4", 3)
    Image.new("RGB", (64, 48), "grey").save(tmp_path / "a.png")
    frames = [Image.new("RGB", (64, 48), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "c.gif", save_all=True, append_images=frames[1:])
    out = tmp_path / "out"
    files = find_sources(tmp_path)
    assert [path.name for path in files] == ["a.png", "b.mp4", "c.gif"]
    write_predictions(predictor.outcomes(files), out, COCO, out / "results.json")
    assert names(out) == [
        *("a_poses.jpg", "b.jsonl", "b.mp4", "c_frame1_poses.jpg"),
        *("c_frame2_poses.jpg", "results.json"),
    ]
    entries = json.loads((out / "results.json").read_text())
    by_id = {
        entry["image_id"]: entry["file_name"].rpartition("/")[2] for entry in entries
    }
    assert by_id == {1: "a.png", 2: "b.mp4", 3: "c.gif", 4: "c.gif"}
