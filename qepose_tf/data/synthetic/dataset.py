"""Synthetic scenes as a COCO-format data set, so that one reader serves all data.

Scene i depends on the seed and on i alone: a larger set begins with the smaller one.
"""

import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from qepose_tf.data.synthetic.scene import MIN_HEIGHT, Person, random_scene
from qepose_tf.files.whole_files import whole
from qepose_tf.skeleton import COCO

# Raise it when the same parameters no longer give the same pictures.
_VERSION = 1
_MANIFEST = "manifest.json"
_ANNOTATIONS = "annotations.json"
_IMAGES = "images"
_JPEG_QUALITY = 92
_MIN_IMAGE_SIZE = 64

_log = logging.getLogger(__name__)


def write_scenes(
    folder: str | os.PathLike,
    num_scenes: int,
    image_size: int,
    *,
    min_people: int = 1,
    max_people: int = 4,
    min_height: float = MIN_HEIGHT,
    seed: int = 0,
) -> tuple[Path, Path]:
    """Writes scenes with all 17 COCO keypoints, or reuses those already there.

    `min_height` is that of the smallest standing person, as a share of the picture.
    The folder appears only when it is whole. A folder of scenes made with other
    parameters is replaced; any other folder that isn't empty is left alone.

    Returns:
        The annotation file and the folder of the pictures.

    Raises:
        ValueError: for impossible numbers, or a `folder` that holds something else.
        OSError: if the folder can't be written.
    """
    _check(num_scenes, image_size, min_people, max_people, seed)
    if not 0.1 <= min_height <= 0.95:
        raise ValueError(f"min_height: expected 0.1 to 0.95, got {min_height}")
    folder = Path(folder)
    manifest = {
        "version": _VERSION,
        "num_scenes": num_scenes,
        "image_size": image_size,
        "min_people": min_people,
        "max_people": max_people,
        "min_height": min_height,
        "seed": seed,
    }
    paths = folder / _ANNOTATIONS, folder / _IMAGES
    if _holds(folder, manifest):
        _log.info("reusing %d synthetic scenes in %s", num_scenes, folder)
        return paths
    _log.info("writing %d synthetic scenes to %s", num_scenes, folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with whole(folder) as partial:
        partial.mkdir()
        _write_dataset(partial, manifest)
        if folder.exists():
            _remove_scenes(folder)
    return paths


def _check(num_scenes: int, image_size: int, low: int, high: int, seed: int) -> None:
    if num_scenes < 1:
        raise ValueError(f"num_scenes: expected at least 1, got {num_scenes}")
    if image_size < _MIN_IMAGE_SIZE:
        raise ValueError(
            f"image_size: expected at least {_MIN_IMAGE_SIZE} px, got {image_size}"
        )
    if not 0 <= low <= high:
        raise ValueError(
            f"expected 0 <= min_people <= max_people, got {low} and {high}"
        )
    if seed < 0:
        raise ValueError(f"seed: expected 0 or more, got {seed}")


def _holds(folder: Path, manifest: dict[str, float]) -> bool:
    """Tells whether `folder` holds these scenes.

    Raises:
        ValueError: if it holds anything but scenes: that is not ours to overwrite.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    try:
        found = json.loads((folder / _MANIFEST).read_text("utf-8"))
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict) or not manifest.keys() <= found.keys():
        raise ValueError(
            f"{folder}: expected a new folder or one of synthetic scenes, found "
            "something else there; name another folder"
        )
    return found == manifest


def _remove_scenes(folder: Path) -> None:
    if (folder / _MANIFEST).exists():
        shutil.rmtree(folder)
    else:
        folder.rmdir()  # an empty folder; it fails if somebody filled it meanwhile


def _write_dataset(folder: Path, manifest: dict[str, Any]) -> None:
    (folder / _IMAGES).mkdir()
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index in range(manifest["num_scenes"]):
        scene = random_scene(
            manifest["image_size"],
            manifest["min_people"],
            manifest["max_people"],
            (manifest["seed"], index),
            manifest["min_height"],
        )
        name, image_id = f"{index + 1:06d}.jpg", index + 1
        path = folder / _IMAGES / name
        # Full chroma resolution: a face is a few pixels wide, its colours matter.
        scene.picture.save(path, quality=_JPEG_QUALITY, subsampling=0)
        width, height = scene.picture.size
        images.append(
            {"id": image_id, "file_name": name, "width": width, "height": height}
        )
        for person in scene.people:
            annotations.append(_annotation(person, len(annotations) + 1, image_id))
    content = {
        "info": {"description": "synthetic scenes", **manifest},
        "images": images,
        "annotations": annotations,
        "categories": [_category()],
    }
    (folder / _ANNOTATIONS).write_text(json.dumps(content), "utf-8")
    (folder / _MANIFEST).write_text(json.dumps(manifest), "utf-8")


def _annotation(person: Person, annotation_id: int, image_id: int) -> dict[str, Any]:
    encoded = coco_mask.encode(np.asfortranarray(person.mask, np.uint8))
    return {
        "id": annotation_id,
        "image_id": image_id,
        "category_id": 1,
        "iscrowd": 0,
        "keypoints": [round(float(value), 2) for value in person.keypoints.ravel()],
        "num_keypoints": int((person.keypoints[:, 2] > 0).sum()),
        "area": float(coco_mask.area(encoded)),
        "bbox": [float(value) for value in coco_mask.toBbox(encoded)],
        "segmentation": {
            "size": [int(side) for side in encoded["size"]],
            "counts": encoded["counts"].decode("ascii"),
        },
    }


def _category() -> dict[str, Any]:
    return {
        "id": 1,
        "name": "person",
        "supercategory": "person",
        "keypoints": list(COCO.keypoints),
        "skeleton": [[first + 1, last + 1] for first, last in COCO.limb_indices],
    }
