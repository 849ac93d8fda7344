"""`qepose doctor`."""

from pathlib import Path
from typing import Annotated

import typer

from qepose_tf.cli.options import Json, Overrides, check_outputs
from qepose_tf.cli.terminal import STDOUT, json_text, progress_bar
from qepose_tf.files.whole_files import write_file


def doctor(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="COCO keypoint JSON, or a YAML config.",
            show_default=False,
        ),
    ],
    overrides: Overrides = None,
    images: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Its images; by default beside the JSON."),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a page with pictures of mistakes."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Look for unlabelled people by a model."),
    ] = None,
    json_file: Json = None,
) -> None:
    """Check a data set: what is used, and likely mistakes.

    Exit code 1: training would fail.
    """
    check_outputs(html, json_file)
    from qepose_tf.doctor.examine import examine
    from qepose_tf.doctor.page import html_page
    from qepose_tf.doctor.report import as_text, as_values
    from qepose_tf.doctor.sources import read_sources

    diagnosis = examine(
        read_sources(source, images, overrides or ()), model, progress_bar
    )
    if html is not None:
        with progress_bar("drawing") as progress:
            write_file(html, html_page(diagnosis, progress))
    if json_file == STDOUT:
        typer.echo(json_text(as_values(diagnosis)), nl=False)
    else:
        typer.echo(as_text(diagnosis))
        if json_file is not None:
            write_file(json_file, json_text(as_values(diagnosis)))
    if diagnosis.failure:
        raise ValueError(diagnosis.failure)
