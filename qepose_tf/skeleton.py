"""Keypoint names, flip pairs, limbs and sigmas: the only place that knows them."""

import dataclasses
import difflib
import json
import logging
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from qepose_tf import skeleton_checks as checks
from qepose_tf.files.annotation_tools import advice
from qepose_tf.files.locations import Location, Url, location

logger = logging.getLogger(__name__)

DEFAULT_SIGMA = 0.05  # between COCO's wrists (0.062) and eyes (0.025)

# Each row turns a name on the left side into its name on the right side.
_LEFT_TO_RIGHT = (
    (r"left", "right"),
    (r"Left", "Right"),
    (r"LEFT", "RIGHT"),
    (r"(?<![A-Za-z])l(?![A-Za-z])", "r"),
    (r"(?<![A-Za-z])L(?![A-Za-z])", "R"),
)


@dataclasses.dataclass(frozen=True)
class Skeleton:
    """What a pose consists of: K named keypoints and how they relate.

    Attributes:
        name: Of the skeleton, for messages.
        keypoints: K unique names, in the order of every `[..., K, 2]` tensor.
        flip_pairs: Pairs of names that change places in a mirrored image.
        limbs: Pairs of names between which a line is drawn.
        sigmas: K per-keypoint constants of OKS, as in pycocotools (`k_i = 2 sigma_i`).
        flip_pairs_given: Whether somebody said which pairs there are, so that none
            means none; False where they were looked for in the names, or left out.

    Raises:
        ValueError: The names, pairs, limbs or sigmas contradict each other.

    Example:
        >>> ends = ("nose", "tail")
        >>> dog = Skeleton("dog", ends, (), limbs=(ends,), sigmas=(0.03, 0.1))
        >>> dog.num_keypoints, dog.limb_indices
        (2, ((0, 1),))
    """

    name: str
    keypoints: tuple[str, ...]
    flip_pairs: tuple[tuple[str, str], ...]
    limbs: tuple[tuple[str, str], ...]
    sigmas: tuple[float, ...]
    flip_pairs_given: bool = dataclasses.field(default=True, compare=False, repr=False)

    def __post_init__(self) -> None:
        where = f"skeleton {self.name!r}"
        keypoints = checks.checked_names(self.keypoints, f"{where}: keypoints")
        pairs = checks.checked_pairs(self.flip_pairs, keypoints, f"{where}: flip_pairs")
        checks.check_symmetry(pairs, f"{where}: flip_pairs")
        limbs = checks.checked_pairs(self.limbs, keypoints, f"{where}: limbs")
        sigmas = checks.checked_sigmas(self.sigmas, len(keypoints), f"{where}: sigmas")
        object.__setattr__(self, "keypoints", keypoints)
        object.__setattr__(self, "flip_pairs", pairs)
        object.__setattr__(self, "limbs", limbs)
        object.__setattr__(self, "sigmas", sigmas)

    @property
    def num_keypoints(self) -> int:
        """K."""
        return len(self.keypoints)

    @property
    def flip_permutation(self) -> tuple[int, ...]:
        """K indices: entry k of a mirrored pose is entry `permutation[k]` before."""
        permutation = list(range(self.num_keypoints))
        for first, second in self._indices(self.flip_pairs):
            permutation[first], permutation[second] = second, first
        return tuple(permutation)

    @property
    def limb_indices(self) -> tuple[tuple[int, int], ...]:
        """The limbs as pairs of 0-based keypoint indices."""
        return self._indices(self.limbs)

    def _indices(self, pairs: Sequence[tuple[str, str]]) -> tuple[tuple[int, int], ...]:
        position = {name: index for index, name in enumerate(self.keypoints)}
        return tuple((position[first], position[second]) for first, second in pairs)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and strings, as `from_dict`, JSON and YAML take them."""
        return {
            "name": self.name,
            "keypoints": list(self.keypoints),
            "flip_pairs": [list(pair) for pair in self.flip_pairs],
            "limbs": [list(limb) for limb in self.limbs],
            "sigmas": list(self.sigmas),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Skeleton":
        """Makes a skeleton from `to_dict`'s form; pairs, limbs, sigmas may be missing.

        Missing sigmas are a warning that names the value used.

        Raises:
            ValueError: A key is unknown, or a value is not what a skeleton needs.
        """
        if not isinstance(values, dict):
            raise ValueError(
                f"skeleton: expected a mapping with 'name' and 'keypoints', "
                f"got {type(values).__name__}"
            )
        known = [field.name for field in dataclasses.fields(cls) if field.compare]
        for key in values:
            if key not in known:
                near = difflib.get_close_matches(str(key), known, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"expected {known}"
                raise ValueError(f"skeleton: unknown key {key!r}, {hint}")
        name = values.get("name")
        if not isinstance(name, str) or not name:
            raise ValueError(f"skeleton: name: expected a string, got {name!r}")
        where = f"skeleton {name!r}"
        keypoints = checks.checked_names(values.get("keypoints"), f"{where}: keypoints")
        sigmas = values.get("sigmas")
        return cls(
            name=name,
            keypoints=keypoints,
            flip_pairs=values.get("flip_pairs") or (),
            limbs=values.get("limbs") or (),
            sigmas=_default_sigmas(where, len(keypoints)) if sigmas is None else sigmas,
            flip_pairs_given=values.get("flip_pairs") is not None,
        )

    @classmethod
    def from_coco_category(
        cls,
        category: dict[str, Any],
        sigmas: Sequence[float] | None = None,
        flip_pairs: Sequence[tuple[str, str]] | None = None,
    ) -> "Skeleton":
        """Makes a skeleton from an entry of a COCO file's `categories`.

        Where the names are those of a built-in skeleton, its own are taken.
        Otherwise pairs are guessed from names such as left_x/right_x (the guess is
        logged), and sigmas default with a warning.

        Args:
            category: `name`, `keypoints` and optionally `skeleton` (1-based limbs;
                what cannot be read of them is left out with a warning).
            sigmas: K constants of OKS.
            flip_pairs: Pairs of names that change places in a mirrored image.

        Raises:
            ValueError: The category has no valid keypoints.
        """
        if not isinstance(category, dict):
            raise ValueError(f"category: expected a mapping, got {category!r}")
        name = str(category.get("name", "unnamed"))
        where = f"category {name!r}"
        keypoints = checks.checked_names(
            category.get("keypoints"), f"{where}: keypoints"
        )
        builtin = next((s for s in BUILTIN.values() if s.keypoints == keypoints), None)
        if builtin is None:
            limbs = checks.usable_coco_limbs(category.get("skeleton"), keypoints, where)
        else:
            limbs = builtin.limbs  # CrowdPose's files list those of COCO's 17
            flip_pairs = builtin.flip_pairs if flip_pairs is None else flip_pairs
            sigmas = builtin.sigmas if sigmas is None else sigmas
        given = flip_pairs is not None
        if flip_pairs is None:
            flip_pairs = guess_flip_pairs(keypoints)
            logger.info("%s: flip pairs guessed from names: %s", where, flip_pairs)
        if sigmas is None:
            sigmas = _default_sigmas(where, len(keypoints))
        return cls(name, keypoints, tuple(flip_pairs), limbs, tuple(sigmas), given)

    @classmethod
    def from_yaml(cls, path: Location) -> "Skeleton":
        """Reads a YAML file in `to_dict`'s form.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: The file is no skeleton; the message names the file.
        """
        try:
            values = yaml.safe_load(_read_text(path))
        except yaml.YAMLError as error:
            reason = " ".join(str(error).split())
            raise ValueError(f"{path}: expected a YAML skeleton, {reason}") from None
        try:
            return cls.from_dict(values)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    @classmethod
    def load(
        cls, source: Location, categories: Sequence[str] | None = None
    ) -> "Skeleton":
        """Finds a skeleton by built-in name, YAML file or COCO annotation file.

        Args:
            source: "coco", "crowdpose", or a path or URL that ends in .yaml, .yml or
                .json.
            categories: Names of those categories of a COCO file that are read; by
                default all that have keypoints. Their keypoints are the same.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: The source is neither a known name nor a valid file.
        """
        if str(source) in BUILTIN:
            return BUILTIN[str(source)]
        path = location(source)
        if path.name.endswith((".yaml", ".yml")):
            return cls.from_yaml(path)
        if path.name.endswith(".json"):
            return _from_coco_file(path, categories)
        raise ValueError(
            f"skeleton {str(source)!r}: expected one of {sorted(BUILTIN)} or the path "
            "of a .yaml skeleton or a COCO .json"
        )


def guess_flip_pairs(keypoints: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Pairs names that differ only in left/right or a lone l/r, as in `l_knee`."""
    pairs: dict[str, str] = {}
    for name in keypoints:
        for pattern, replacement in _LEFT_TO_RIGHT:
            mirrored = re.sub(pattern, replacement, name)
            if mirrored != name and mirrored in keypoints:
                if name not in pairs and mirrored not in pairs.values():
                    pairs[name] = mirrored
                break
    return tuple(pairs.items())


def _read_text(path: Location) -> str:
    try:
        return location(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path}: no such skeleton file (that of a config is looked for beside the "
            "config, in the working folder and below data.root)"
        ) from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}: expected a text file") from None


def _from_coco_file(path: Path | Url, names: Sequence[str] | None) -> Skeleton:
    text = _read_text(path)
    try:
        categories = json.loads(text)["categories"]
    except (ValueError, RecursionError, TypeError, KeyError) as error:
        raise ValueError(
            f"{path}: expected COCO JSON with categories: "
            f"{error}{advice(path, text.encode())}"
        ) from None
    if not isinstance(categories, list):
        raise ValueError(
            f"{path}: expected a list of categories, got {type(categories).__name__}"
            f"{advice(path, text.encode())}"
        )
    entries = [entry for entry in categories if isinstance(entry, dict)]
    chosen = checks.checked_categories(entries, names, str(path))
    try:
        return Skeleton.from_coco_category(chosen[0])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _default_sigmas(where: str, count: int) -> tuple[float, ...]:
    warnings.warn(
        f"{where}: no sigmas given, {DEFAULT_SIGMA} is used for each of the {count} "
        "keypoints; OKS and AP are not comparable with figures for measured sigmas",
        stacklevel=3,
    )
    return (DEFAULT_SIGMA,) * count


_COCO_PAIRS = tuple(
    (f"left_{part}", f"right_{part}")
    for part in "eye ear shoulder elbow wrist hip knee ankle".split()
)
# In the order of COCO's own annotation files.
_COCO_LIMBS = (
    ("left_ankle", "left_knee"),
    ("left_knee", "left_hip"),
    ("right_ankle", "right_knee"),
    ("right_knee", "right_hip"),
    ("left_hip", "right_hip"),
    ("left_shoulder", "left_hip"),
    ("right_shoulder", "right_hip"),
    ("left_shoulder", "right_shoulder"),
    ("left_shoulder", "left_elbow"),
    ("right_shoulder", "right_elbow"),
    ("left_elbow", "left_wrist"),
    ("right_elbow", "right_wrist"),
    ("left_eye", "right_eye"),
    ("nose", "left_eye"),
    ("nose", "right_eye"),
    ("left_eye", "left_ear"),
    ("right_eye", "right_ear"),
    ("left_ear", "left_shoulder"),
    ("right_ear", "right_shoulder"),
)

# Measured by COCO's authors; CrowdPose gives head and neck the shoulders' value.
_SIGMAS = {
    **dict(nose=0.026, eye=0.025, ear=0.035, shoulder=0.079, elbow=0.072),
    **dict(wrist=0.062, hip=0.107, knee=0.087, ankle=0.089, head=0.079, neck=0.079),
}


def _builtin(
    name: str,
    pairs: tuple[tuple[str, str], ...],
    first: tuple[str, ...],
    last: tuple[str, ...],
    limbs: tuple[tuple[str, str], ...],
) -> Skeleton:
    keypoints = (*first, *(keypoint for pair in pairs for keypoint in pair), *last)
    sigmas = tuple(_SIGMAS[keypoint.split("_")[-1]] for keypoint in keypoints)
    return Skeleton(name, keypoints, pairs, limbs, sigmas)


COCO = _builtin("coco", _COCO_PAIRS, ("nose",), (), _COCO_LIMBS)

_NECK_LIMBS = (
    ("head", "neck"),
    ("neck", "left_shoulder"),
    ("neck", "right_shoulder"),
)
CROWDPOSE = _builtin(
    "crowdpose",
    _COCO_PAIRS[2:],
    (),
    ("head", "neck"),
    (*_COCO_LIMBS[:12], *_NECK_LIMBS),
)

BUILTIN = {skeleton.name: skeleton for skeleton in (COCO, CROWDPOSE)}
