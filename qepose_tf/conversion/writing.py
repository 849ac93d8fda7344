"""A `LabelSet` as COCO files, pictures, a skeleton and a config to train with."""

import json
import math
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from qepose_tf.conversion.labels import Embedded, Frame, LabelSet, Person, Picture
from qepose_tf.conversion.pictures import Measured, suffix_of, write_picture
from qepose_tf.data.coco.person_area import BOX_SHARE
from qepose_tf.skeleton import Skeleton

IMAGES = "images"
SKELETON = "skeleton.yaml"
CONFIG = "train.yaml"
SEEN_PICTURES = 3000  # in a first run
_NO_SIGMAS = """\
# sigmas: one number per keypoint says how precisely it can be placed. None are known:
# each gets 0.05, and AP cannot be compared with that of other data (docs/DATA.md).
"""


class Names:
    """Names of written files: readable, and each given once."""

    def __init__(self) -> None:
        self._folders: dict[str, str] = {}
        self._taken: set[str] = set()

    def name(self, picture: Picture, suffix: str) -> str:
        """The path of a picture below the folder of images.

        Args:
            picture: Which.
            suffix: What the name ends in.
        """
        if picture.group not in self._folders:
            self._folders[picture.group] = self._free(_folder_name(picture.group), "")
        folder = self._folders[picture.group]
        if isinstance(picture.source, Frame):
            stem = f"{picture.source.index:06d}"
        else:
            stem = _safe(Path(str(picture.source)).stem)
        return self._free(f"{folder}/{stem}", suffix)

    def _free(self, stem: str, suffix: str) -> str:
        # Some file systems do not tell A from a.
        name, number = f"{stem}{suffix}", 1
        while name.lower() in self._taken:
            number += 1
            name = f"{stem}-{number}{suffix}"
        self._taken.add(name.lower())
        return name


def _folder_name(group: str) -> str:
    path = Path(group.replace("\\", "/"))
    if path.name.lower() == "images" and path.parent.name:
        path = path.parent  # train/images is called train
    return _safe(path.stem if path.suffix else path.name)


def _safe(name: str) -> str:
    return re.sub(r'[\x00-\x1f/\\:*?"<>|]', "_", name).strip(". ") or "pictures"


def write_split(
    folder: Path,
    name: str,
    labels: LabelSet,
    pictures: Iterable[tuple[Picture, Measured | None]],
    names: Names,
    link: bool,
    step: Callable[[], None],
) -> tuple[int, int]:
    """Writes the pictures and the COCO file of train or val.

    Args:
        folder: To write into.
        name: Of the JSON file, without suffix.
        labels: The keypoints.
        pictures: With what `measure` says of them, None for frames.
        names: Of the files.
        link: Link pictures instead of copying them.
        step: Called after each picture.

    Returns:
        How many people with keypoints, and how many without, which are regions to
        ignore.

    Raises:
        OSError: A picture cannot be read, or the disk is full.
        ValueError: A picture cannot be decoded.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (picture, measured) in enumerate(pictures, start=1):
        file_name = names.name(picture, suffix_of(picture, measured))
        target = folder / IMAGES / file_name
        target.parent.mkdir(parents=True, exist_ok=True)
        width, height = write_picture(picture, measured, target, link)
        entry = {"file_name": file_name, "width": width, "height": height}
        images.append({"id": number, **entry, **picture.fields})
        for person in picture.people:
            annotation = {"id": len(annotations) + 1, "image_id": number}
            annotations.append(annotation | _annotation(person, labels.keypoints))
        step()
    content = {
        "info": {"description": f"{labels.name}, from {labels.form}"},
        "images": images,
        "annotations": annotations,
        "categories": [_category(labels)],
    }
    (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    people = sum(any(a["keypoints"][2::3]) for a in annotations)
    return people, len(annotations) - people


def _annotation(person: Person, names: tuple[str, ...]) -> dict[str, Any]:
    keypoints = [number for name in names for number in _triple(person, name)]
    annotation = {
        "category_id": 1,
        "keypoints": keypoints,
        "num_keypoints": len(person.points),
        "iscrowd": 0,
    }
    box = person.box
    if box is None and person.points:
        points = np.array([point[:2] for point in person.points.values()])
        box = (*points.min(axis=0).tolist(), *np.ptp(points, axis=0).tolist())
    if box is not None:
        # 0 where all points lie in a line: then the reader finds another measure.
        area = BOX_SHARE * max(box[2], 0.0) * max(box[3], 0.0)
        annotation |= {"bbox": list(box), "area": area}
    if person.area is not None:
        annotation["area"] = person.area
    return annotation | person.fields


def _triple(person: Person, name: str) -> tuple[float, float, float]:
    x, y, v = person.points.get(name, (0.0, 0.0, 0.0))
    return x, y, int(v) if float(v).is_integer() else v


def _category(labels: LabelSet) -> dict[str, Any]:
    at = {name: index for index, name in enumerate(labels.keypoints, start=1)}
    return {
        "id": 1,
        "name": labels.name,
        "keypoints": list(labels.keypoints),
        "skeleton": [[at[first], at[second]] for first, second in labels.limbs],
    }


def run_settings(pictures: int) -> dict[str, Any]:
    """Returns settings of `train` that suit a first run on few pictures.

    The defaults are the paper's, for COCO's 64,115 images. These let a run see about
    3,000 pictures, and each at least ten times.

    Args:
        pictures: The number of training pictures.

    Example:
        >>> run_settings(40)["epochs"]
        75
    """
    batch = max(1, min(16, pictures // 8))
    epochs = min(100, max(10, math.ceil(SEEN_PICTURES / max(1, pictures))))
    steps = epochs * (pictures // batch)
    return {
        "epochs": epochs,
        "batch_size": batch,
        "learning_rate": 1e-3,
        "schedule": "cosine",
        "warmup_steps": min(500, steps // 10),
        "validate_every": max(1, epochs // 5),
    }


def write_settings(
    folder: Path,
    place: Path,
    skeleton: Skeleton,
    measured_sigmas: bool,
    pictures: int,
    val: bool,
) -> None:
    """Writes the skeleton and a config to train with.

    Args:
        folder: To write into.
        place: What the folder will be called.
        skeleton: The keypoints.
        measured_sigmas: Whether its sigmas are known.
        pictures: The number of training pictures.
        val: Whether there is a val.json.
    """
    values = skeleton.to_dict()
    if not measured_sigmas:
        del values["sigmas"]
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    text = text if measured_sigmas else text + _NO_SIGMAS
    (folder / SKELETON).write_text(text, encoding="utf-8")
    sources = {"train": {"annotations": "train.json", "images": IMAGES}}
    if val:
        sources["val"] = {"annotations": "val.json", "images": IMAGES}
    config = {
        "name": re.sub(r"[^A-Za-z0-9_.-]", "_", place.name),
        "skeleton": str(place.absolute() / SKELETON),
        "data": {"root": str(place.absolute()), **sources},
        "model": {"start_from": "people"},
        "train": run_settings(pictures),
    }
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    (folder / CONFIG).write_text(text, encoding="utf-8")


def picture_files(labels: LabelSet) -> list[Path]:
    """The files on this disk that the pictures come from."""
    sources = [picture.source for picture in labels.pictures]
    files = [s for s in sources if not isinstance(s, Frame | Embedded)]
    return [*files, *(Path(s.video) for s in sources if isinstance(s, Frame))]
