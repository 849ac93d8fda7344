"""Label Studio's JSON export: tasks with points, boxes and the relations between."""

import re
from pathlib import Path
from typing import Any

from qepose_tf.conversion.labels import (
    Box,
    Frame,
    LabelSet,
    Person,
    Picture,
    names_in_order,
)
from qepose_tf.conversion.places import beside, locate, read_json
from qepose_tf.conversion.videos import video_frame
from qepose_tf.data.coco.content import shown
from qepose_tf.images.finding import IMAGE_SUFFIXES
from qepose_tf.images.video_sources import VIDEO_SUFFIXES

_UPLOAD = re.compile(r"^[0-9a-f]{8}-")  # what Label Studio puts before a file's name


def is_label_studio(content: Any) -> bool:
    """Whether the content of a JSON file is a list of Label Studio's tasks.

    AlphaTracker's list has `annotations`, too, and no `data`.
    """
    return (
        isinstance(content, list)
        and bool(content)
        and all(isinstance(task, dict) for task in content)
        and any(_annotations(task) is not None for task in content)
        and any("data" in task for task in content)
    )


def read_label_studio(source: Path, images: Path | None) -> LabelSet:
    """Reads Label Studio's JSON export (not JSON-MIN).

    Keypoints belong to the rectangle that a relation or a parent ties them to, else to
    the one that they lie in; without rectangles all points of a picture are one animal.

    Args:
        source: The file.
        images: Where pictures and videos are looked for first.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not what Label Studio exports; names the task.
    """
    tasks, pictures = read_json(source), []
    if not is_label_studio(tasks):
        raise ValueError(f"{source}: expected Label Studio's JSON export of tasks")
    unlabelled, several = [], []
    for number, task in enumerate(tasks):
        where = f"{source}: task {task.get('id', number)}"
        done = [a for a in _annotations(task) or [] if not a.get("was_cancelled")]
        if not done:
            unlabelled.append(where)
            continue
        if len(done) > 1:
            several.append(where)
        results = done[0].get("result")
        if not isinstance(results, list):
            raise ValueError(f"{where}: result: expected a list, got {shown(results)}")
        people, size = _people(where, results)
        picture = _picture(where, task, source, images)
        if not isinstance(picture.source, Frame):
            picture.size = size
        picture.people = people
        pictures.append(picture)
    labels = LabelSet(
        "Label Studio", source.stem, names_in_order(pictures), pictures=pictures
    )
    if several:
        labels.remarks.append(
            f"{len(several)} tasks were annotated more than once; the first annotation "
            f"counts (first: {several[0]})"
        )
    if unlabelled:
        labels.skipped.append(
            (len(unlabelled), "tasks without an annotation; left out", unlabelled[0])
        )
    return labels


def _annotations(task: dict[str, Any]) -> list[dict[str, Any]] | None:
    found = task.get("annotations", task.get("completions"))
    if isinstance(found, list) and all(isinstance(entry, dict) for entry in found):
        return found
    return None


def _picture(
    where: str, task: dict[str, Any], source: Path, images: Path | None
) -> Picture:
    folders = beside(source, images)
    video = (task.get("meta") or {}).get("video")
    if isinstance(video, dict):  # what sleap-io writes
        name, index = video.get("filename"), video.get("frame_idx", 0)
        if isinstance(name, list):
            name, index = name[index], 0
        if Path(str(name)).suffix.lower() in VIDEO_SUFFIXES:
            file = locate(str(name), folders)
            if file is None:
                raise ValueError(
                    f"{where}: no such video: {name}; name its folder by --images"
                )
            return Picture(video_frame(file, index), str(file), [])
    else:
        data = task.get("data")
        values = data.values() if isinstance(data, dict) else []
        texts = [value for value in values if isinstance(value, str)]
        name = next(
            (text for text in texts if _suffix(text) in IMAGE_SUFFIXES),
            (data or {}).get("image"),
        )
    if not isinstance(name, str):
        raise ValueError(f"{where}: expected a picture's name in 'data', got none")
    file = locate(name, folders) or locate(_UPLOAD.sub("", Path(name).name), folders)
    place = file or Path(name)
    return Picture(place, str(place.parent), [], named=name)


def _suffix(text: str) -> str:
    return Path(text.partition("?d=")[2] or text.partition("?")[0]).suffix.lower()


def _people(
    where: str, results: list[Any]
) -> tuple[list[Person], tuple[int, int] | None]:
    """The people of an annotation, and the size of its picture."""
    animals: dict[Any, Person] = {}
    points: dict[Any, tuple[str, float, float]] = {}
    owners: dict[Any, set[Any]] = {}
    size = None
    for number, result in enumerate(results):
        if not isinstance(result, dict):
            raise ValueError(f"{where}: result {number}: expected an object")
        kind, key = result.get("type"), result.get("id", ("no id", number))
        if kind == "relation":
            for one, other in (("from_id", "to_id"), ("to_id", "from_id")):
                owners.setdefault(result.get(one), set()).add(result.get(other))
        elif kind in ("keypointlabels", "rectanglelabels"):
            values, size = _values(f"{where}: result {number}", result)
            if result.get("parentID") is not None:
                owners.setdefault(key, set()).add(result["parentID"])
            if kind == "rectanglelabels":
                whole = values[:2] == [0.0, 0.0] and min(values[2:]) >= max(size)
                x, y, w, h = values
                animals[key] = Person({}, None if whole else (x, y, w, h))
            else:
                names = result["value"].get("keypointlabels")
                if not isinstance(names, list) or len(names) != 1:
                    raise ValueError(
                        f"{where}: result {number}: keypointlabels: expected one name, "
                        f"got {shown(names)}"
                    )
                points[key] = (str(names[0]), values[0], values[1])
    for key, (name, x, y) in points.items():
        tied = [animals[owner] for owner in owners.get(key, ()) if owner in animals]
        person = tied[0] if tied else _around(animals, name, x, y)
        if name in person.points:
            raise ValueError(
                f"{where}: {name!r} stands twice in one animal; tie the points of each "
                "animal to its rectangle by relations"
            )
        person.points[name] = (x, y, 2.0)
    return [p for p in animals.values() if p.points or p.box], size


def _around(animals: dict[Any, Person], name: str, x: float, y: float) -> Person:
    """The animal whose box has a point that is tied to none; else the one without."""
    around = [p for p in animals.values() if p.box and _inside(p.box, x, y)]
    around = [person for person in around if name not in person.points]
    if len(around) == 1:
        return around[0]
    return animals.setdefault(None, Person({}))


def _inside(box: Box, x: float, y: float) -> bool:
    return box[0] <= x <= box[0] + box[2] and box[1] <= y <= box[1] + box[3]


def _values(where: str, result: dict[str, Any]) -> tuple[list[float], tuple[int, int]]:
    """x, y, width and height in pixels, and the picture's size."""
    try:
        value = result["value"]
        size = (int(result["original_width"]), int(result["original_height"]))
        shares = [float(value["x"]), float(value["y"])]
        shares += [float(value.get(k, 0)) for k in ("width", "height")]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ValueError(
            f"{where}: expected original_width, original_height and a value with x, y"
        ) from None
    if result.get("image_rotation"):
        raise ValueError(f"{where}: image_rotation: expected 0, turn the picture first")
    return [share * size[n % 2] / 100 for n, share in enumerate(shares)], size
