"""Small labelled pictures and videos, as each tool's files name them.

Every picture has one grey of its own, so that a test can tell which one was written
beside whose labels.
"""

import json

import cv2
import numpy as np
import sleap_io as sio
from PIL import Image

from qepose_tf.data.coco.dataset import read_coco
from qepose_tf.images.decoding import read_image
from qepose_tf.skeleton import Skeleton

NAMES = ["nose", "left_ear", "right_ear", "tail"]
EDGES = [("nose", "left_ear"), ("nose", "right_ear"), ("nose", "tail")]
WIDTH, HEIGHT = 96, 64
STEP = 12  # between the greys of two pictures; more than a video codec changes


def grey(number):
    return 6 + STEP * number


def number_of(path):
    """Which picture a file shows."""
    return round((float(read_image(path, exif=False).mean()) - 6) / STEP)


def write_picture(path, number, size=(WIDTH, HEIGHT)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, grey(number)).save(path)
    return path


def write_video(path, numbers):
    writer = cv2.VideoWriter(
        str(path), cv2.VideoWriter_fourcc(*"mp4v"), 5, (WIDTH, HEIGHT)
    )
    assert writer.isOpened()
    for number in numbers:
        writer.write(np.full((HEIGHT, WIDTH, 3), grey(number), np.uint8))
    writer.release()
    return path


def poses(number, animals=2, hidden=True, missing=True):
    """`[animals, 4, 3]` (x, y, v) of a picture; one point missing, one hidden."""
    rng = np.random.default_rng(number)
    xy = rng.uniform((2, 2), (WIDTH - 2, HEIGHT - 2), (animals, 4, 2))
    people = np.concatenate([xy, np.full((animals, 4, 1), 2.0)], axis=-1)
    if missing:
        people[0, 3] = 0.0
    if hidden:
        people[-1, 1, 2] = 1.0
    return people


def skeleton(name="mouse"):
    return sio.Skeleton(
        list(NAMES),
        edges=list(EDGES),
        symmetries=[("left_ear", "right_ear")],
        name=name,
    )


def labelled_frame(video, index, people, bones, tracks=None):
    instances = []
    for row, person in enumerate(people):
        points = person.copy()
        points[points[:, 2] == 0, :2] = np.nan
        points[:, 2] = points[:, 2] == 2
        instances.append(
            sio.Instance.from_numpy(
                points, skeleton=bones, track=tracks[row] if tracks else None
            )
        )
    return sio.LabeledFrame(video=video, frame_idx=index, instances=instances)


def picture_videos(folder, counts):
    """Folders of pictures as sleap-io's videos, and the numbers of their pictures."""
    videos, numbers, number = [], [], 0
    for row, count in enumerate(counts):
        files = [
            str(write_picture(folder / f"cage{row}" / f"img{i:03d}.png", number + i))
            for i in range(count)
        ]
        videos.append(sio.Video.from_filename(files))
        numbers.append(range(number, number + count))
        number += count
    return videos, numbers


def found(out):
    """The people `[M, K, 3]` that `read_coco` finds by picture, and the splits."""
    people, splits = {}, {"train": set(), "val": set()}
    for split in splits:
        path = out / f"{split}.json"
        if not path.exists():
            continue
        (category,) = json.loads(path.read_text())["categories"]
        names = tuple(category["keypoints"])
        bones = Skeleton("any", names, (), (), (0.05,) * len(names))
        data = read_coco(path, out / "images", bones, strict=True)
        for record in data.records:
            number = number_of(record.file)
            assert number not in people
            people[number] = record.keypoints
            splits[split].add(number)
    return people, splits


def assert_same(people, expected, tolerance):
    """Equal people of equal pictures, in any order, visibility exactly."""
    assert people.keys() == expected.keys()
    for number, wanted in expected.items():
        seen = people[number]
        order = [np.lexsort(p[..., 0].T) for p in (seen, wanted)]
        np.testing.assert_allclose(
            seen[order[0]][..., :2], wanted[order[1]][..., :2], atol=tolerance
        )
        np.testing.assert_array_equal(seen[order[0]][..., 2], wanted[order[1]][..., 2])


def unlabelled_as_zero(people):
    people = people.copy()
    people[people[..., 2] == 0] = 0.0
    return people


def labelme_file(path, picture, people, names=NAMES, **more):
    """As labelme writes it: points and a rectangle of each animal share a group id."""
    shapes = []
    for group, person in enumerate(people):
        for name, (x, y, v) in zip(names, person.tolist(), strict=True):
            if v:
                shapes.append(
                    {
                        "label": name,
                        "points": [[x, y]],
                        "group_id": group,
                        "shape_type": "point",
                        "flags": {"occluded": True} if v == 1 else {},
                    }
                )
        low, high = person[:, :2].min(axis=0) - 1, person[:, :2].max(axis=0) + 1
        shapes.append(
            {
                "label": "mouse",
                "points": [high.tolist(), low.tolist()],
                "group_id": group,
                "shape_type": "rectangle",
                "flags": {},
            }
        )
    content = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imageData": None}
    content |= {"imagePath": picture, "imageHeight": HEIGHT, "imageWidth": WIDTH}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**content, **more}))
    return path
