"""Small COCO data sets, written for one test."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from qepose_tf.skeleton import Skeleton

# Two points that a mirror exchanges and one that it does not.
SKELETON = Skeleton(
    "trio",
    keypoints=("nose", "left_eye", "right_eye"),
    flip_pairs=(("left_eye", "right_eye"),),
    limbs=(("nose", "left_eye"), ("nose", "right_eye")),
    sigmas=(0.05, 0.05, 0.05),
)
CATEGORY = {"id": 1, "name": "person", "keypoints": list(SKELETON.keypoints)}
CAR = {"id": 9, "name": "car"}
KEYPOINTS = [20, 30, 2, 40, 50, 1, 0, 0, 0]


def image(image_id=1, width=100, height=80, **more):
    entry = {"id": image_id, "file_name": f"{image_id}.png"}
    return {**entry, "width": width, "height": height, **more}


def person(annotation_id=1, image_id=1, **more):
    """Somebody with `KEYPOINTS`; another id stands a little aside: nobody is equal."""
    aside = (annotation_id - 1) / 16 if isinstance(annotation_id, int) else 0
    return {
        "id": annotation_id,
        "image_id": image_id,
        "category_id": 1,
        "keypoints": [KEYPOINTS[0] + aside, *KEYPOINTS[1:]],
        "area": 5000.0,
        "bbox": [10.0, 20.0, 60.0, 50.0],
        "iscrowd": 0,
        "segmentation": [],
        **more,
    }


def write_json(folder: Path, images, annotations, categories=(CATEGORY, CAR)) -> Path:
    content = {"images": images, "annotations": annotations}
    path = folder / "people.json"
    path.write_text(json.dumps({**content, "categories": list(categories)}))
    return path


def write_images(folder: Path, images, colour=(90, 120, 150)) -> None:
    for entry in images:
        pixels = np.full((entry["height"], entry["width"], 3), colour, np.uint8)
        Image.fromarray(pixels).save(folder / entry["file_name"])
