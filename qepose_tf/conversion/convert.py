"""From another tool's labels to a folder that training reads."""

import difflib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qepose_tf.conversion.labels import Frame, LabelSet, Picture
from qepose_tf.conversion.pictures import Measured, measure
from qepose_tf.conversion.recognise import read_source
from qepose_tf.conversion.splitting import Halves, split, split_of_source
from qepose_tf.conversion.writing import (
    CONFIG,
    Names,
    picture_files,
    write_settings,
    write_split,
)
from qepose_tf.data.coco.ignore_regions import MAX_POSITION
from qepose_tf.data.coco.problems import Problems
from qepose_tf.files.whole_files import check_free, written_whole
from qepose_tf.skeleton import BUILTIN, DEFAULT_SIGMA, Skeleton, guess_flip_pairs

logger = logging.getLogger(__name__)

VAL_SHARE = 0.2
_MARKER = "train.json"  # what a folder holds that may be overwritten


def convert(
    source: str | Path,
    out: str | Path,
    *,
    images: str | Path | None = None,
    val_share: float | None = None,
    seed: int = 0,
    skeleton: Skeleton | str | None = None,
    category: str | None = None,
    predictions: bool = False,
    link: bool = False,
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Writes labels of another tool as COCO files with their pictures.

    The folder appears when all of it is written: `train.json`, `val.json`, the
    pictures in `images`, `skeleton.yaml` and `train.yaml`, a config for `qepose train`.

    Args:
        source: A file or folder of SLEAP, DeepLabCut, YOLO pose, Label Studio, labelme,
            COCO, or of what else sleap-io reads.
        out: The folder to write.
        images: Where the pictures or videos lie, if not where the source says.
        val_share: Share of the pictures for val. None keeps a split of the source, and
            is `VAL_SHARE` where there is none; 0 writes train alone.
        seed: Of the videos or folders that are val.
        skeleton: The keypoints and their order, or what `Skeleton.load` takes; None
            takes the source's.
        category: Category, class or skeleton to read, where there are several.
        predictions: Take a model's poses as well, where nobody labelled.
        link: Link pictures instead of copying them.
        overwrite: Whether `out` may be a folder that was written before.
        progress: Takes the number of pictures that are written, and of all.

    Returns:
        What was written, by name, as `qepose convert` prints it.

    Raises:
        FileExistsError: `out` exists and may not be overwritten.
        ImportError: sleap-io is needed and missing.
        OSError: A file cannot be read or written.
        ValueError: The source is not what was expected, or nothing in it can be used.

    Example:
        >>> convert("mice.slp", "data/mice")  # doctest: +SKIP
    """
    source, out = Path(source), Path(out)
    check_free(out, overwrite, _MARKER)
    folder = None if images is None else Path(images)
    if folder is not None and not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder of pictures or videos")
    labels = read_source(source, folder, category, predictions)
    _check_values(source, labels)
    _check_apart(source, out, labels)
    known, measured_sigmas = _skeleton(source, labels, skeleton)
    problems = Problems(str(source), strict=False)
    for count, what, first in labels.skipped:
        problems.add(count, what, first)
    for remark in labels.remarks:
        problems.remark(logging.INFO, remark)
    labels.pictures = _merged(source, labels.pictures, problems)
    sizes = _measured(source, labels, problems)
    halves, how = _halves(source, labels.pictures, val_share, seed)
    problems.report()
    written: dict[str, tuple[int, int]] = {}
    done, total = 0, len(labels.pictures)

    def step() -> None:
        nonlocal done
        done += 1
        progress(done, total)

    with written_whole(out, overwrite, _MARKER) as new:
        new.mkdir()
        names = Names()
        for name, half in zip(("train", "val"), halves, strict=True):
            if half or name == "train":
                pairs = [(picture, sizes.get(picture.key)) for picture in half]
                written[name] = write_split(new, name, labels, pairs, names, link, step)
        pictures = len(halves[0])
        write_settings(new, out, known, measured_sigmas, pictures, "val" in written)
    return _report(labels, known, out, halves, written, how)


def _report(
    labels: LabelSet,
    skeleton: Skeleton,
    out: Path,
    halves: Halves,
    written: dict[str, tuple[int, int]],
    how: str,
) -> dict[str, Any]:
    report: dict[str, Any] = {"form": labels.form, "keypoints": len(labels.keypoints)}
    report["flip_pairs"] = [" / ".join(pair) for pair in skeleton.flip_pairs]
    for (name, (people, ignored)), half in zip(written.items(), halves, strict=False):
        report[name] = {"pictures": len(half), "people": people, "ignored": ignored}
    report |= {"split": how, "out": str(out)}
    return report | {"next": f"qepose doctor {out / CONFIG}"}


def _check_apart(source: Path, out: Path, labels: LabelSet) -> None:
    """The folder that is replaced must not hold what is converted."""
    inside = out.resolve()
    for file in (source, *picture_files(labels)):
        if file.resolve().is_relative_to(inside):
            raise ValueError(f"{out}: holds {file}, which is converted; name another")


def _check_values(source: Path, labels: LabelSet) -> None:
    for picture in labels.pictures:
        if "\0" in str(picture.source):
            raise ValueError(f"{source}: expected a file's name: {picture.source!r}")
        for person in picture.people:
            rows = {**person.points, "box": person.box or (0.0,)}
            for name, numbers in rows.items():
                if not all(abs(number) <= MAX_POSITION for number in numbers):
                    raise ValueError(
                        f"{source}: {picture.source}: {name}: expected pixels, "
                        f"got {numbers}"
                    )


def _skeleton(
    source: Path, labels: LabelSet, given: Skeleton | str | None
) -> tuple[Skeleton, bool]:
    """The skeleton, in place in `labels` as well, and whether its sigmas are known."""
    if given is not None:
        given = Skeleton.load(given) if isinstance(given, str) else given
        _check_names(source, labels, given)
        labels.keypoints, labels.limbs = given.keypoints, given.limbs
        labels.flip_pairs, labels.sigmas = given.flip_pairs, given.sigmas
    if not labels.keypoints:
        raise ValueError(f"{source}: expected labelled keypoints, got none")
    for builtin in BUILTIN.values():
        if builtin.keypoints == labels.keypoints:
            labels.limbs = labels.limbs or builtin.limbs
            labels.sigmas = labels.sigmas or builtin.sigmas
    pairs = labels.flip_pairs
    if pairs is None:
        pairs = guess_flip_pairs(labels.keypoints)
    sigmas = labels.sigmas or (DEFAULT_SIGMA,) * len(labels.keypoints)
    # A limb of a point to itself, or twice the same, says nothing.
    limbs = {frozenset(limb): limb for limb in labels.limbs if limb[0] != limb[1]}
    labels.limbs = tuple(limbs.values())
    try:
        skeleton = Skeleton(labels.name, labels.keypoints, pairs, labels.limbs, sigmas)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None
    return skeleton, labels.sigmas is not None


def _check_names(source: Path, labels: LabelSet, skeleton: Skeleton) -> None:
    for name in labels.keypoints:
        if name not in skeleton.keypoints:
            near = difflib.get_close_matches(name, skeleton.keypoints, 1)
            hint = f"did you mean {near[0]!r}?" if near else "rename or remove it"
            raise ValueError(
                f"{source}: keypoint {name!r} is not in skeleton {skeleton.name!r}; "
                f"{hint}"
            )


def _merged(source: Path, pictures: list[Picture], problems: Problems) -> list[Picture]:
    """Each picture once, with the people of all its entries; equal ones count once."""
    merged: dict[tuple[str, int], Picture] = {}
    repeated, equal = [], 0
    for picture in pictures:
        first = merged.setdefault(picture.key, picture)
        if first is picture:
            people, picture.people = picture.people, []
        else:
            if picture.named != first.named:
                raise ValueError(
                    f"{source}: {first.named} and {picture.named} both lead to "
                    f"{first.source}; keep the folders of the pictures apart"
                )
            people = picture.people
            repeated.append(picture.source)
        for person in people:
            if person in first.people:
                equal += 1
            else:
                first.people.append(person)
    what = "more entries of a picture that was listed before; merged"
    problems.add(len(repeated), what, repeated[0] if repeated else None)
    problems.add(equal, "people listed more than once in a picture; each counts once")
    return list(merged.values())


def _measured(
    source: Path, labels: LabelSet, problems: Problems
) -> dict[tuple[str, int], Measured]:
    """Sizes by picture; what cannot be used leaves `labels`."""
    sizes: dict[tuple[str, int], Measured] = {}
    kept, bad = [], {}
    for picture in labels.pictures:
        if not isinstance(picture.source, Frame):
            found = measure(picture, labels.upright)
            if isinstance(found, str):
                bad.setdefault(found, []).append(picture.source)
                continue
            sizes[picture.key] = found
        kept.append(picture)
    for what, files in bad.items():
        problems.add(len(files), what, files[0])
    if not kept:
        reasons = "; ".join(f"{what} (first: {f[0]})" for what, f in bad.items())
        raise ValueError(
            f"{source}: no picture can be used: {reasons or 'none is labelled'}"
            + ("; name their folder by --images" if bad else "")
        )
    turned = sum(size.turned for size in sizes.values())
    if turned:
        problems.remark(logging.INFO, f"{turned} pictures were turned upright")
    labels.pictures = kept
    return sizes


def _halves(
    source: Path, pictures: list[Picture], share: float | None, seed: int
) -> tuple[Halves, str]:
    own = split_of_source(pictures) if share is None else None
    if own is not None:
        return own, "the source's own, which --val-share changes"
    share = VAL_SHARE if share is None else share
    if not 0 <= share < 1:
        raise ValueError(f"--val-share: expected 0 or more and less than 1: {share:g}")
    try:
        return split(pictures, share, seed)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None
