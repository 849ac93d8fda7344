"""What the names, pairs and sigmas of a skeleton must be.

Each function takes a value as it came from a file and returns it as tuples, or raises
a ValueError that begins with `where`.
"""

import difflib
import math
from typing import Any

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


def checked_coco_limbs(
    limbs: Any, keypoints: tuple[str, ...], where: str
) -> tuple[tuple[str, str], ...]:
    """The limbs of a COCO category: 1-based pairs of numbers, as names."""
    count = len(keypoints)
    for limb in limbs:
        numbers = limb if isinstance(limb, list | tuple) else ()
        valid = all(isinstance(n, int) and 1 <= n <= count for n in numbers)
        if len(numbers) != 2 or not valid:
            raise ValueError(
                f"{where}: skeleton: expected pairs of numbers 1 to {count}, "
                f"got {limb!r}"
            )
    return tuple((keypoints[a - 1], keypoints[b - 1]) for a, b in limbs)
