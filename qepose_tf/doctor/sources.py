"""The data sets that a doctor looks at: an annotation file, or those of a config."""

import contextlib
import dataclasses
import logging
import warnings
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

from qepose_tf.building import started
from qepose_tf.config.reading import load_config
from qepose_tf.data.coco.dataset import CocoDataset, ImageRecord, read_coco
from qepose_tf.files.locations import Location, Url, location
from qepose_tf.skeleton import Skeleton
from qepose_tf.training.building import steps_per_epoch
from qepose_tf.training.data_checks import checked_datasets

_INPUT_SIZE = 512  # the defaults of configs
_MIN_AREA = 1024.0
_CONFIGS = (".yaml", ".yml")
# Whose remarks are worth a line, too: what they guessed and how cameras were held.
_TELLING = ("qepose_tf.data.coco", "qepose_tf.skeleton")


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
    """One data set and what its reader said.

    Attributes:
        name: "training", "validation", or one of several.
        path: The annotation file, as text.
        records: Of its pictures.
        validates: Whether it is the validation set.
    """

    name: str
    path: str
    records: list[ImageRecord]
    validates: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class Sources:
    """All that will be looked at.

    Attributes:
        skeleton: Of all data sets.
        sources: One or more.
        notes: What the readers warned of, one line each.
        input_size: The short side that a model sees, in pixels.
        min_area: Below which people are not taught, in pixels of the picture.
        same_twice: Whether training and validation are one data set.
        failure: Why the config does not fit its data; empty where it does.
    """

    skeleton: Skeleton
    sources: list[Source]
    notes: list[str]
    input_size: int = _INPUT_SIZE
    min_area: float = _MIN_AREA
    same_twice: bool = False
    failure: str = ""


def picture_name(record: ImageRecord) -> str:
    """What stands behind the last slash of a picture's file."""
    return str(record.file).replace("\\", "/").rpartition("/")[2]


def read_sources(
    path: Location, images: Location | None = None, overrides: Sequence[str] = ()
) -> Sources:
    """Reads what training would read, and fails where training would.

    Args:
        path: A COCO file, or a config (.yaml or .yml).
        images: The folder of a COCO file's pictures; None looks beside the file.
        overrides: Of a config, such as `data.root=/data`.

    Raises:
        OSError: A file is missing or cannot be read.
        ValueError: The config or the data are not what they should be.
    """
    if Path(str(path)).suffix.lower() in _CONFIGS:
        if images is not None:
            raise ValueError(
                f"{path}: expected no --images with a config, which names its own"
            )
        return _of_config(Path(str(path)), overrides)
    if overrides:
        raise ValueError(f"{path}: expected key=value with a config (.yaml) only")
    with _heard() as notes:
        coco = _read(location(path), images)
    source = Source("annotations", str(coco.path), coco.records)
    failure = _refusal(lambda: coco.check_learnable(_MIN_AREA))
    return Sources(coco.skeleton, [source], notes, failure=failure)


def _of_config(path: Path, overrides: Sequence[str]) -> Sources:
    config = started(load_config(path, overrides))
    with _heard() as notes:
        skeleton = Skeleton.load(config.skeleton, config.data.categories)
        train, val = checked_datasets(config, skeleton)
    sources = _parts(train)
    same = val is not None and _files(val.records) == _files(train.records)
    if val is not None and not same:
        sources.append(Source("validation", str(val.path), val.records, True))
    failure = _refusal(lambda: steps_per_epoch(config, train, replicas=1))
    return Sources(
        *(train.skeleton, sources, notes, config.model.input_size),
        *(config.data.min_area, same, failure),
    )


def _refusal(check: Callable[[], object]) -> str:
    """What a check of training says; empty where it says nothing."""
    try:
        check()
    except ValueError as error:
        return str(error)
    return ""


def _parts(train: CocoDataset) -> list[Source]:
    """The data sets of a mixture apart: each has its own labels and statistics."""
    sizes = [size for size, _ in train.parts]
    if len(sizes) < 2:
        return [Source("training", str(train.path), train.records)]
    parts, start = [], 0
    for number, size in enumerate(sizes, start=1):
        records = train.records[start : start + size]
        parts.append(Source(f"training {number}", str(records[0].file), records))
        start += size
    return parts


def _files(records: Sequence[ImageRecord]) -> list[str]:
    return [str(record.file) for record in records]


def _read(path: Path | Url, images: Location | None) -> CocoDataset:
    if images is not None:
        return read_coco(path, images)
    if isinstance(path, Url):
        raise ValueError(f"{path}: name the folder of its pictures with --images")
    folder = path.parent
    places = [folder / "images", folder, folder.parent / "images", folder.parent]
    failures = []
    for place in places:
        try:
            return read_coco(path, place)
        except ValueError as error:
            # Only pictures that are elsewhere are worth a look at the next place.
            if "images is in" not in str(error):
                raise
            failures.append(str(error))
    raise ValueError(f"{failures[0]}; name their folder with --images")


@contextlib.contextmanager
def _heard() -> Generator[list[str]]:
    """Collects what the package warns of meanwhile, each line once."""
    lines: list[str] = []

    def add(line: str) -> None:
        if line not in lines:
            lines.append(line)

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno >= logging.WARNING or record.name.startswith(_TELLING):
                add(record.getMessage())

    package, listener = logging.getLogger("qepose_tf"), Listener(logging.INFO)
    package.addHandler(listener)
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always", UserWarning)
            yield lines
        for warning in warned:
            add(str(warning.message))
    finally:
        package.removeHandler(listener)
