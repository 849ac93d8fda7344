"""SLEAP, and everything else that sleap-io reads: NWB, LEAP, JABS, AlphaTracker."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from qepose_tf.conversion.labels import Frame, LabelSet, Person, Picture
from qepose_tf.conversion.places import beside, locate
from qepose_tf.conversion.videos import sleap_io
from qepose_tf.images.finding import IMAGE_SUFFIXES


def read_sleap(
    source: Path, images: Path | None, category: str | None, predictions: bool
) -> LabelSet:
    """Reads a file by sleap-io.

    Args:
        source: The file.
        images: Where videos and pictures are looked for, if they have moved.
        category: Name of the skeleton to read, where the file has several.
        predictions: Take what a model has found as well, where nobody labelled.

    Raises:
        ImportError: sleap-io is missing.
        ValueError: sleap-io cannot read the file, or no pose is in it.
    """
    sio = sleap_io(source)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            loaded = sio.load_file(source)
        except Exception as error:  # each format's library has errors of its own
            reason = " ".join(str(error).split())
            raise ValueError(
                f"{source}: expected a file that sleap-io reads; it says: {reason}"
            ) from error
    if not hasattr(loaded, "labeled_frames"):
        raise ValueError(f"{source}: expected labels, got a video")
    skeleton: Any = _skeleton(source, loaded, category)
    labels = LabelSet(
        "SLEAP" if source.suffix == ".slp" else f"{source.suffix} by sleap-io",
        skeleton.name or source.stem,
        tuple(skeleton.node_names),
        [],
        limbs=tuple((a, b) for a, b in skeleton.edge_names),
        flip_pairs=tuple((a, b) for a, b in skeleton.symmetry_names) or None,
    )
    labels.remarks += [" ".join(str(warning.message).split()) for warning in caught]
    guessed = 0
    for frame in loaded.labeled_frames:
        people = [_person(i, skeleton) for i in frame.user_instances]
        found = [_person(i, skeleton) for i in frame.predicted_instances]
        if predictions and not people:
            people = found
        people = [person for person in people if person and person.points]
        guessed += not people and any(found)
        if people or frame.is_negative:
            labels.pictures.append(_picture(source, frame, people, images))
    if guessed and not labels.pictures:
        raise ValueError(
            f"{source}: nobody labelled the {guessed} frames, a model did; take its "
            "poses by --predictions"
        )
    if guessed:
        labels.remarks.append(
            f"{guessed} frames hold predictions alone; left out, unless asked for by "
            "--predictions"
        )
    return labels


def _skeleton(source: Path, loaded: Any, category: str | None) -> Any:
    used: dict[int, Any] = {}
    for frame in loaded.labeled_frames:
        for instance in frame.instances:
            used.setdefault(id(instance.skeleton), instance.skeleton)
    names = [skeleton.name for skeleton in used.values()]
    if category is not None:
        used = {k: s for k, s in used.items() if s.name == category}
    if not used and category is None:
        raise ValueError(f"{source}: expected poses, sleap-io finds none in it")
    if len(used) != 1:
        raise ValueError(
            f"{source}: expected one skeleton, got {names}; choose by --category"
        )
    return next(iter(used.values()))


def _person(instance: Any, skeleton: Any) -> Person | None:
    """An instance of this skeleton; None for one of another."""
    if instance.skeleton is not skeleton:
        return None
    points = instance.points
    labelled = np.isfinite(points["xy"]).all(axis=-1)
    columns = (skeleton.node_names, points["xy"], points["visible"], labelled)
    return Person(
        {
            name: (float(xy[0]), float(xy[1]), 2.0 if visible else 1.0)
            for name, xy, visible, is_labelled in zip(*columns, strict=True)
            if is_labelled
        }
    )


def _picture(
    source: Path, frame: Any, people: list[Person], images: Path | None
) -> Picture:
    video, index = frame.video, int(frame.frame_idx)
    folders, name = beside(source, images), video.filename
    if isinstance(name, list) or Path(name).suffix.lower() in IMAGE_SUFFIXES:
        name = name[index] if isinstance(name, list) else name
        file = locate(name, folders)
        place = file or Path(name)
        return Picture(place, str(place.parent), people, named=name)
    if not video.exists():
        file = locate(name, folders)
        if file is None:
            raise ValueError(
                f"{source}: no such video: {name}; name its folder by --images"
            )
        video.replace_filename(str(file))
    # Frames inside a .pkg.slp are of the video that they were taken from.
    origin = (video.original_video or video).filename
    origin = str(origin if isinstance(origin, str) else Path(origin[0]).parent)
    return Picture(Frame(origin, index, lambda: video[index]), origin, people)
