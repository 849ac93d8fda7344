"""Small data sets in CrowdPose's own JSON layout, drawn or invented.

What the layout has and has not was read off excerpts of its files: an image carries
`crowdIndex`; an annotation has neither `area` nor `segmentation`; `num_keypoints`
leaves head and neck out; the category lists limbs of COCO's 17 keypoints.
"""

import json
import shutil
from pathlib import Path

import numpy as np

from qepose_tf.data.synthetic.dataset import write_scenes
from qepose_tf.skeleton import COCO, CROWDPOSE

LIMBS = [[16, 14], [14, 12], [17, 15], [15, 13], [12, 13], [6, 12], [7, 13], [6, 7]]
CATEGORY = {
    "supercategory": "person",
    "id": 1,
    "name": "person",
    "keypoints": list(CROWDPOSE.keypoints),
    "skeleton": [*LIMBS, [6, 8], [7, 9], [8, 10], [9, 11]],
}


def image(image_id, crowd_index=None, width=640, height=480):
    entry = {"file_name": f"{image_id}.jpg", "id": image_id}
    entry |= {"height": height, "width": width}
    return entry if crowd_index is None else {**entry, "crowdIndex": crowd_index}


def person(annotation_id, image_id, keypoints, bbox):
    keypoints = np.asarray(keypoints, float).reshape(14, 3)
    return {
        "num_keypoints": int((keypoints[:12, 2] > 0).sum()),
        "iscrowd": 0,
        "keypoints": keypoints.reshape(-1).tolist(),
        "image_id": image_id,
        "bbox": list(bbox),
        "category_id": 1,
        "id": annotation_id,
    }


def content(images, people):
    return {"categories": [CATEGORY], "images": images, "annotations": people}


def detection(annotation, score, shift=0.0):
    keypoints = np.array(annotation["keypoints"], float).reshape(-1, 3)
    keypoints[:, 0] += shift
    keypoints[:, 2] = score
    return {
        "image_id": annotation["image_id"],
        "category_id": 1,
        "keypoints": keypoints.reshape(-1).tolist(),
        "score": score,
    }


def random_labels_and_results(seed=0, num_images=48):
    """A crowd per image and a detector's results; the same numbers everywhere."""
    random = np.random.RandomState(seed)  # NumPy freezes this stream
    images, people, results = [], [], []
    for number in range(num_images):
        image_id = 100_000 + number
        images.append(image(image_id, (0.0, 0.2, 0.8, 1.0, 0.19, 0.79)[number % 6]))
        for _ in range(random.randint(1, 7)):
            x, y, width, height = random.uniform((0, 0, 40, 80), (400, 200, 200, 260))
            points = random.uniform((x, y), (x + width, y + height), (14, 2)).round()
            seen = random.choice(3, 14, p=(0.25, 0.25, 0.5))
            kind = random.randint(10)
            if kind == 0:
                seen[:] = 0
            elif kind == 1:
                seen[:12] = 0  # head and neck alone: ignored, for they do not count
            keypoints = np.column_stack([points * (seen > 0)[:, None], seen])
            box = np.round([x, y, width, height], 2).tolist()
            people.append(person(len(people) + 1, image_id, keypoints, box))
            noise = random.exponential(0.05) * np.sqrt(width * height)
            guess = points + random.normal(0, noise, (14, 2))
            guess += 300 * (random.uniform() < 0.15)  # a stray
            found = np.column_stack([guess, np.full(14, 0.9)]).round(2)
            score = round(float(np.exp(-noise / 20) * random.uniform(0.5, 1)), 4)
            results.append(
                {
                    "image_id": image_id,
                    "category_id": 1,
                    "keypoints": found.reshape(-1).tolist(),
                    "score": score,
                }
            )
    return content(images, people), results


def write_drawn(folder: Path, num_scenes: int, crowd_indices) -> Path:
    """Drawn scenes as a CrowdPose data set below `folder`, as the configs name it."""
    annotations, pictures = write_scenes(
        folder / "scenes", num_scenes, 128, min_people=1, max_people=2, min_height=0.5
    )
    drawn = json.loads(annotations.read_text())
    shutil.copytree(pictures, folder / "images")
    images = [
        image(entry["id"], index, entry["width"], entry["height"])
        | {"file_name": entry["file_name"]}
        for entry, index in zip(drawn["images"], crowd_indices, strict=True)
    ]
    people = [
        person(a["id"], a["image_id"], _as_crowdpose(a["keypoints"]), a["bbox"])
        for a in drawn["annotations"]
    ]
    path = folder / "annotations"
    path.mkdir()
    for split in ("trainval", "test"):
        text = json.dumps(content(images, people))
        (path / f"crowdpose_{split}.json").write_text(text)
    return folder


def _as_crowdpose(keypoints):
    """COCO's 17 keypoints as 14: the nose for the head, the shoulders' mean as neck."""
    by_name = dict(
        zip(COCO.keypoints, np.reshape(keypoints, (-1, 3)).astype(float), strict=True)
    )
    shoulders = np.stack([by_name["left_shoulder"], by_name["right_shoulder"]])
    neck = [*shoulders[:, :2].mean(axis=0), shoulders[:, 2].min()]
    by_name |= {"head": by_name["nose"], "neck": np.array(neck)}
    points = np.stack([by_name[name] for name in CROWDPOSE.keypoints])
    return points * (points[:, 2:] > 0)
