"""Annotated pictures: checked at the start, and decoded the way they were annotated."""

import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from qepose_tf.data.coco.problems import Problems, one_line
from qepose_tf.files.locations import Url
from qepose_tf.images.decoding import ImageFile, decode_stored, read_content
from qepose_tf.images.header import read_header
from qepose_tf.images.orientation import QUARTER_TURNS, UPRIGHT, turned

logger = logging.getLogger(__name__)

EXIF = ("auto", "apply", "ignore")
CHECKS = ("header", "decode", "none")

_THREADS = 8
_TOGETHER = 64  # pictures of one task: handing one over takes as long as a header
_NAMED = 5  # of the pictures that cannot be used


class Annotated(Protocol):
    """Those attributes of an `ImageRecord` that decide what its pixels are."""

    @property
    def file(self) -> ImageFile:
        """Where the picture is."""

    @property
    def width(self) -> int:
        """As annotated, in pixels."""

    @property
    def height(self) -> int:
        """As annotated, in pixels."""

    @property
    def exif(self) -> str:
        """One of `EXIF`."""


Kind = TypeVar("Kind", bound=Annotated)


def read_record_image(record: Annotated) -> np.ndarray:
    """Decodes a record's picture to RGB, turned as it was annotated.

    Returns:
        `[height, width, 3]` uint8.

    Raises:
        OSError: The file cannot be read.
        ValueError: The file is broken, or not as large as the annotations say.
    """
    return decode_record_image(record, read_content(record.file))


def decode_record_image(record: Annotated, content: bytes) -> np.ndarray:
    """As `read_record_image`, of the file's content.

    Raises:
        ValueError: See `read_record_image`.
    """
    pixels, orientation = decode_stored(content, str(record.file))
    stored, wanted = pixels.shape[:2], (record.height, record.width)
    if is_turned(record.exif, orientation, stored, wanted):
        pixels = turned(pixels, orientation)
    if pixels.shape[:2] != wanted:
        height, width = pixels.shape[:2]
        hint = ""
        if is_turned("auto", orientation, stored, wanted) or stored == wanted:
            hint = f" with exif {record.exif!r}; 'auto' turns it as it was annotated"
        raise ValueError(
            f"{record.file}: expected {wanted[1]}x{wanted[0]} pixels as annotated, "
            f"got {width}x{height}{hint}"
        )
    return pixels


def is_turned(
    exif: str, orientation: int, stored: Sequence[int], annotated: Sequence[int]
) -> bool:
    """Whether the camera's orientation is applied to a picture.

    With "auto" the sizes tell: a picture by a quarter turn was annotated upright if
    the annotated size is that of the turned picture. What they cannot tell (half
    turns, mirrored and square pictures) stays as stored, as COCO's pictures do.

    Args:
        exif: One of `EXIF`.
        orientation: EXIF's, 1 to 8.
        stored: Height and width of the stored pixels.
        annotated: Height and width in the annotation file.
    """
    if exif != "auto":
        return exif == "apply" and orientation != UPRIGHT
    quarter = orientation in QUARTER_TURNS
    swapped = tuple(stored) == tuple(annotated)[::-1] != tuple(annotated)
    return quarter and swapped


def usable_images(
    images: list[dict[str, Any]],
    row_of_id: dict[int, int],
    images_dir: Path | Url,
    exif: str,
    check: str,
    problems: Problems,
) -> tuple[list[dict[str, Any]], dict[int, int]]:
    """Keeps the images whose file can be used, and says how cameras were held.

    Of local files the headers are read, which takes about a tenth of a millisecond
    each. Files behind a URL are checked when they are read.

    Args:
        images: From `listing.existing_images`.
        row_of_id: From there, too.
        images_dir: The folder that file names are relative to.
        exif: One of `EXIF`.
        check: One of `CHECKS`.
        problems: Collects what was left out.

    Returns:
        As `listing.existing_images`.

    Raises:
        ValueError: None of the images can be used, or an argument is something else.
    """
    for name, value, known in (("exif", exif, EXIF), ("check_images", check, CHECKS)):
        if value not in known:
            raise ValueError(f"{name}: expected {', '.join(known)}, got {value!r}")
    if check == "none" or isinstance(images_dir, Url):
        return images, row_of_id
    pictures = [
        _Listed(images_dir / image["file_name"], image["width"], image["height"], exif)
        for image in images
    ]
    looks = _in_threads(lambda picture: _look(picture, check), pictures)
    faults = [look.fault for look in looks if look.fault is not None]
    if images and len(faults) == len(images):
        raise ValueError(
            f"{problems.source}: none of the {len(images)} images can be used (first: "
            f"{one_line(faults[0])})"
        )
    _add_faults(faults, problems)
    _remark_orientations(looks, exif, problems)
    usable = [look.fault is None for look in looks]
    new_row = np.cumsum(usable) - 1
    images = [image for image, use in zip(images, usable, strict=True) if use]
    rows = {key: int(new_row[row]) for key, row in row_of_id.items() if usable[row]}
    return images, rows


def readable_records(records: Sequence[Kind]) -> list[Kind]:
    """The records whose picture can be decoded; warns of each of the others.

    For those who need as many pictures as records.

    Raises:
        ValueError: None of the pictures can be decoded.
    """
    faults = _in_threads(_fault, records)
    for fault in filter(None, faults):
        logger.warning("%s; left out", fault)
    kept = [r for r, fault in zip(records, faults, strict=True) if fault is None]
    if records and not kept:
        raise ValueError(f"none of {len(records)} images can be read: {faults[0]}")
    return kept


class _Listed(NamedTuple):
    """An `Annotated` that has no record yet."""

    file: Path
    width: int
    height: int
    exif: str


class _Look(NamedTuple):
    """What a check found of a picture.

    Attributes:
        file: Of the picture.
        fault: Why it cannot be used; None where it can.
        orientation: EXIF's.
        told: Whether the sizes tell which way it was annotated.
        turned: Whether the orientation is applied.
    """

    file: ImageFile
    fault: str | None
    orientation: int = UPRIGHT
    told: bool = False
    turned: bool = False


def _look(picture: _Listed, check: str) -> _Look:
    try:
        header = read_header(picture.file)
    except (OSError, ValueError):
        # OpenCV decodes some pictures whose header Pillow does not understand.
        return _Look(picture.file, _fault(picture))
    stored, annotated = header[:2], (picture.height, picture.width)
    turn = is_turned(picture.exif, header.orientation, stored, annotated)
    quarter = header.orientation in QUARTER_TURNS
    fits = (stored[::-1] if turn and quarter else stored) == annotated
    fault = _fault(picture) if check == "decode" or not fits else None
    told = quarter and stored[0] != stored[1]
    return _Look(picture.file, fault, header.orientation, told, turn)


def _fault(picture: Annotated) -> str | None:
    try:
        read_record_image(picture)
    except (OSError, ValueError) as error:
        return str(error)
    return None


Item = TypeVar("Item")
Result = TypeVar("Result")


def _in_threads(ask: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    parts = [items[i : i + _TOGETHER] for i in range(0, len(items), _TOGETHER)]

    def ask_all(part: Iterable[Item]) -> list[Result]:
        return [ask(item) for item in part]

    with ThreadPoolExecutor(_THREADS) as pool:
        return [result for part in pool.map(ask_all, parts) for result in part]


def _add_faults(faults: Sequence[str], problems: Problems) -> None:
    named = "; ".join(one_line(fault) for fault in faults[:_NAMED])
    more = f"; and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
    problems.add(
        len(faults), f"images that cannot be used; left out ({named}{more})", None
    )


def _remark_orientations(looks: Sequence[_Look], exif: str, problems: Problems) -> None:
    """Says how many pictures were annotated which way, and of which it is unknown."""
    marked = [
        look for look in looks if look.orientation != UPRIGHT and look.fault is None
    ]
    if exif != "auto" and marked:
        done = "turned by" if exif == "apply" else "read without"
        line = f"{len(marked)} images are {done} their EXIF orientation (exif {exif!r})"
        problems.remark(logging.INFO, line)
        return
    upright = sum(look.told and look.turned for look in marked)
    as_stored = sum(look.told and not look.turned for look in marked)
    if upright or as_stored:
        problems.remark(
            logging.INFO,
            f"{upright + as_stored} images have an EXIF orientation; by their sizes "
            f"{upright} were annotated turned by it and {as_stored} as they are "
            "stored, and are read so",
        )
    untold = [look for look in marked if not look.told]
    if untold:
        others = ", as the others were" if upright and not as_stored else ""
        problems.remark(
            logging.WARNING,
            f"{len(untold)} images have an EXIF orientation (half turn, mirrored, or "
            "square) whose sizes do not tell which way they were annotated; they are "
            f"read as stored; exif 'apply' turns them{others} "
            f"(first: {one_line(untold[0].file)})",
        )
