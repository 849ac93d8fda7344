"""The options that several commands share, and the check of the files they write."""

from pathlib import Path
from typing import Annotated, Any

import typer

from qepose_tf.cli.terminal import STDOUT
from qepose_tf.files.whole_files import writable_folder
from qepose_tf.presets import preset_of

MIN_SCORE = 0.2

PEOPLE = "people"  # the preset that commands use where no model is named
Model = Annotated[
    Path, typer.Argument(metavar="MODEL", help="A model file or a preset.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE",
        help="Values that replace those of the config.",
        show_default=False,
    ),
]
Json = Annotated[
    Path | None,
    typer.Option(
        "--json",
        metavar="[FILE]",
        help="Write the result as JSON; without FILE, print.",
    ),
]
Flip = Annotated[
    bool,
    typer.Option("--flip", help="Average with the poses of the mirrored image."),
]
Scales = Annotated[
    str,
    typer.Option(metavar="S,S,...", help="Image scales to merge, as 0.5,1,2."),
]
NmsDistance = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE", min=0, help="Suppress closer poses (share of pose size)."
    ),
]
MaxDetections = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="Most people that an image may have."),
]
ScoreThreshold = Annotated[
    float | None,
    typer.Option(metavar="SCORE", min=0, max=1, help="Keep poses of a higher score."),
]
Limit = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="Use only the first N images."),
]
BatchSize = Annotated[
    int, typer.Option(metavar="N", min=1, help="Images that run together.")
]
Exif = Annotated[
    str,
    typer.Option(metavar="NAME", help="EXIF: auto, apply, ignore."),
]

Every = Annotated[
    int, typer.Option(metavar="N", min=1, help="Video: take each Nth frame.")
]
Start = Annotated[
    float, typer.Option(metavar="S", min=0, help="Video: begin at this second.")
]
Stop = Annotated[
    float | None,
    typer.Option(metavar="S", min=0, help="Video: end before this second."),
]
Table = Annotated[
    bool, typer.Option("--csv", help="Video: also write a table, as DeepLabCut does.")
]
Track = Annotated[
    bool, typer.Option("--track", help="Video: give each person a number that stays.")
]
Smooth = Annotated[
    bool, typer.Option("--smooth", help="Video: with --track, smooth the poses.")
]
Show = Annotated[bool, typer.Option("--show", help="Video: show it in a window.")]


def protocol(
    flip: bool,
    scales: str,
    nms_distance: float | None,
    max_detections: int | None,
    score_threshold: float | None,
) -> dict[str, Any]:
    """Returns the test-time options as keyword arguments of `Detector`.

    Args:
        flip: Whether the mirrored image is used, too.
        scales: Numbers between commas.
        nms_distance: The distance below which a pose is suppressed, as a share of
            the pose's size. With None, the model's setting is used; likewise below.
        max_detections: The most people of an image.
        score_threshold: The score above which a pose is kept.

    Raises:
        ValueError: `scales` is not a list of numbers.
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
    """Raises an error if an output cannot be written, before any work is done.

    Args:
        *files: The files to write; None and `STDOUT` are ignored.
        folder: Whether the first of them may be an existing folder.

    Raises:
        IsADirectoryError: A folder stands where a file is to be written.
        OSError: The folder of a file cannot be written to.
    """
    for index, file in enumerate(files):
        if file is not None and file != STDOUT:
            if file.is_dir() and not (folder and index == 0):
                raise IsADirectoryError(f"{file}: expected a file, got a folder")
            writable_folder(file.parent)


def model_and_sources(words: list[str]) -> tuple[str, list[str]]:
    """Splits the arguments of `qepose predict` into its model and its sources.

    The first word is the model where it is a `.keras` file or an exported one, or the
    name of a preset that no file or folder has.

    Raises:
        BadParameter: There is a model and nothing to look at.
    """
    first, *others = words
    from qepose_tf.inference.model_files import is_model

    if not is_model(first):
        return PEOPLE, words
    if not others:
        raise typer.BadParameter(f"{first}: expected images after the model, got none")
    return first, others


def shown_from(model: str) -> float:
    """The score from which poses are shown by default: that of a preset, else 0.2."""
    preset = preset_of(model)
    return preset.min_score if preset else MIN_SCORE
