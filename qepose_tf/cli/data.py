"""`qepose prepare`."""

from typing import Annotated

import typer

from qepose_tf.cli.options import Exif, Json, Limit, check_outputs
from qepose_tf.cli.terminal import progress_bar, show_report


def prepare(
    annotations: Annotated[
        str, typer.Option(metavar="FILE", help="COCO keypoint JSON, a path or URL.")
    ],
    images: Annotated[
        str, typer.Option(metavar="DIR", help="Folder of images, a path or URL.")
    ],
    out: Annotated[str, typer.Option(metavar="DIR", help="Folder to write.")],
    shards: Annotated[
        int, typer.Option(metavar="N", min=1, help="Number of TFRecord files.")
    ],
    skeleton: Annotated[
        str,
        typer.Option(metavar="NAME", help="coco, crowdpose or a file."),
    ] = "coco",
    category: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Category to read, repeatable.", show_default="all"
        ),
    ] = None,
    person_size: Annotated[
        float | None,
        typer.Option(metavar="PX", min=0, help="Side of people without area or box."),
    ] = None,
    only_labelled: Annotated[
        bool,
        typer.Option(
            "--only-labelled", help="Leave out images without labelled people."
        ),
    ] = False,
    limit: Limit = None,
    exif: Exif = "auto",
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Shards written at once.",
            show_default="one per CPU",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier data set there.")
    ] = False,
    json_file: Json = None,
) -> None:
    """Write a data set as TFRecord files.

    A command that was stopped continues with the first file that is missing.
    """
    check_outputs(json_file)
    from qepose_tf.data.tfrecord.prepare import prepare as run
    from qepose_tf.skeleton import Skeleton

    with progress_bar("preparing") as progress:
        prepared = run(
            annotations,
            images,
            out,
            Skeleton.load(skeleton, category),
            shards,
            categories=category,
            person_size=person_size,
            only_labelled=only_labelled,
            limit=limit,
            exif=exif,
            workers=workers,
            overwrite=overwrite,
            progress=progress,
        )
    files = prepared.manifest["shards"]
    report = {
        "out": out,
        **prepared.manifest["counts"],
        "reused": prepared.reused,
        "bytes": sum(file["bytes"] for file in files),
    }
    show_report(report, json_file)
