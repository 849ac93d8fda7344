import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO as CocoFile

from qepose_tf.data.synthetic.body import HEAD_RADIUS, random_body
from qepose_tf.data.synthetic.body_parts import PART_NAMES, random_parts
from qepose_tf.data.synthetic.canvas import Canvas, hull_of_circles, to_large
from qepose_tf.data.synthetic.dataset import write_scenes
from qepose_tf.data.synthetic.scene import random_scene
from qepose_tf.skeleton import COCO, Skeleton


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "scenes"
    return write_scenes(folder, 40, 96, min_people=1, max_people=3, seed=5)


@pytest.fixture(scope="module")
def coco(scenes):
    return CocoFile(str(scenes[0]))


def keypoints_of(annotation):
    return np.array(annotation["keypoints"]).reshape(17, 3)


def test_the_files_are_a_coco_dataset(scenes, coco):
    assert len(coco.imgs) == 40 and len(list(scenes[1].iterdir())) == 40
    for image in coco.imgs.values():
        with Image.open(scenes[1] / image["file_name"]) as picture:
            assert picture.size == (96, 96) == (image["width"], image["height"])
            assert picture.mode == "RGB"
        assert 1 <= len(coco.imgToAnns[image["id"]]) <= 3
    (category,) = coco.cats.values()
    assert Skeleton.from_coco_category(category).limbs == COCO.limbs
    assert tuple(category["keypoints"]) == COCO.keypoints


def test_area_box_and_count_are_those_of_mask_and_keypoints(coco):
    for annotation in coco.anns.values():
        mask = coco.annToMask(annotation).astype(bool)
        y, x = np.nonzero(mask)
        assert annotation["area"] == mask.sum() > 0.005 * 96 * 96
        box = [x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1]
        assert annotation["bbox"] == box
        labelled = keypoints_of(annotation)[:, 2] > 0
        assert annotation["num_keypoints"] == labelled.sum()
        assert annotation["iscrowd"] == 0


def test_nobody_covers_the_same_pixel_twice(coco):
    for image_id in coco.imgs:
        people = [a["segmentation"] for a in coco.imgToAnns[image_id]]
        union = coco_mask.merge(people, intersect=False)
        assert coco_mask.area(union) == sum(coco_mask.area(p) for p in people)


def test_visible_keypoints_lie_on_the_person_and_absent_ones_are_zero(coco):
    seen = np.zeros(3, int)
    for annotation in coco.anns.values():
        mask = np.pad(coco.annToMask(annotation), 1)
        keypoints = keypoints_of(annotation)
        seen += np.bincount(keypoints[:, 2].astype(int), minlength=3)
        assert (keypoints[:, 2] == 2).sum() >= 4
        assert (keypoints[keypoints[:, 2] == 0] == 0).all()
        assert (keypoints[:, :2] >= 0).all() and (keypoints[:, :2] <= 95).all()
        for x, y, v in keypoints:
            column, row = round(x) + 1, round(y) + 1
            if v == 2:  # a silhouette's rim is rounded to whole pixels
                assert mask[row - 1 : row + 2, column - 1 : column + 2].any()
    assert seen[0] > 20 and seen[1] > 100 and seen[2] > 400  # all three kinds occur


@pytest.mark.parametrize("from_behind", [False, True])
def test_left_is_on_the_right_of_who_faces_us_and_on_the_left_from_behind(from_behind):
    rng = np.random.default_rng(0)
    for _ in range(50):
        body = random_body(rng, behind_odds=float(from_behind))
        assert body.from_behind == from_behind
        left, right = body.points["left_hip"], body.points["right_hip"]
        assert (left[0] < right[0]) == from_behind


def test_one_in_five_is_seen_from_behind():
    rng = np.random.default_rng(1)
    share = np.mean([random_body(rng).from_behind for _ in range(1000)])
    assert abs(share - 0.2) < 0.04  # three standard errors


@pytest.mark.parametrize("from_behind", [False, True])
def test_the_face_shows_only_from_the_front(from_behind):
    rng = np.random.default_rng(2)
    turned = 0
    for _ in range(60):
        body = random_body(rng, behind_odds=float(from_behind))
        towards_us = (body.points["nose"] - body.points["head"])[2] / HEAD_RADIUS
        if abs(towards_us) < 0.6:
            continue  # a profile
        turned += 1
        head = [
            part
            for part in random_parts(body, rng)
            if part.name in ("hair", "face", "nose", "left_eye", "right_eye")
        ]
        canvas = Canvas(Image.new("RGB", (1, 1)), (200, 200))
        origin = 100 - body.points["head"][:2] * 600
        for part in head:
            number = PART_NAMES.index(part.name) + 1
            canvas.fill(part.outline(600, origin), part.colour, number)
        x, y = np.rint(to_large(body.points["nose"][:2] * 600 + origin)).astype(int)
        on_top = PART_NAMES[canvas.shapes()[y, x] - 1]
        assert (on_top == "nose") == (not from_behind)
    assert turned > 30


def test_limbs_keep_their_lengths_in_space():
    rng = np.random.default_rng(3)
    for _ in range(20):
        points = random_body(rng).points
        for side in ("left", "right"):
            thigh = points[f"{side}_hip"] - points[f"{side}_knee"]
            forearm = points[f"{side}_elbow"] - points[f"{side}_wrist"]
            np.testing.assert_allclose(np.linalg.norm(thigh), 0.245)
            np.testing.assert_allclose(np.linalg.norm(forearm), 0.145)


def test_a_capsule_is_everything_near_its_segment():
    outline = hull_of_circles([(0.0, 0.0), (4.0, 0.0)], [1.0, 1.0])
    nearest = np.stack([np.clip(outline[:, 0], 0, 4), np.zeros(len(outline))], axis=-1)
    np.testing.assert_allclose(np.linalg.norm(outline - nearest, axis=1), 1.0)
    for corner in ((0, 1), (0, -1), (4, 1), (4, -1)):
        assert np.abs(outline - corner).sum(axis=1).min() < 1e-9


def test_hulls_of_three_circles_and_of_circles_inside_each_other():
    triangle = hull_of_circles([(0, 0), (6, 0), (0, 6), (1, 1)], [0, 0, 0, 0])
    assert sorted(map(tuple, triangle.tolist())) == [(0, 0), (0, 6), (6, 0)]
    inside = hull_of_circles([(5.0, 5.0), (5.5, 5.0)], [3.0, 1.0])
    distances = np.linalg.norm(inside - (5.0, 5.0), axis=1)
    np.testing.assert_allclose(distances, 3.0)


@pytest.mark.parametrize("centre", [(14.0, 16.0), (20.5, 11.25), (9.3, 22.6)])
def test_a_disc_lights_the_pixels_around_its_centre(centre):
    canvas = Canvas(Image.new("RGB", (1, 1)), (32, 32))
    canvas.fill(hull_of_circles([centre], [6.0]), (200, 0, 0), shape=9)
    large_y, large_x = np.nonzero(canvas.shapes() == 9)
    middle = (np.array([large_x.mean(), large_y.mean()]) + 0.5) / 2 - 0.5
    np.testing.assert_allclose(middle, centre, atol=0.15)
    red = canvas.picture()[..., 0].astype(float)
    y, x = np.mgrid[:32, :32]
    weighted = [(red * x).sum() / red.sum(), (red * y).sum() / red.sum()]
    np.testing.assert_allclose(weighted, middle, atol=1e-2)


def test_a_scene_depends_on_seed_and_index_only(scenes, tmp_path):
    annotations, images = write_scenes(
        tmp_path / "few", 5, 96, min_people=1, max_people=3, seed=5
    )
    more, fewer = (json.loads(p.read_text()) for p in (scenes[0], annotations))
    count = len(fewer["annotations"])
    assert fewer["annotations"] == more["annotations"][:count]
    for picture in images.iterdir():
        assert picture.read_bytes() == (scenes[1] / picture.name).read_bytes()
    other = random_scene(96, 1, 3, (6, 0))
    assert (
        np.asarray(other.picture).tobytes()
        != np.asarray(random_scene(96, 1, 3, (5, 0)).picture).tobytes()
    )


def test_as_many_people_as_asked_for_and_scenes_without_any():
    for index in range(5):
        assert len(random_scene(96, 4, 4, (0, index)).people) == 4
        assert random_scene(96, 0, 0, (0, index)).people == []
    with pytest.raises(ValueError, match="min_people: expected at most 40, got 41"):
        random_scene(96, 41, 50, (0, 0))


def test_the_same_scenes_are_reused_and_others_replace_them(tmp_path):
    def write(seed):
        return write_scenes(tmp_path / "set", 2, 64, max_people=1, seed=seed)[0]

    first = write(0).stat()
    assert write(0).stat() == first
    content = write(0).read_text()
    assert write(1).read_text() != content
    assert write(0).read_text() == content
    assert [p.name for p in tmp_path.iterdir()] == ["set"]  # nothing is left behind


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("unsaved elsewhere")
    with pytest.raises(ValueError, match="expected a new folder"):
        write_scenes(tmp_path, 1, 64)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(ValueError, match="expected a new folder"):
        write_scenes(tmp_path / "thesis.tex", 1, 64)
    with pytest.raises(OSError, match="thesis.tex"):
        write_scenes(tmp_path / "thesis.tex" / "below", 1, 64)
    (tmp_path / "empty").mkdir()
    assert write_scenes(tmp_path / "empty", 1, 64)[0].exists()


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
def test_ctrl_c_leaves_no_folder(tmp_path):
    # A shell's background job would ignore the signal, and so would its children.
    code = (
        "import signal, sys; signal.signal(2, signal.default_int_handler); "
        "from qepose_tf.data.synthetic.dataset import write_scenes; "
        "write_scenes(sys.argv[1], 100000, 64)"
    )
    target = tmp_path / "scenes"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(target)], stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 60
    try:
        while not list(tmp_path.glob(".*-scenes/images/*.jpg")):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert b"KeyboardInterrupt" in errors
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_scenes": 0}, "num_scenes: expected at least 1, got 0"),
        ({"image_size": 10}, "image_size: expected at least 64 px, got 10"),
        ({"min_people": 3, "max_people": 2}, "got 3 and 2"),
        ({"seed": -1}, "seed: expected 0 or more, got -1"),
    ],
)
def test_impossible_numbers_are_refused(tmp_path, arguments, message):
    asked = {"num_scenes": 1, "image_size": 64} | arguments
    with pytest.raises(ValueError, match=message):
        write_scenes(tmp_path / "scenes", **asked)
    assert list(tmp_path.iterdir()) == []
