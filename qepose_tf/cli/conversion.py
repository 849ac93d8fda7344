"""`qepose convert`."""

from pathlib import Path
from typing import Annotated

import typer

from qepose_tf.cli.options import Json, check_outputs
from qepose_tf.cli.terminal import progress_bar, show_report


def convert(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="Labels of another tool: a file or a folder.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Folder to write.", show_default=False),
    ],
    images: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Pictures or videos that have moved."),
    ] = None,
    val_share: Annotated[
        float | None,
        typer.Option(help="Of the pictures; else the source's, or 0.2."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Which videos or folders are val.")] = 0,
    skeleton: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Keypoints in order: .yaml or .json."),
    ] = None,
    category: Annotated[
        str | None, typer.Option(help="Class or skeleton to read, of several.")
    ] = None,
    predictions: Annotated[
        bool, typer.Option("--predictions", help="Take a model's poses, too.")
    ] = False,
    link: Annotated[
        bool, typer.Option("--link", help="Link pictures instead of copying them.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what was converted before.")
    ] = False,
    json_file: Json = None,
) -> None:
    """Write labels of other tools as COCO files.

    Reads SLEAP, DeepLabCut, YOLO pose, Label Studio, labelme, COCO, and what else
    sleap-io reads. Train and val never share a video or folder, if there are several.
    """
    check_outputs(json_file)
    from qepose_tf.conversion.convert import convert as run

    with progress_bar("converting") as progress:
        report = run(
            source,
            out,
            images=images,
            val_share=val_share,
            seed=seed,
            skeleton=skeleton,
            category=category,
            predictions=predictions,
            link=link,
            overwrite=overwrite,
            progress=progress,
        )
    pairs = ", ".join(report["flip_pairs"])
    show_report(report, json_file, flip_pairs=pairs or "none")
