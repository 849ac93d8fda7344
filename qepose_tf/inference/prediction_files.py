"""Predictions as files: drawn pictures, and one JSON of COCO keypoint results."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from qepose_tf.files.whole_files import writable_folder, write_file
from qepose_tf.images.drawing import draw_poses
from qepose_tf.images.drawn_files import SUFFIX, drawing_bytes, is_drawing
from qepose_tf.images.frames import Frame
from qepose_tf.inference.people import ImagePoses, Source, Unreadable
from qepose_tf.skeleton import Skeleton

_CATEGORY_ID = 1


def write_predictions(
    results: Iterable[ImagePoses | Unreadable],
    out_dir: str | Path,
    skeleton: Skeleton,
    json_path: str | Path | None = None,
    *,
    min_score: float = 0.2,
) -> list[Path]:
    """Writes each picture with its poses drawn, one at a time, and the JSON last.

    `a/photo.png` becomes `photo_poses.jpg`, a second photo of that name
    `photo_2_poses.jpg`, and the third frame of `a/clip.gif` `clip_frame3_poses.jpg`.

    Every picture has at least one entry in the JSON, with an `image_id` that counts
    from 1, the `file_name` and, of a file of several pictures, the `frame`, from 1.
    Each person is an entry with a COCO keypoint result's other fields. An entry
    without `keypoints` is a picture in which nobody was found (`"people": 0`), or one
    that could not be read (`"error"`).

    Args:
        results: Of `Predictor.outcomes`; consumed lazily, so pictures appear early.
        out_dir: Made if it does not exist.
        skeleton: Of the model.
        json_path: No JSON is written where it is None.
        min_score: People that score less are in the JSON, but not drawn.

    Returns:
        The drawn pictures' paths, in order.

    Raises:
        OSError: A folder or a file cannot be written; that is checked before the first
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
        name = _name(result.source, image_id)
        if isinstance(result, Unreadable):
            entries.append({"image_id": image_id, **name, "error": result.reason})
            continue
        drawn = draw_poses(
            result.pixels(), result.poses, result.scores, skeleton, min_score=min_score
        )
        path = _free_path(out_dir, _stem(name), used)
        write_file(path, drawing_bytes(drawn))
        pictures.append(path)
        people = result.to_coco(image_id, _CATEGORY_ID)
        nobody = [{"image_id": image_id, "people": 0}]
        entries += [{**entry, **name} for entry in people or nobody]
    if json_path is not None:
        write_file(json_path, json.dumps(entries))
    return pictures


def _name(source: Source, image_id: int) -> dict[str, Any]:
    """The fields that say which picture it is."""
    if isinstance(source, Frame):
        return {"file_name": str(source.path), "frame": source.number}
    named = isinstance(source, str | Path)
    return {"file_name": str(source) if named else f"picture_{image_id}"}


def _stem(name: dict[str, Any]) -> str:
    frame = f"_frame{name['frame']}" if "frame" in name else ""
    return f"{Path(name['file_name']).stem}{frame}"


def _free_path(folder: Path, stem: str, used: set[str]) -> Path:
    """Where no picture of this run is, nor one that somebody else has put there."""
    path, count = folder / f"{stem}{SUFFIX}", 1
    # Some file systems do not tell a.jpg from A.jpg.
    while path.name.lower() in used or (path.exists() and not is_drawing(path)):
        count += 1
        path = folder / f"{stem}_{count}{SUFFIX}"
    used.add(path.name.lower())
    return path
