"""Imports weights of PyTorch checkpoints, and writes and reads weights files."""

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
# The errors of h5py and Keras for files that they cannot read.
UNREADABLE = (
    *(AttributeError, LookupError, OSError, RuntimeError),
    *(TypeError, UserWarning, ValueError),
)
BACKBONE = "qepose_tf.backbone"  # the attribute of the file that names the body


@dataclass(frozen=True)
class ImportReport:
    """A report on which tensors of a checkpoint were imported.

    Attributes:
        checkpoint: The path of the checkpoint.
        source: The kind of network that the checkpoint is of.
        backbone: The name of the body.
        tensors_used: The number of tensors that were imported, each once.
        parameters: The number of parameters in them, with moving statistics.
        unused: The names of tensors that the body does not need, by group.
        kept_at_initial: The names of tensors that the checkpoint's network does not
            have. These weights of the body are not changed.
        others: The names of other objects in the file, for example an optimiser's
            state.
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
        """Returns the report as a dict, ready for JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Returns the report as lines of text."""
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
    """Imports the weights of a PyTorch checkpoint into the model's body.

    No code in the checkpoint is executed. The whole checkpoint is checked before the
    first weight is changed.

    Args:
        checkpoint: A file of `torch.save` or safetensors. For HRNet, it may be of HRNet
            for ImageNet or for poses, DEKR, timm or mmpose; for `efficientnet_lite0`,
            of EfficientNet-Lite0 for ImageNet.
        model: A `PoseEstimator`.
        out: A file to write the body's weights to, with a name that ends in
            `.weights.h5`. With None, no file is written.

    Returns:
        A report on which tensors were imported.

    Raises:
        OSError: A file cannot be read or written.
        ValueError: The checkpoint does not fit the body. The message names the tensor.

    Example:
        >>> report = import_weights("hrnet_w32.pth", model)  # doctest: +SKIP
        >>> report.tensors_used, report.unused  # doctest: +SKIP
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
    """Writes the body's weights to a file, completely or not at all.

    Args:
        body: The body of a `PoseEstimator`.
        path: The file, with a name that ends in `.weights.h5`.

    Raises:
        OSError: The file cannot be written.
    """
    with whole(path) as temporary:
        body.save_weights(temporary)
        with h5py.File(temporary, "a") as file:
            file.attrs[BACKBONE] = variant_of(body)


def load_backbone_weights(model: keras.Model, path: str | Path) -> None:
    """Loads the weights of the model's body from a weights file or a checkpoint.

    Args:
        model: A `PoseEstimator`.
        path: A `.weights.h5` file of `import_weights`, or a checkpoint.

    Raises:
        OSError: The file cannot be read.
        ValueError: The file does not fit the body. The weights are not changed.
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
            # Keras only warns if it does not find the weights of a layer.
            warnings.simplefilter("error", UserWarning)
            body.load_weights(path)
    except UNREADABLE as error:
        body.set_weights(before)
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(
            f"{path}: expected weights of the backbone {wanted}, but {reason}"
        ) from None
