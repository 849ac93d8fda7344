"""What the names, pairs and sigmas of a skeleton must be.

Each function takes a value as it came from a file and returns it as tuples, or raises
a ValueError that begins with `where`. Only limbs of a COCO file are never an error.
"""

import difflib
import logging
import math
from collections.abc import Sequence
from typing import Any

logger = logging.getLogger(__name__)

MAX_KEYPOINTS = 133  # COCO-WholeBody, the largest skeleton in use


def checked_names(value: Any, where: str) -> tuple[str, ...]:
    """Names: 1 to 133 unique, non-empty strings."""
    if not isinstance(value, list | tuple) or not all(
        isinstance(name, str) and name for name in value
    ):
        raise ValueError(f"{where}: expected a list of names, got {value!r}")
    if not 1 <= len(value) <= MAX_KEYPOINTS:
        raise ValueError(f"{where}: expected 1 to {MAX_KEYPOINTS}, got {len(value)}")
    repeated = sorted({name for name in value if value.count(name) > 1})
    if repeated:
        raise ValueError(f"{where}: expected unique names, got {repeated} repeatedly")
    return tuple(value)


def checked_pairs(
    value: Any, keypoints: tuple[str, ...], where: str
) -> tuple[tuple[str, str], ...]:
    """Pairs of two different names out of `keypoints`."""
    if not isinstance(value, list | tuple):
        raise ValueError(f"{where}: expected a list of pairs of names, got {value!r}")
    for pair in value:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise ValueError(f"{where}: expected a pair of names, got {pair!r}")
        for name in pair:
            if name not in keypoints:
                near = difflib.get_close_matches(str(name), keypoints, 1)
                hint = f", did you mean {near[0]!r}?" if near else ""
                raise ValueError(f"{where}: unknown keypoint {name!r}{hint}")
        if pair[0] == pair[1]:
            raise ValueError(f"{where}: expected two different names, got {pair!r}")
    return tuple((first, second) for first, second in value)


def check_symmetry(pairs: tuple[tuple[str, str], ...], where: str) -> None:
    """Each name stands in at most one pair, so that flipping twice is identity."""
    seen: set[str] = set()
    for name in (name for pair in pairs for name in pair):
        if name in seen:
            raise ValueError(f"{where}: expected {name!r} in at most one pair")
        seen.add(name)


def checked_sigmas(value: Any, count: int, where: str) -> tuple[float, ...]:
    """As many positive finite numbers as there are keypoints."""
    if not isinstance(value, list | tuple) or len(value) != count:
        raise ValueError(f"{where}: expected {count} positive numbers, got {value!r}")
    for number in value:
        is_number = isinstance(number, int | float) and not isinstance(number, bool)
        if not is_number or not math.isfinite(number) or number <= 0:
            raise ValueError(f"{where}: expected a positive number, got {number!r}")
    return tuple(float(number) for number in value)


def checked_categories(
    categories: Sequence[dict[str, Any]], names: Sequence[str] | None, where: str
) -> list[dict[str, Any]]:
    """The categories of a COCO file whose instances are read as one class.

    Args:
        categories: Entries of the file's `categories`.
        names: Of those that are read; None reads all that have keypoints, or the only
            one.
        where: Begins the messages.

    Returns:
        One or more entries. The keypoints of all are the same.

    Raises:
        ValueError: No category has keypoints, a name is that of no category, or the
            keypoints differ.
    """
    known = [str(entry.get("name")) for entry in categories]
    for name in names or ():
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f", did you mean {near[0]!r}?" if near else f" among {known}"
            raise ValueError(f"{where}: data.categories: no category {name!r}{hint}")
    chosen = [
        entry
        for entry in categories
        if (str(entry.get("name")) in names if names else entry.get("keypoints"))
    ]
    if not chosen and len(categories) == 1:
        return [*categories]  # some tools leave the names out
    if not chosen:
        raise ValueError(
            f"{where}: expected a category with keypoints, got none among {known}"
        )
    first = chosen[0]
    for other in chosen[1:]:
        if (other.get("keypoints") or []) != (first.get("keypoints") or []):
            raise ValueError(
                f"{where}: categories {first.get('name')!r} and {other.get('name')!r} "
                "have different keypoints; name the ones to read in data.categories "
                f"(data.categories=[{first.get('name')}], in Python categories=[...])"
            )
    return chosen


def usable_coco_limbs(
    limbs: Any, keypoints: tuple[str, ...], where: str
) -> tuple[tuple[str, str], ...]:
    """The limbs of a COCO category as pairs of names.

    Limbs only decide which lines are drawn. So those that cannot be read are left out
    with a warning, and limbs that are counted from 0 are read as such.

    Args:
        limbs: Pairs of numbers, which COCO counts from 1.
        keypoints: K names.
        where: Begins the warnings.
    """
    count = len(keypoints)
    entries = limbs if isinstance(limbs, list | tuple) else [limbs] if limbs else []
    pairs = [_pair_of_numbers(limb) for limb in entries]
    numbers = [number for pair in pairs if pair for number in pair]
    first = 0 if 0 in numbers and max(numbers) < count else 1
    if first == 0:
        logger.warning(
            "%s: skeleton: limbs are counted from 0 and read so, COCO counts from 1",
            where,
        )
    usable: list[tuple[str, str]] = []
    unusable = []
    for limb, pair in zip(entries, pairs, strict=True):
        places = [number - first for number in pair or ()]
        if pair and places[0] != places[1] and all(0 <= p < count for p in places):
            usable.append((keypoints[places[0]], keypoints[places[1]]))
        else:
            unusable.append(limb)
    if unusable:
        text = repr(unusable[0])
        logger.warning(
            "%s: skeleton: %d of %d limbs are no pairs of different numbers from "
            "1 to %d and are not drawn (first: %s)",
            *(where, len(unusable), len(entries), count, text[:60]),
        )
    return tuple(usable)


def _pair_of_numbers(limb: Any) -> tuple[int, int] | None:
    """A pair of whole numbers, also as text or 1.0; None for anything else."""
    if not isinstance(limb, list | tuple) or len(limb) != 2:
        return None
    try:
        first, second = (float(number) for number in limb)
    except (TypeError, ValueError, OverflowError):
        return None
    if not (first.is_integer() and second.is_integer()):
        return None
    return int(first), int(second)
