"""Predictions as files: drawn pictures, and one JSON of COCO keypoint results."""

import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from qepose_tf.data.coco.results import coco_results
from qepose_tf.files.whole_files import writable_folder, write_file
from qepose_tf.images.drawing import draw_poses
from qepose_tf.inference.people import ImagePoses
from qepose_tf.skeleton import Skeleton

_CATEGORY_ID = 1
_JPEG_QUALITY = 95


def write_predictions(
    results: Iterable[ImagePoses],
    out_dir: str | Path,
    skeleton: Skeleton,
    json_path: str | Path | None = None,
    *,
    min_score: float = 0.2,
) -> list[Path]:
    """Writes each picture with its poses drawn, one at a time, and the JSON last.

    `a/photo.png` becomes `photo_poses.jpg`; a second photo of that name becomes
    `photo_2_poses.jpg`. An entry of the JSON is a COCO keypoint result whose
    `image_id` counts the pictures from 1, and the `file_name` it belongs to.

    Args:
        results: of `Predictor.predict`; consumed lazily, so pictures appear early.
        out_dir: made if it doesn't exist.
        skeleton: of the model.
        json_path: no JSON where it's None.
        min_score: people that score less are in the JSON, but not drawn.

    Returns:
        The drawn pictures' paths, in order.

    Raises:
        OSError: if a folder or a file can't be written; checked before the first
            picture is predicted.
    """
    out_dir = writable_folder(out_dir)
    if json_path is not None:
        json_path = Path(json_path)
        writable_folder(json_path.parent)
        if json_path.is_dir():
            raise IsADirectoryError(f"{json_path}: expected a file name, got a folder")
    used: set[str] = set()
    pictures: list[Path] = []
    entries: list[dict[str, Any]] = []
    for image_id, result in enumerate(results, start=1):
        named = isinstance(result.source, str | Path)
        name = str(result.source) if named else f"picture_{image_id}"
        image = result.pixels()
        drawn = draw_poses(
            image, result.poses, result.scores, skeleton, min_score=min_score
        )
        path = out_dir / _free_name(Path(name).stem, used)
        write_file(path, _jpeg(drawn))
        pictures.append(path)
        entries += _entries(image_id, name, result)
    if json_path is not None:
        write_file(json_path, json.dumps(entries))
    return pictures


def _entries(image_id: int, name: str, result: ImagePoses) -> list[dict[str, Any]]:
    if not len(result.scores):
        return []
    found = coco_results(
        [image_id] * len(result.scores),
        result.poses,
        result.scores,
        result.keypoint_scores,
        _CATEGORY_ID,
    )
    return [{**entry, "file_name": name} for entry in found]


def _free_name(stem: str, used: set[str]) -> str:
    name, count = f"{stem}_poses.jpg", 1
    while name.lower() in used:  # some file systems don't tell a.jpg from A.jpg
        count += 1
        name = f"{stem}_{count}_poses.jpg"
    used.add(name.lower())
    return name


def _jpeg(image: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(image).save(content, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return content.getvalue()
