"""`qepose benchmark`."""

import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from qepose_tf.cli.options import PEOPLE, Json, check_outputs
from qepose_tf.cli.terminal import STDOUT

SETTLING_IMAGES = 4
CALIBRATION_IMAGES = 32


def benchmark(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL|CONFIG",
            help="A model, exported file or config.",
        ),
    ] = Path(PEOPLE),
    images: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SOURCE",
            help="Images, folders or globs.",
            show_default="made ones",
        ),
    ] = None,
    runtime: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="A runtime, see above.", show_default="tensorflow"
        ),
    ] = None,
    precision: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Of the exported files.", show_default="fp32"
        ),
    ] = None,
    peer: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="torch: the body of timm in PyTorch."),
    ] = None,
    files: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of `export --format all`.",
            show_default="new files",
        ),
    ] = None,
    batch: Annotated[int, typer.Option(metavar="N", help="Images of a call.")] = 1,
    runs: Annotated[int, typer.Option(metavar="N", help="Rounds that count.")] = 10,
    warmup: Annotated[
        int, typer.Option(metavar="N", help="Rounds before these, not counted.")
    ] = 2,
    threads: Annotated[
        int | None,
        typer.Option(metavar="N", help="CPUs of each process.", show_default="all"),
    ] = None,
    json_file: Json = None,
) -> None:
    """Time a model's stages, exported files and peers together.

    The runtimes are tensorflow, saved_model, tflite, onnx, openvino and all. Each has a
    process of its own, and they take turns. The table holds the median and the 10th
    and 90th percentiles of each call, and how far its poses are from Keras. With
    --runtime all, every precision is timed unless --precision says which. An exported
    file is timed alone, stage by stage.
    """
    check_outputs(json_file)
    from qepose_tf.benchmark.side_by_side import Settings, side_by_side
    from qepose_tf.inference.model_files import is_exported

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
    if is_exported(source):
        named = {"runtime": runtime, "precision": precision, "peer": peer}
        _show(
            _file_report(source, images, settings, named | {"files": files}), json_file
        )
        return
    model, weights, contents, calibration = _prepared(source, images)
    report = side_by_side(model, contents, settings, calibration)
    report.facts |= {"model": str(source), "weights": weights, "images": [*contents]}
    _show(report, json_file)


def _prepared(source: Path, images: list[str] | None) -> tuple[Any, str, dict, list]:
    """Returns the model, the origin of its weights, image files and their pixels."""
    from qepose_tf.images.decoding import read_image

    contents, pixels = _pictures(images)
    if source.suffix in (".yaml", ".yml"):
        from qepose_tf.config.reading import load_config

        config = load_config(source)
        made = _made_images(config.model.input_size)
    else:
        config = None
        from qepose_tf.models import load_model

        model = load_model(source)
        made = _made_images(model.input_size)
    contents = contents or made
    if config is not None:
        settled = [read_image(content, exif=True) for content in contents.values()]
        model = _untrained(config, settled[:SETTLING_IMAGES])
    weights = "of the file" if config is None else "untrained, settled on the images"
    return model, weights, contents, pixels


def _untrained(config: Any, images: list) -> Any:
    from qepose_tf.benchmark.settled import settled_model
    from qepose_tf.building import model_settings
    from qepose_tf.skeleton import Skeleton

    if config.model.network != "pose_estimator":
        raise ValueError(
            f"model.network = {config.model.network}: expected pose_estimator; "
            "benchmark a .keras file of another network"
        )
    skeleton = Skeleton.load(config.skeleton, config.data.categories)
    return settled_model(skeleton, model_settings(config), images, config.seed)


def _pictures(images: list[str] | None) -> tuple[dict[str, bytes], list]:
    """Returns the contents of image files by name, and their pixels."""
    if not images:
        return {}, []
    from qepose_tf.images.finding import find_images
    from qepose_tf.images.readable import readable_images

    found = readable_images(find_images(images), CALIBRATION_IMAGES)
    contents = {str(file): file.read_bytes() for file in found}
    return contents, list(found.values())


def _file_report(
    source: Path, images: list[str] | None, settings: Any, named: dict[str, Any]
) -> Any:
    """Returns the times of an exported file."""
    for name, value in named.items():
        if value:
            raise ValueError(
                f"--{name}: {source} is an exported file, which is timed alone; give "
                f"the .keras model for --{name}"
            )
    from qepose_tf.benchmark.exported_file import time_exported
    from qepose_tf.inference.exported_model import ExportedModel

    contents, _ = _pictures(images)
    model = ExportedModel(source)
    contents = contents or _made_images(model.input_size)
    report = time_exported(model, contents, settings)
    report.facts["model"] = str(source)
    return report


def _made_images(side: int) -> dict[str, bytes]:
    """Returns made images of `side` x 4/3 `side` px, as JPEG files by name."""
    import io

    from PIL import Image

    from qepose_tf.images.drawn_image import made_image

    contents = {}
    for seed in range(SETTLING_IMAGES):
        file = io.BytesIO()
        Image.fromarray(made_image(side, side * 4 // 3, seed)).save(file, "JPEG")
        contents[f"made {seed}"] = file.getvalue()
    return contents


def _show(report: Any, json_file: Path | None) -> None:
    if json_file == STDOUT:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "report.json"
            report.write(file)
            typer.echo(file.read_text(encoding="utf-8"), nl=False)
        return
    facts = report.facts
    told = f"batch {facts['batch']}, {facts['runs']} rounds, {facts['cpus']} CPUs"
    if "backbone" in facts:
        told = (
            f"({facts['backbone']} at {facts['input_size']} px), "
            f"weights {facts['weights']}, {told}"
        )
    else:
        told = f"({facts['format']} {facts['precision']}), {told}"
    typer.echo(f"{facts['model']} {told}")
    versions = facts.get("versions", {}).items()
    typer.echo(", ".join(f"{name} {text}" for name, text in versions) + "\n")
    typer.echo(report.markdown())
    if json_file is not None:
        report.write(json_file)
