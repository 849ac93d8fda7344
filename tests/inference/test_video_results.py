"""The frames of a video as results in Python."""

import numpy as np
import pytest

from qepose_tf.images.video import VideoFrame
from qepose_tf.inference.people import ImagePoses
from tests.images.drawn_videos import write_video
from tests.images.test_video import UNEVEN


def test_frames_as_results(tmp_path, predictor):
    source = write_video(tmp_path / "clip.mp4", UNEVEN[:8])
    frames = list(predictor(source, every=3))
    assert [frame.frame for frame in frames] == [0, 3, 6]
    assert [frame.seconds for frame in frames] == [float(t) for t in UNEVEN[:8:3]]
    frame = frames[1]
    assert isinstance(frame, ImagePoses) and isinstance(frame.source, VideoFrame)
    assert "clip.mp4, frame 3" in repr(frame)
    assert frame.draw().size == (96, 64)
    assert frame.to_coco()[0]["score"] == round(float(frame.scores[0]), 4)
    np.testing.assert_array_equal(frame[0].poses, frame.poses[:1])
    np.testing.assert_array_equal(frame[-1].scores, frame.scores[-1:])
    keep = frame.scores > np.median(frame.scores)
    np.testing.assert_array_equal(frame[keep].poses, frame.poses[keep])
    assert [len(person) for person in frame] == [1] * len(frame)
    with pytest.raises(IndexError):
        frame[len(frame)]
    assert frame[:0].boxes.shape == (0, 4)


def test_no_frames_pixels_are_held_by_a_list_of_results(tmp_path, predictor):
    source = write_video(tmp_path / "clip.mp4", 30)
    frames = list(predictor(source))
    assert all(frame.source._pixels is None for frame in frames)


def test_faults_of_videos_in_python(tmp_path, predictor):
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    with pytest.raises(ValueError, match="^.*text.mp4: expected a video, but the file"):
        list(predictor(text))
    with pytest.raises(ValueError, match="every: expected 1 or more"):
        list(predictor(text, every=0))
    good = write_video(tmp_path / "good.mp4", 3)
    assert len(list(predictor([text, good]))) == 3
    assert len(predictor.failures) == 1
