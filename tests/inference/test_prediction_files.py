import json

import numpy as np
import pytest
from PIL import Image

from qepose_tf.inference.people import ImagePoses
from qepose_tf.inference.prediction_files import write_predictions
from qepose_tf.skeleton import Skeleton

ONE = Skeleton("one", ("nose",), (), (), (0.026,))


def result_of(source, points=((10.25, 20.0),), scores=(0.9,)):
    count = len(points)
    return ImagePoses(
        source=source,
        image_hw=(60, 80),
        poses=np.array(points, np.float32).reshape(count, 1, 2),
        scores=np.array(scores, np.float32),
        keypoint_scores=np.full((count, 1), 0.5, np.float32),
        skeleton=ONE,
    )


def grey_picture(path):
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (80, 60), (128, 128, 128)).save(path)
    return path


def test_pictures_are_drawn_and_results_written(tmp_path):
    source = grey_picture(tmp_path / "photo.png")
    results = [result_of(source, ((10.25, 20.0), (60.0, 40.0)), (0.9, 0.1))]
    pictures = write_predictions(
        results, tmp_path / "new" / "out", ONE, tmp_path / "json" / "all.json"
    )
    assert pictures == [tmp_path / "new" / "out" / "photo_poses.jpg"]
    with Image.open(pictures[0]) as picture:
        drawn = np.asarray(picture).astype(int)
    assert abs(drawn[20, 10] - 128).max() > 40  # the better person is drawn
    assert abs(drawn[40, 60] - 128).max() < 8  # the other scores too little for that
    entries = json.loads((tmp_path / "json" / "all.json").read_text())
    assert entries == [
        {
            "image_id": 1,
            "category_id": 1,
            "keypoints": [x, y, 0.5],
            "score": score,
            "file_name": str(source),
        }
        for x, y, score in ((10.25, 20.0, 0.9), (60.0, 40.0, 0.1))
    ]


def test_equal_names_do_not_overwrite_each_other(tmp_path):
    sources = [
        grey_picture(tmp_path / name)
        for name in ("a/x.png", "b/x.png", "a/X.jpg", "a/x_2.png")
    ]
    array = np.zeros((60, 80, 3), np.uint8)
    pictures = write_predictions(
        map(result_of, [*sources, array]), tmp_path / "out", ONE
    )
    assert [path.name for path in pictures] == [
        "x_poses.jpg",
        "x_2_poses.jpg",
        "X_3_poses.jpg",
        "x_2_2_poses.jpg",
        "picture_5_poses.jpg",
    ]
    assert sorted(pictures) == sorted((tmp_path / "out").iterdir())


def test_a_picture_without_people_is_written_too(tmp_path):
    source = grey_picture(tmp_path / "empty.png")
    nobody = result_of(source, points=(), scores=())
    (picture,) = write_predictions([nobody], tmp_path, ONE, tmp_path / "all.json")
    assert picture.exists()
    assert json.loads((tmp_path / "all.json").read_text()) == [
        {"image_id": 1, "people": 0, "file_name": str(source)}
    ]


@pytest.mark.parametrize("where", ["out", "json", "folder as json"])
def test_a_place_that_cannot_be_written_is_refused_before_any_work(tmp_path, where):
    (tmp_path / "file").write_text("no folder")

    def results():
        raise AssertionError("predicted for nothing")
        yield

    out = tmp_path / "file" if where == "out" else tmp_path
    json_path = {
        "out": None,
        "json": tmp_path / "file" / "all.json",
        "folder as json": tmp_path,
    }[where]
    with pytest.raises(OSError) as caught:
        write_predictions(results(), out, ONE, json_path)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_an_error_on_the_way_leaves_whole_pictures_and_no_json(tmp_path):
    source = grey_picture(tmp_path / "photo.png")

    def results():
        yield result_of(source)
        raise ValueError("the second one")

    with pytest.raises(ValueError, match="the second one"):
        write_predictions(results(), tmp_path / "out", ONE, tmp_path / "out" / "a.json")
    (left,) = (tmp_path / "out").iterdir()
    with Image.open(left) as picture:
        picture.load()
