"""HRNet weights of other projects, and the files that this project makes of them."""

import logging
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import keras

from qepose_tf.files.whole_files import whole, writable_folder
from qepose_tf.weights.matching import Match, match_tensors, variant_of
from qepose_tf.weights.state_dict import read_checkpoint

logger = logging.getLogger(__name__)

SUFFIX = ".weights.h5"
HDF5 = b"\x89HDF\r\n\x1a\n"
# What h5py and Keras raise over files that are not what they expect.
UNREADABLE = (
    *(AttributeError, LookupError, OSError, RuntimeError),
    *(TypeError, UserWarning, ValueError),
)
BACKBONE = "qepose_tf.backbone"  # the file's attribute that names the variant


@dataclass(frozen=True)
class ImportReport:
    """What became of a checkpoint.

    Attributes:
        checkpoint: the file.
        source: the kind of network it is of.
        backbone: the body's variant.
        tensors_used: how many of its tensors are in the body now, each once.
        parameters: how many numbers these are, moving statistics included.
        unused: names of the tensors that are left out on purpose, by group.
        kept_at_initial: names of the tensors that a pose HRNet does not have; the
            body's weights there stay what they were.
        others: what the file holds beside the weights.
    """

    checkpoint: str
    source: str
    backbone: str
    tensors_used: int
    parameters: int
    unused: dict[str, list[str]]
    kept_at_initial: list[str]
    others: list[str]

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)

    def lines(self) -> list[str]:
        """What a person wants to know, one fact per line."""
        told = [
            f"{self.checkpoint}: {self.source}, {self.backbone}",
            f"used: {self.tensors_used} tensors, {self.parameters:,} numbers",
        ]
        told += [
            f"unused: {group}, {len(names)} tensors"
            for group, names in self.unused.items()
        ]
        if self.kept_at_initial:
            told.append(
                f"kept at their initial values: {len(self.kept_at_initial)} tensors "
                f"that this network does not have, from {self.kept_at_initial[0]} to "
                f"{self.kept_at_initial[-1]}"
            )
        if self.others:
            told.append(f"unused: {', '.join(self.others)}")
        return told


def import_weights(
    checkpoint: str | Path, model: keras.Model, out: str | Path | None = None
) -> ImportReport:
    """Puts a PyTorch checkpoint's weights into the model's body.

    Nothing in the checkpoint is executed, and no weight changes before all of it has
    been checked.

    Args:
        checkpoint: of `torch.save` or safetensors: HRNet for ImageNet or pose, DEKR,
            timm or mmpose; for `efficientnet_lite0`, that network for ImageNet.
        model: a `PoseEstimator`.
        out: also write the body's weights to this file, which ends in `.weights.h5`.

    Raises:
        OSError: a file cannot be read or written.
        ValueError: the checkpoint does not fit the body; the line says what and where.
    """
    if out is not None:
        if not str(out).endswith(SUFFIX):
            raise ValueError(f"{out}: expected a file name that ends in {SUFFIX}")
        writable_folder(Path(out).parent)
    body = model.body
    read = read_checkpoint(checkpoint)
    try:
        match = match_tensors(read.tensors, body)
    except ValueError as error:
        raise ValueError(f"{checkpoint}: {error}") from None
    for variable, value in match.values:
        variable.assign(value)
    report = _report(checkpoint, body, match, read.others)
    for line in report.lines():
        logger.info(line)
    if report.kept_at_initial:
        logger.warning(
            "%s: %d of the backbone's tensors stay at their initial values",
            checkpoint,
            len(report.kept_at_initial),
        )
    if out is not None:
        save_body(body, out)
    return report


def _report(
    checkpoint: str | Path, body: keras.Model, match: Match, others: list[str]
) -> ImportReport:
    return ImportReport(
        checkpoint=str(checkpoint),
        source=match.source,
        backbone=variant_of(body),
        tensors_used=len(match.values),
        parameters=sum(value.size for _, value in match.values),
        unused=match.unused,
        kept_at_initial=match.kept,
        others=others,
    )


def save_body(body: keras.Model, path: str | Path) -> None:
    """Writes the body's weights; the file is there completely or as it was before.

    Raises:
        OSError: the file cannot be written.
    """
    with whole(path) as temporary:
        body.save_weights(temporary)
        with h5py.File(temporary, "a") as file:
            file.attrs[BACKBONE] = variant_of(body)


def load_backbone_weights(model: keras.Model, path: str | Path) -> None:
    """Starts the model's body from a file of `import_weights` or from a checkpoint.

    Args:
        model: a `PoseEstimator`.
        path: a `.weights.h5` file, or what `import_weights` takes.

    Raises:
        OSError: the file cannot be read.
        ValueError: it does not fit the body, which is left as it was.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: expected backbone weights ({SUFFIX} or a checkpoint), found none"
        )
    with path.open("rb") as file:
        is_hdf5 = file.read(len(HDF5)) == HDF5
    if is_hdf5:
        _load_body(model.body, path)
        logger.info("%s: weights of %s", path, variant_of(model.body))
    else:
        import_weights(path, model)


def _load_body(body: keras.Model, path: Path) -> None:
    wanted = variant_of(body)
    if not path.name.endswith(SUFFIX):
        raise ValueError(f"{path}: expected a file name that ends in {SUFFIX}")
    before = body.get_weights()
    try:
        with h5py.File(path) as file:
            found = file.attrs.get(BACKBONE, wanted)
        if found != wanted:
            raise ValueError(f"these are of {str(found)[:20]}")
        with warnings.catch_warnings():
            # Keras only warns of a layer whose weights it does not find.
            warnings.simplefilter("error", UserWarning)
            body.load_weights(path)
    except UNREADABLE as error:
        body.set_weights(before)
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(
            f"{path}: expected weights of the backbone {wanted}, but {reason}"
        ) from None
