"""Numbers of an annotation file: as text or floats they are numbers like any other."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np

from qepose_tf.data.coco.problems import Problems, shown

_WHOLE = re.compile(r"\s*[+-]?[0-9]{1,18}(\.0*)?\s*")  # more digits overflow 64 bits
MAX_POSITION = 1e6  # px; nothing that is farther out is taken for a place


class Numbers(NamedTuple):
    """What N annotations say in numbers, as exact as the file.

    Attributes:
        keypoints: `[N, K, 3]` float64 (x, y, v); zeros where there are none.
        boxes: `[N, 4]` float64 (x, y, width, height); zeros where there is none.
        has_box: `[N]` bool.
        area: `[N]` float64, NaN where there is none.
    """

    keypoints: np.ndarray
    boxes: np.ndarray
    has_box: np.ndarray
    area: np.ndarray

    def of_rows(self, rows: np.ndarray) -> "Numbers":
        """Copies of the numbers of some of the annotations."""
        return Numbers(*(values[rows] for values in self))


def whole_number(value: Any) -> int | None:
    """A number of at most 18 digits, also as text or 7.0; None for anything else."""
    if type(value) is int:
        return value if abs(value) < 10**18 else None
    if isinstance(value, float):
        return int(value) if abs(value) < 2**53 and value.is_integer() else None
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value.partition(".")[0])
    return None


def read_numbers(
    annotations: Sequence[dict[str, Any]], num_keypoints: int, problems: Problems
) -> Numbers:
    """The keypoints, boxes and areas of annotations.

    Numbers may be text, keypoints nested as `[[x, y, v], ...]`, and null is no number.

    Args:
        annotations: N entries of a COCO file.
        num_keypoints: K.
        problems: Collects what was left out.

    Raises:
        ValueError: Something else than numbers stands where numbers are expected;
            names the annotation and the field.
    """
    texts = problems.texts
    source, count = problems.source, 3 * num_keypoints
    keypoints, wrong = _rows(source, annotations, "keypoints", count, texts)
    _tell_wrong_lengths(annotations, wrong, num_keypoints, problems)
    boxes, wrong = _rows(source, annotations, "bbox", 4, texts)
    for row in wrong:
        if annotations[row].get("bbox"):
            refuse(source, annotations[row], "bbox", "4 numbers")
    has_box = np.asarray((np.abs(boxes) <= MAX_POSITION).all(axis=-1))
    has_box[wrong] = False
    boxes[~has_box] = 0.0
    boxes[:, 2:] = np.maximum(boxes[:, 2:], 0.0)
    area = np.array([_area(source, entry, texts) for entry in annotations], np.float64)
    return Numbers(keypoints.reshape(-1, num_keypoints, 3), boxes, has_box, area)


def refuse(
    source: str, annotation: dict[str, Any], field: str, wanted: str
) -> NoReturn:
    """Raises `ValueError` for a field of an annotation."""
    raise ValueError(
        f"{source}: annotation {shown(annotation.get('id'))}: {field}: expected "
        f"{wanted}, got {shown(annotation.get(field))}"
    )


def _tell_wrong_lengths(
    annotations: Sequence[dict[str, Any]],
    wrong: list[int],
    num_keypoints: int,
    problems: Problems,
) -> None:
    posed = [row for row in wrong if annotations[row].get("keypoints")]
    wanted = f"{3 * num_keypoints} numbers"
    if posed and len(wrong) == len(annotations):
        first = annotations[posed[0]]
        raise ValueError(
            f"{problems.source}: annotation {shown(first.get('id'))}: keypoints: "
            f"expected {wanted} (x, y, v of {num_keypoints} keypoints), got "
            f"{len(first['keypoints'])}; no annotation has {wanted}"
        )
    problems.add(
        len(wrong),
        f"annotations whose keypoints are not {wanted}; their region is ignored",
        f"annotation {shown(annotations[wrong[0]].get('id'))}" if wrong else None,
    )


def _rows(
    source: str,
    annotations: Sequence[dict[str, Any]],
    field: str,
    length: int,
    texts: Counter[str],
) -> tuple[np.ndarray, list[int]]:
    """Lists of `length` numbers `[N, length]`, and which rows are zeros: others."""
    wanted = f"{length} numbers"
    rows, fits, lists = np.zeros((len(annotations), length)), [], []
    for row, annotation in enumerate(annotations):
        value = annotation.get(field)
        if not value:
            continue
        if not isinstance(value, list):
            refuse(source, annotation, field, wanted)
        if isinstance(value[0], list) and field == "keypoints":
            value = _flat(value)
        if len(value) == length:
            fits.append(row)
            lists.append(value)
        elif any(isinstance(number, list | dict) for number in value):
            refuse(source, annotation, field, wanted)
    if fits:
        together = _array(lists)
        if together is None:
            parsed = [list_of_numbers(value) for value in lists]
            for row, numbers in zip(fits, parsed, strict=True):
                if numbers is None:
                    refuse(source, annotations[row], field, wanted)
            together = np.array(parsed, np.float64)
            count = sum(any(isinstance(v, str) for v in value) for value in lists)
            if count:
                texts[field] += count
        rows[fits] = together
    return rows, sorted(set(range(len(annotations))).difference(fits))


def _flat(values: list[Any]) -> list[Any]:
    """`[[x, y, v], ...]` as `[x, y, v, ...]`; anything else as it is."""
    if all(isinstance(value, list) and len(value) == 3 for value in values):
        return [number for value in values for number in value]
    return values


def _array(lists: list[list[Any]]) -> np.ndarray | None:
    """All rows at once, for a data set has millions of numbers; None if one is odd."""
    try:
        together = np.array(lists)
    except ValueError:  # rows with lists in them
        return None
    return together if together.ndim == 2 and together.dtype.kind in "iuf" else None


def list_of_numbers(values: list[Any]) -> list[float] | None:
    """Numbers, text of numbers and null (NaN) as floats; None for anything else."""
    row = [_number(value) for value in values]
    numbers = [number for number in row if number is not None]
    return numbers if len(numbers) == len(row) else None


def _number(value: Any) -> float | None:
    """A number, NaN for null; None for what is no number."""
    if value is None:
        return math.nan
    if not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf
    except ValueError:
        return None


def _area(source: str, annotation: dict[str, Any], texts: Counter[str]) -> float:
    value = annotation.get("area")
    if type(value) is float:
        return value
    number = None if isinstance(value, bool) else _number(value)
    if number is None:
        refuse(source, annotation, "area", "a number")
    if isinstance(value, str):
        texts["area"] += 1
    return number
