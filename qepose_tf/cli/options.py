"""Options that several commands have, and the check of what they will write."""

from pathlib import Path
from typing import Annotated

import typer

from qepose_tf.cli.terminal import STDOUT
from qepose_tf.files.whole_files import writable_folder

Model = Annotated[Path, typer.Argument(help="A .keras model file.", show_default=False)]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", show_default=False)
]
Json = Annotated[
    Path | None,
    typer.Option("--json", metavar="[FILE]", help="Write the result as JSON."),
]
Flip = Annotated[
    bool, typer.Option("--flip", help="Look at the mirrored image, too, and average.")
]
Scales = Annotated[
    str,
    typer.Option(metavar="S,S,...", help="Sizes to look at, such as 0.5,1,2; merged."),
]
NmsDistance = Annotated[
    float | None,
    typer.Option(min=0, help="Share of a pose's size that makes two poses one."),
]
MaxDetections = Annotated[
    int | None, typer.Option(min=1, help="People per image, at most.")
]
ScoreThreshold = Annotated[
    float | None, typer.Option(min=0, max=1, help="Decode only what scores more.")
]
Limit = Annotated[int | None, typer.Option(min=1, help="Only the first images.")]


def protocol(
    flip: bool,
    scales: str,
    nms_distance: float | None,
    max_detections: int | None,
    score_threshold: float | None,
) -> dict:
    """The test-time protocol as `Detector` takes it.

    Raises:
        ValueError: the scales are no numbers.
    """
    try:
        numbers = [float(scale) for scale in scales.split(",")]
    except ValueError:
        raise ValueError(
            f"--scales: expected numbers such as 0.5,1,2, got {scales!r}"
        ) from None
    return {
        "flip": flip,
        "scales": numbers,
        "nms_distance": nms_distance,
        "max_detections": max_detections,
        "score_threshold": score_threshold,
    }


def check_outputs(*files: Path | None, folder: bool = False) -> None:
    """Refuses what cannot be written, before any work; the first may be a folder."""
    for index, file in enumerate(files):
        if file is not None and file != STDOUT:
            if file.is_dir() and not (folder and index == 0):
                raise IsADirectoryError(f"{file}: expected a file, got a folder")
            writable_folder(file.parent)
