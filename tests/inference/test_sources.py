"""Whatever `predict` is given ends in results.json."""

import json
import shutil

import cv2
import keras
import numpy as np
import pytest
from PIL import Image

from qepose_tf.images.drawn_files import is_drawing
from qepose_tf.images.finding import find_images
from qepose_tf.inference.prediction_files import write_predictions
from qepose_tf.inference.predictor import Predictor
from qepose_tf.models import PoseEstimator
from qepose_tf.skeleton import COCO
from tests.models.conftest import moderate

BLOCKS = np.random.default_rng(1).integers(0, 256, (8, 10, 3), np.uint8)
PIXELS = BLOCKS.repeat(8, 0).repeat(8, 1)


@pytest.fixture(scope="module")
def predictor():
    keras.utils.set_random_seed(0)
    every_row = {"score_threshold": 0.0}
    model = PoseEstimator(COCO, "tiny", input_size=64, decoder=every_row)
    return Predictor(moderate(model), batch_size=2, min_score=0.0)


def run(predictor, sources, out):
    files = find_images(sources, out)
    path = out / "results.json"
    write_predictions(predictor.outcomes(files), out, COCO, path)
    return json.loads(path.read_text())


def write_every_kind(folder):
    """The same picture in every form, and files that cannot be read."""
    picture = Image.fromarray(PIXELS)
    for name, kind in (("a.jfif", "JPEG"), ("b.mpo", "MPO"), ("c.png", "PNG")):
        picture.save(folder / name, kind)
    deep = np.round(PIXELS[..., ::-1] / 255 * 4095).astype(np.uint16)
    cv2.imwrite(str(folder / "d.png"), deep)
    cv2.imwrite(str(folder / "e.tif"), (PIXELS[..., ::-1] / 255).astype(np.float32))
    frames = [picture, picture.rotate(180), picture]
    frames[0].save(folder / "f.gif", save_all=True, append_images=frames[1:])
    frames[0].save(folder / "g.tiff", save_all=True, append_images=frames[1:2])
    (folder / "h.jpg").write_bytes((folder / "a.jfif").read_bytes()[:500])
    (folder / "i.heic").write_bytes(b"\0\0\0\x18ftypheic and nothing else")
    (folder / "notes.txt").write_text("no picture")


def test_every_source_has_its_people_or_the_reason(tmp_path, predictor):
    write_every_kind(tmp_path)
    entries = run(predictor, tmp_path, tmp_path / "out")
    ids = [entry["image_id"] for entry in entries]
    assert ids == sorted(ids) and set(ids) == set(range(1, 13))
    names = {(entry["file_name"], entry.get("frame")) for entry in entries}
    single = [(str(tmp_path / name), None) for name in ("a.jfif", "b.mpo", "c.png")]
    single += [(str(tmp_path / n), None) for n in ("d.png", "e.tif", "h.jpg", "i.heic")]
    frames = [(str(tmp_path / "f.gif"), n) for n in (1, 2, 3)]
    frames += [(str(tmp_path / "g.tiff"), n) for n in (1, 2)]
    assert names == {*single, *frames}
    reasons = {e["file_name"]: e["error"] for e in entries if "error" in e}
    assert {name.rpartition("/")[2] for name in reasons} == {"h.jpg", "i.heic"}
    assert all(reason.startswith(name) for name, reason in reasons.items())

    def poses(name, frame=None):
        chosen = (str(tmp_path / name), frame)
        rows = [e for e in entries if (e["file_name"], e.get("frame")) == chosen]
        return np.array([row["keypoints"] for row in rows])

    assert len(poses("c.png"))
    for name, frame in (("d.png", None), ("e.tif", None), ("g.tiff", 1)):
        np.testing.assert_allclose(poses(name, frame), poses("c.png"), atol=0.5)
    drawings = sorted(path.name for path in (tmp_path / "out").glob("*.jpg"))
    assert drawings == [
        *("a_poses.jpg", "b_poses.jpg", "c_poses.jpg", "d_poses.jpg", "e_poses.jpg"),
        *(f"f_frame{n}_poses.jpg" for n in (1, 2, 3)),
        *(f"g_frame{n}_poses.jpg" for n in (1, 2)),
    ]


def test_nobody_and_nothing_readable_are_entries_too(tmp_path, predictor, monkeypatch):
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"")
    monkeypatch.setattr(predictor, "min_score", 2.0)
    assert run(predictor, tmp_path, tmp_path / "out") == [
        {"image_id": 1, "people": 0, "file_name": str(tmp_path / "a.png")},
        {
            "image_id": 2,
            "file_name": str(tmp_path / "b.png"),
            "error": f"{tmp_path / 'b.png'}: expected an image, got an empty file",
        },
    ]
    (tmp_path / "a.png").unlink()
    (entry,) = run(predictor, tmp_path, tmp_path / "out")
    assert entry["image_id"] == 1 and "error" in entry
    with pytest.raises(ValueError, match="none of 1 pictures could be read"):
        predictor.refuse_nothing_read()


def test_a_second_run_in_the_same_folder_finds_the_same_sources(tmp_path, predictor):
    for name in ("a.png", "b.jpg", "yoga_poses.jpg"):
        Image.fromarray(PIXELS).save(tmp_path / name)
    first = run(predictor, tmp_path, tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    assert run(predictor, tmp_path, tmp_path) == first
    assert run(predictor, str(tmp_path / "*.*g"), tmp_path) == first
    # As a shell expands a pattern:
    assert run(predictor, sorted(tmp_path.glob("*.*g")), tmp_path) == first
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert not is_drawing(tmp_path / "yoga_poses.jpg")
    # Asked for by name, and drawn elsewhere, a drawing is a picture like any other.
    assert find_images(tmp_path / "a_poses.jpg", tmp_path / "out")
    with pytest.raises(ValueError, match="got 1 drawings of an earlier run"):
        find_images(tmp_path / "a_poses.jpg", tmp_path)


def test_somebody_s_picture_is_not_overwritten_by_a_drawing(tmp_path, predictor):
    for name in ("a.png", "a_poses.jpg"):
        Image.fromarray(PIXELS).save(tmp_path / name)
    own = (tmp_path / "a_poses.jpg").read_bytes()
    run(predictor, tmp_path / "a.png", tmp_path)
    assert (tmp_path / "a_poses.jpg").read_bytes() == own
    assert is_drawing(tmp_path / "a_2_poses.jpg")
    only_drawings = tmp_path / "drawn"
    only_drawings.mkdir()
    shutil.copy(tmp_path / "a_2_poses.jpg", only_drawings)
    with pytest.raises(ValueError, match="found none but drawings of an earlier run"):
        find_images(only_drawings)
