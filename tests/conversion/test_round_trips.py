"""What each tool wrote is what `read_coco` reads, picture by picture."""

import base64
import json

import numpy as np
import pytest
import sleap_io as sio

from qepose_tf.conversion.convert import convert
from qepose_tf.skeleton import Skeleton
from tests.conversion import animals
from tests.conversion.animals import NAMES, assert_same, found, poses


def expected(numbers, **how):
    return {
        number: animals.unlabelled_as_zero(poses(number, **how)) for number in numbers
    }


@pytest.fixture
def two_cages(tmp_path):
    """Labels of sleap-io: two folders of pictures, two animals in each picture."""
    videos, numbers = animals.picture_videos(tmp_path / "pictures", (3, 2))
    bones, tracks = animals.skeleton(), [sio.Track("anna"), sio.Track("berta")]
    frames = [
        animals.labelled_frame(video, index, poses(number), bones, tracks)
        for video, of_video in zip(videos, numbers, strict=True)
        for index, number in enumerate(of_video)
    ]
    return sio.Labels(frames, tracks=tracks)


def test_sleap(two_cages, tmp_path):
    sio.save_slp(two_cages, str(tmp_path / "mice.slp"), verbose=False)
    report = convert(tmp_path / "mice.slp", tmp_path / "out", val_share=0.4)
    people, splits = found(tmp_path / "out")
    assert_same(people, expected(range(5)), 1e-5)
    assert splits == {"train": {0, 1, 2}, "val": {3, 4}}
    assert report["form"] == "SLEAP"
    assert report["train"] == {"pictures": 3, "people": 6, "ignored": 0}
    with pytest.warns(UserWarning, match="no sigmas"):
        bones = Skeleton.load(tmp_path / "out/skeleton.yaml")
    assert bones.keypoints == tuple(NAMES)
    assert {frozenset(pair) for pair in bones.flip_pairs} == {
        frozenset(("left_ear", "right_ear"))
    }
    assert bones.limbs == tuple(animals.EDGES)
    (category,) = json.loads((tmp_path / "out/train.json").read_text())["categories"]
    assert category["skeleton"] == [[1, 2], [1, 3], [1, 4]]


@pytest.mark.parametrize("embedded", [False, True], ids=["videos", "package"])
def test_sleap_with_videos(tmp_path, embedded):
    bones, frames, number = animals.skeleton(), [], 0
    for name, count in (("a", 4), ("b", 3)):
        file = animals.write_video(tmp_path / f"{name}.mp4", range(number, 8 + number))
        video = sio.Video.from_filename(str(file))
        for index in range(1, count):
            people = poses(number + index)
            frames.append(animals.labelled_frame(video, index, people, bones))
        number += 8
    source = tmp_path / ("mice.pkg.slp" if embedded else "mice.slp")
    sio.save_slp(sio.Labels(frames), str(source), embed=embedded, verbose=False)
    if embedded:
        (tmp_path / "a.mp4").unlink()
    else:  # as on another machine
        (tmp_path / "moved").mkdir()
        for name in ("a.mp4", "b.mp4"):
            (tmp_path / name).rename(tmp_path / "moved" / name)
    convert(
        source, tmp_path / "out", images=tmp_path / "moved" if not embedded else None
    )
    people, splits = found(tmp_path / "out")
    assert_same(people, expected([1, 2, 3, 9, 10]), 1e-5)
    assert splits == {"train": {1, 2, 3}, "val": {9, 10}}
    assert (tmp_path / "out/images/a/000001.png").is_file()


def test_nwb_of_sleap_io(tmp_path):
    """Neurodata Without Borders holds no hidden points: sleap-io leaves them out."""
    file = animals.write_video(tmp_path / "a.mp4", range(8))
    video, bones = sio.Video.from_filename(str(file)), animals.skeleton()
    tracks = [sio.Track("anna"), sio.Track("berta")]
    frames = [
        animals.labelled_frame(video, index, poses(index), bones, tracks)
        for index in (1, 2, 5)
    ]
    labels = sio.Labels(frames, tracks=tracks)
    sio.save_nwb(labels, str(tmp_path / "mice.nwb"), nwb_format="annotations")
    report = convert(tmp_path / "mice.nwb", tmp_path / "out")
    wanted = expected((1, 2, 5))
    for people in wanted.values():
        people[people[..., 2] == 1] = 0.0
    assert_same(found(tmp_path / "out")[0], wanted, 1e-5)
    assert report["flip_pairs"] == ["left_ear / right_ear"]


def test_alphatracker(tmp_path):
    """A rectangle begins an animal; its points follow, by their order alone."""
    wanted, content = {}, []
    for number in range(3):
        people = poses(number, hidden=False, missing=False)
        name = animals.write_picture(tmp_path / f"{number}.png", number).name
        shapes = []
        for person in people:
            box = {"class": "Face", "x": 0, "y": 0, "width": 9, "height": 9}
            points = [{"class": "point", "x": x, "y": y} for x, y, _ in person.tolist()]
            shapes += [box, *points]
        content.append({"filename": name, "class": "image", "annotations": shapes})
        wanted[number] = people
    (tmp_path / "train.json").write_text(json.dumps(content))
    report = convert(tmp_path / "train.json", tmp_path / "out")
    assert_same(found(tmp_path / "out")[0], wanted, 1e-5)
    assert report["keypoints"] == 4


def test_deeplabcut_of_sleap_io(two_cages, tmp_path):
    """sleap-io names pictures after one video, so one folder each is converted."""
    project = tmp_path / "project"
    bones, tracks = animals.skeleton(), two_cages.tracks
    for row, (cage, numbers) in enumerate((("cage0", (0, 1, 2)), ("cage1", (3, 4)))):
        video = sio.Video(filename=f"{cage}.mp4", open_backend=False)
        frames = [
            animals.labelled_frame(video, i, poses(n, hidden=False), bones, tracks)
            for i, n in enumerate(numbers)
        ]
        folder = project / "labeled-data" / cage
        for index, number in enumerate(numbers):
            animals.write_picture(folder / f"img{index:04d}.png", number)
        sio.save_csv(
            sio.Labels(frames, tracks=tracks),
            str(folder / "CollectedData_me.csv"),
            format="dlc",
            scorer="me",
        )
        assert row or (folder / "CollectedData_me.csv").is_file()
    (project / "config.yaml").write_text(
        "Task: mice\nscorer: me\nbodyparts: [nose]\nvideo_sets: {}\n"
        "skeleton: [[nose, tail], [nose, left_ear], [nose, spine]]\n"
    )
    for out, source in (("a", project), ("b", project / "config.yaml")):
        report = convert(source, tmp_path / out)
        people, splits = found(tmp_path / out)
        assert_same(people, expected(range(5), hidden=False), 1e-5)
        assert splits["val"] in ({3, 4}, {0, 1, 2})
        assert report["form"] == "DeepLabCut"
    (category,) = json.loads((tmp_path / "a/train.json").read_text())["categories"]
    assert category["keypoints"] == NAMES
    assert category["skeleton"] == [[1, 4], [1, 2]]


def test_deeplabcut_keeps_people_with_their_picture(tmp_path, caplog):
    """A missing picture, or numbers in an odd order, move nobody to another one."""
    folder = tmp_path / "labeled-data/cage"
    lines = ["scorer,,,me,me,me,me", "bodyparts,,,nose,nose,tail,tail"]
    lines.append("coords,,,x,y,x,y")
    wanted = {}
    for number, name in enumerate(("img10.png", "img2.png", "gone.png", "img7.png")):
        if name != "gone.png":
            animals.write_picture(folder / name, number)
            wanted[number] = np.array([[[number + 1, 5, 2], [20, number + 9, 2]]])
        values = f"{number + 1},5,20,{number + 9}"
        lines.append(f"labeled-data,cage,{name},{values}")
    lines.append("labeled-data,cage,none.png,,,,")
    (folder / "CollectedData_me.csv").write_text("\n".join(lines))
    (folder / "CollectedData_me.h5").write_bytes(b"the same as HDF5")
    convert(folder / "CollectedData_me.h5", tmp_path / "out")
    assert_same(found(tmp_path / "out")[0], wanted, 1e-6)
    assert "1 pictures without a file; left out (first: " in caplog.text
    assert "gone.png" in caplog.text
    assert "1 frames without a label; left out" in caplog.text


def test_deeplabcut_frames_that_are_only_in_the_video(tmp_path):
    animals.write_video(tmp_path / "cage.mp4", range(8))
    bones = animals.skeleton()
    video = sio.Video.from_filename(str(tmp_path / "cage.mp4"))
    frames = [
        animals.labelled_frame(video, i, poses(i, 1, hidden=False), bones)
        for i in (2, 5, 6)
    ]
    table = tmp_path / "labels.csv"
    sio.save_csv(sio.Labels(frames), str(table), format="dlc")
    convert(table, tmp_path / "out")
    wanted = expected((2, 5, 6), animals=1, hidden=False)
    assert_same(found(tmp_path / "out")[0], wanted, 1e-5)


def test_yolo_of_sleap_io(two_cages, tmp_path):
    sio.save_file(
        two_cages, str(tmp_path / "yolo"), format="ultralytics", verbose=False,
        split_ratios={"train": 0.6, "val": 0.4},
    )  # fmt: skip
    report = convert(tmp_path / "yolo", tmp_path / "out")
    # sleap-io writes hidden points as missing, and six digits.
    wanted = expected(range(5))
    for people in wanted.values():
        people[people[..., 2] == 1] = 0.0
    people, splits = found(tmp_path / "out")
    assert_same(people, wanted, 1e-4)
    assert len(splits["train"]) == 3 and len(splits["val"]) == 2
    assert "the source's own" in report["split"]
    assert report["flip_pairs"] == ["left_ear / right_ear"]
    (category,) = json.loads((tmp_path / "out/val.json").read_text())["categories"]
    assert category["skeleton"] == [[1, 2], [1, 3], [1, 4]]


@pytest.mark.parametrize("layout", ["images/train", "train/images", "../train/images"])
def test_yolo_of_ultralytics(tmp_path, layout):
    """Both layouts, hidden points, `flip_idx`, a picture without anybody."""
    root = tmp_path / "yolo"
    wanted = expected(range(4))
    for number in range(5):
        split = "train" if number < 3 else "val"
        where = layout.replace("train", split).removeprefix("../")
        animals.write_picture(root / where / f"{number}.png", number)
        text = root / where.replace("images", "labels") / f"{number}.txt"
        text.parent.mkdir(parents=True, exist_ok=True)
        if number == 4:
            wanted[4] = np.zeros((0, 4, 3))
            continue
        lines = []
        for person in wanted[number]:
            shares = person / (animals.WIDTH, animals.HEIGHT, 1)
            triples = " ".join(f"{x:.9f} {y:.9f} {v:.1f}" for x, y, v in shares)
            lines.append(f"0 0.5 0.5 0.5 0.25 {triples}")
        text.write_text("\n".join(lines) + "\n\n")
    (root / "mice.yaml").write_text(
        f"path: ../data/elsewhere\ntrain: {layout}\nval: "
        f"{layout.replace('train', 'val')}\n"
        "kpt_shape: [4, 3]\nflip_idx: [0, 2, 1, 3]\nnames: {0: mouse}\n"
        "kpt_names: {0: [snout, a, b, end]}\n"
    )
    report = convert(root, tmp_path / "out")
    people, splits = found(tmp_path / "out")
    assert_same(people, wanted, 1e-4)
    assert splits == {"train": {0, 1, 2}, "val": {3, 4}}
    assert report["flip_pairs"] == ["a / b"]
    first = json.loads((tmp_path / "out/train.json").read_text())["annotations"][0]
    assert first["bbox"] == [24.0, 24.0, 48.0, 16.0]


def test_label_studio_of_sleap_io(two_cages, tmp_path):
    sio.save_labelstudio(two_cages, str(tmp_path / "tasks.json"))
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    assert len(tasks) == 5
    convert(tmp_path / "tasks.json", tmp_path / "out", val_share=0.4)
    wanted = expected(range(5))
    for people in wanted.values():  # this format has no hidden points
        people[people[..., 2] == 1, 2] = 2.0
    people, splits = found(tmp_path / "out")
    assert_same(people, wanted, 1e-4)
    assert splits == {"train": {0, 1, 2}, "val": {3, 4}}


def test_label_studio_export(tmp_path, caplog):
    """As its own server writes it: uploads, relations, parents, points in boxes."""
    tasks = []
    for number in range(4):
        animals.write_picture(tmp_path / "images" / f"mouse {number}.png", number)
        size = {"original_width": 96, "original_height": 64, "image_rotation": 0}
        results = []
        for row, x in enumerate((0, 50)):
            value = {"x": x, "y": 0, "width": 50, "height": 100}
            value["rectanglelabels"] = ["mouse"]
            box = {"id": f"box{row}", "type": "rectanglelabels", "value": value}
            results.append(box | size)
            for name, share in (("nose", 10), ("tail", 40)):
                value = {"x": x + share, "y": 50, "width": 1, "keypointlabels": [name]}
                point = {"id": f"{name}{row}", "type": "keypointlabels", "value": value}
                if number == 1:
                    point["parentID"] = f"box{row}"
                results.append(point | size)
                if number == 0:
                    link = {"from_id": f"{name}{row}", "to_id": f"box{row}"}
                    results.append({"type": "relation", "direction": "right", **link})
        data = {"image": f"/data/upload/1/0a1b2c3d-mouse%20{number}.png"}
        if number == 2:
            data = {"image": f"/data/local-files/?d=far/away/mouse%20{number}.png"}
        tasks.append({"id": number, "data": data, "annotations": [{"result": results}]})
    tasks.append({"id": 9, "data": {"image": "x.png"}, "annotations": []})
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    convert(tmp_path / "export.json", tmp_path / "out")
    of_two = np.array([[(9.6, 32, 2), (38.4, 32, 2)], [(57.6, 32, 2), (86.4, 32, 2)]])
    people, _ = found(tmp_path / "out")
    assert_same(people, dict.fromkeys(range(4), of_two), 1e-5)
    assert "1 tasks without an annotation; left out" in caplog.text
    annotations = json.loads((tmp_path / "out/train.json").read_text())["annotations"]
    assert [a["bbox"] for a in annotations[:2]] == [[0, 0, 48, 64], [48, 0, 48, 64]]


def test_labelme(tmp_path):
    folder = tmp_path / "labelme"
    for number in range(5):
        cage = folder / f"cage{number // 3}"
        animals.write_picture(cage / f"{number}.png", number)
        animals.labelme_file(cage / f"{number}.json", f"{number}.png", poses(number))
    animals.labelme_file(folder / "cage1/none.json", "none.png", [])
    animals.write_picture(folder / "cage1/none.png", 9)
    report = convert(folder, tmp_path / "out", skeleton=Skeleton(
        "mouse", tuple(NAMES), (), (("nose", "tail"),), (0.1,) * 4
    ))  # fmt: skip
    people, splits = found(tmp_path / "out")
    wanted = expected(range(5)) | {9: np.zeros((0, 4, 3))}
    assert_same(people, wanted, 1e-5)
    assert splits == {"train": {0, 1, 2}, "val": {3, 4, 9}}
    assert report["form"] == "labelme" and report["flip_pairs"] == []
    assert Skeleton.load(tmp_path / "out/skeleton.yaml").sigmas == (0.1,) * 4
    first = json.loads((tmp_path / "out/train.json").read_text())["annotations"][0]
    low, high = poses(0)[0, :, :2].min(axis=0) - 1, poses(0)[0, :, :2].max(axis=0) + 1
    np.testing.assert_allclose(first["bbox"], [*low, *(high - low)])
    np.testing.assert_allclose(first["area"], 0.53 * np.prod(high - low))


def test_labelme_with_the_picture_inside(tmp_path):
    for number in range(2):
        file = animals.write_picture(tmp_path / "away" / f"{number}.png", number)
        data = base64.b64encode(file.read_bytes()).decode()
        path = tmp_path / f"labels/{number}.json"
        animals.labelme_file(path, f"{number}.png", poses(number), imageData=data)
        file.unlink()
    convert(tmp_path / "labels", tmp_path / "out")
    assert_same(found(tmp_path / "out")[0], expected(range(2)), 1e-5)
