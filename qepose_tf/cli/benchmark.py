"""`qepose benchmark`."""

import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from qepose_tf.cli.options import Json, check_outputs
from qepose_tf.cli.terminal import STDOUT

SETTLING_IMAGES = 4
CALIBRATION_IMAGES = 32


def benchmark(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL|CONFIG",
            help="A .keras model file, or a config, whose model is timed untrained.",
            show_default=False,
        ),
    ],
    images: Annotated[
        list[str] | None,
        typer.Option(
            metavar="IMAGE|DIR",
            help="Images, folders, globs; the first is timed. By default made ones.",
        ),
    ] = None,
    runtime: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="tensorflow (by default), saved_model, tflite, onnx, openvino, all.",
        ),
    ] = None,
    precision: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Of the files; fp32, but for `all`: every one."
        ),
    ] = None,
    peer: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="torch: timm's HRNet, the body alone."),
    ] = None,
    files: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="What `export --format all` wrote; else exported now."
        ),
    ] = None,
    batch: Annotated[int, typer.Option(help="Images at once.")] = 1,
    runs: Annotated[int, typer.Option(help="Rounds that count.")] = 10,
    warmup: Annotated[int, typer.Option(help="Rounds before them.")] = 2,
    threads: Annotated[
        int | None, typer.Option(help="CPUs of each process; by default all.")
    ] = None,
    json_file: Json = None,
) -> None:
    """Time a model's stages, its exported files and its peers in one run.

    All take turns, each runtime in a process of its own. The table holds medians and
    the 10th and 90th percentiles of the rounds, and how far the poses are from Keras.
    """
    check_outputs(json_file)
    from qepose_tf.benchmark.side_by_side import Settings, side_by_side

    settings = Settings(
        runtimes=runtime or ["tensorflow"],
        precisions=precision or (),
        peers=peer or (),
        batch=batch,
        runs=runs,
        warmup=warmup,
        cpus=threads,
        files=files,
    )
    model, weights, contents, calibration = _prepared(source, images)
    report = side_by_side(model, contents, settings, calibration)
    report.facts |= {"model": str(source), "weights": weights, "images": [*contents]}
    _show(report, json_file)


def _prepared(source: Path, images: list[str] | None) -> tuple[Any, str, dict, list]:
    """The model, where its weights are from, images' contents, and their pixels."""
    from qepose_tf.images.decoding import read_image

    if images:
        from qepose_tf.images.finding import find_images

        found = find_images(images)[:CALIBRATION_IMAGES]
        contents = {str(file): file.read_bytes() for file in found}
        pixels = [read_image(file, exif=True) for file in found]
    else:
        contents, pixels = {}, []
    if source.suffix in (".yaml", ".yml"):
        from qepose_tf.config.reading import load_config

        config = load_config(source)
        made = _made_images(config.model.input_size)
    else:
        config = None
        from qepose_tf.models import load_model

        model = load_model(source)
        made = _made_images(model.input_size)
    if not contents:
        contents = {f"made {n}": content for n, content in enumerate(made)}
    if config is not None:
        settled = [read_image(content, exif=True) for content in contents.values()]
        model = _untrained(config, settled[:SETTLING_IMAGES])
    weights = "of the file" if config is None else "untrained, settled on the images"
    return model, weights, contents, pixels


def _untrained(config: Any, images: list) -> Any:
    from qepose_tf.benchmark.settled import settled_model
    from qepose_tf.building import model_settings
    from qepose_tf.skeleton import Skeleton

    skeleton = Skeleton.load(config.skeleton)
    return settled_model(skeleton, model_settings(config), images, config.seed)


def _made_images(side: int) -> list[bytes]:
    """JPEG files of usual proportions."""
    import io

    from PIL import Image

    from qepose_tf.images.drawn_image import made_image

    contents = []
    for seed in range(SETTLING_IMAGES):
        file = io.BytesIO()
        Image.fromarray(made_image(side, side * 4 // 3, seed)).save(file, "JPEG")
        contents.append(file.getvalue())
    return contents


def _show(report: Any, json_file: Path | None) -> None:
    if json_file == STDOUT:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "report.json"
            report.write(file)
            typer.echo(file.read_text(encoding="utf-8"), nl=False)
        return
    facts = report.facts
    versions = ", ".join(f"{name} {text}" for name, text in facts["versions"].items())
    typer.echo(
        f"{facts['model']} ({facts['backbone']} at {facts['input_size']} px), "
        f"weights {facts['weights']}, "
        f"batch {facts['batch']}, {facts['runs']} rounds, {facts['cpus']} CPUs"
    )
    typer.echo(f"{versions}\n")
    typer.echo(report.markdown())
    if json_file is not None:
        report.write(json_file)
