"""`qepose prepare`."""

from typing import Annotated

import typer

from qepose_tf.cli.options import Json, Limit, check_outputs
from qepose_tf.cli.terminal import progress_bar, show_report


def prepare(
    annotations: Annotated[
        str, typer.Option(help="COCO keypoint JSON; a path or URL.", show_default=False)
    ],
    images: Annotated[str, typer.Option(help="Folder of its images; a path or URL.")],
    out: Annotated[str, typer.Option(help="Folder to write.", show_default=False)],
    shards: Annotated[int, typer.Option(min=1, help="Number of TFRecord files.")],
    skeleton: Annotated[
        str, typer.Option(help="coco, crowdpose, or a .yaml or .json file.")
    ] = "coco",
    only_labelled: Annotated[
        bool,
        typer.Option(
            "--only-labelled", help="Leave out images without a labelled person."
        ),
    ] = False,
    limit: Limit = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Shards at once; by default the CPUs.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write anew what is there.")
    ] = False,
    json_file: Json = None,
) -> None:
    """Write a data set as TFRecord files, or go on where this was stopped."""
    check_outputs(json_file)
    from qepose_tf.data.tfrecord.prepare import prepare as run
    from qepose_tf.skeleton import Skeleton

    with progress_bar("preparing") as progress:
        prepared = run(
            annotations,
            images,
            out,
            Skeleton.load(skeleton),
            shards,
            only_labelled=only_labelled,
            limit=limit,
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
