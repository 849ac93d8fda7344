"""`qepose export` and `qepose info`."""

import dataclasses
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from qepose_tf.cli.options import PEOPLE, Json, Limit, Model, Overrides, check_outputs
from qepose_tf.cli.terminal import show_report, show_table

# So many images show the range of every activation; more of them only take time.
CALIBRATION_IMAGES = 128
COMPARED_IMAGES = 4
CONFIGS = (".yaml", ".yml")


class ExportFormat(str, Enum):
    """The formats that `qepose export` writes."""

    saved_model = "saved_model"
    tflite = "tflite"
    onnx = "onnx"
    openvino = "openvino"
    all = "all"


class Precision(str, Enum):
    """The number formats that an exported file computes in."""

    fp32 = "fp32"
    fp16 = "fp16"
    bf16 = "bf16"
    dynamic = "dynamic"
    int8 = "int8"


def export(
    *,
    model: Model = Path(PEOPLE),
    format: Annotated[
        ExportFormat,
        typer.Option("--format", metavar="NAME", help="Format, see above."),
    ],
    out: Annotated[
        Path, typer.Option(metavar="PATH", help="File, or folder for --format all.")
    ],
    precision: Annotated[
        Precision | None,
        typer.Option(metavar="NAME", help="Precision, see above.", show_default="fp32"),
    ] = None,
    height: Annotated[
        int | None,
        typer.Option(
            metavar="PX", help="Image height.", show_default="the model's input size"
        ),
    ] = None,
    width: Annotated[
        int | None,
        typer.Option(
            metavar="PX", help="Image width.", show_default="the model's input size"
        ),
    ] = None,
    batch: Annotated[int, typer.Option(metavar="N", help="Images of a call.")] = 1,
    calibrate: Annotated[
        str | None,
        typer.Option(
            "--calibrate", metavar="IMAGES", help="Folder or glob of images, for int8."
        ),
    ] = None,
    calibration: Annotated[str | None, typer.Option(hidden=True)] = None,
    verify: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            metavar="FILE DIR", help="Annotations and images to measure AP on."
        ),
    ] = None,
    max_ap_loss: Annotated[
        float | None,
        typer.Option(metavar="AP", min=0, help="Refuse files that lose more AP."),
    ] = None,
    limit: Limit = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier export.")
    ] = False,
    json_file: Json = None,
) -> None:
    """Write a model for another runtime and compare its poses.

    The exported model takes uint8 images. A saved_model is written in fp32 and takes
    images of any size and number; a tflite file may have fp32, fp16, dynamic or int8,
    an onnx file fp32, and an openvino folder fp32, fp16 or bf16. With --format all,
    every one of these is written.
    """
    # `--calibration` is the name of the argument in Python.
    calibrate = calibrate or calibration
    if format is ExportFormat.all and precision:
        raise typer.BadParameter("--format all writes every precision")
    check_outputs(out, json_file, folder=True)
    from qepose_tf.exporting.exporter import Exporter, check_request, every_file

    files = [(format.value, precision.value if precision else "fp32", out)]
    if format is ExportFormat.all:
        files = every_file(out)
    for name, kind, path in files:
        check_request(name, kind, path, overwrite, calibrate is not None)
    settings: dict[str, Any] = {"height": height, "width": width, "batch": batch}
    settings["calibration"] = _pictures(calibrate, CALIBRATION_IMAGES)
    shown = settings["calibration"][:COMPARED_IMAGES]
    if verify:
        shown = _pictures(str(verify[1]), COMPARED_IMAGES)
    with Exporter(model, images=shown or None, **settings) as exporter:
        judge = _judge(exporter, verify, max_ap_loss, limit)
        if format is ExportFormat.all:
            _export_all(exporter, files, overwrite, judge, json_file)
            return
        report = _export_one(exporter, *files[0], overwrite, judge)
    if judge is not None:
        report["verified"] = [dataclasses.asdict(row) for row in judge.rows]
    show_report(report, json_file, verified="see the table")


def _export_one(
    exporter: Any, format: str, precision: str, out: Path, overwrite: bool, judge: Any
) -> dict[str, Any]:
    try:
        comparison = exporter.write(
            format, out, precision, overwrite=overwrite, judge=judge
        )
    finally:
        if judge is not None:
            show_table(judge.rows)
    return {
        "format": format,
        "precision": precision,
        "out": str(out),
        **dataclasses.asdict(comparison),
    }


def _export_all(
    exporter: Any,
    files: list[tuple[str, str, Path]],
    overwrite: bool,
    judge: Any,
    json_file: Path | None,
) -> None:
    """Writes every file that it can, then raises an error that names the others."""
    reports, faults = [], []
    for format, precision, path in files:
        report = {"format": format, "precision": precision, "out": str(path)}
        try:
            comparison = exporter.write(
                format, path, precision, overwrite=overwrite, judge=judge
            )
            report |= dataclasses.asdict(comparison)
        except (ValueError, OSError, ImportError) as error:
            report["failed"] = str(error)
            faults.append(f"{format} {precision}: {error}")
        reports.append(report)
    if judge is not None:
        show_table(judge.rows)
    report = {"out": str(files[0][2].parent), "files": reports}
    if judge is not None:
        report["verified"] = [dataclasses.asdict(row) for row in judge.rows]
    written = [f"{r['format']} {r['precision']}" for r in reports if "failed" not in r]
    show_report(report, json_file, files=", ".join(written), verified="see the table")
    if faults:
        raise ValueError("; ".join(faults))


def _pictures(source: str | None, count: int) -> list:
    if source is None:
        return []
    from qepose_tf.images.finding import find_images
    from qepose_tf.images.readable import readable_images

    return list(readable_images(find_images(source), count).values())


def _judge(
    exporter: Any,
    verify: tuple[Path, Path] | None,
    max_ap_loss: float | None,
    limit: int | None,
) -> Any:
    if verify is None:
        return None
    from qepose_tf.data.coco.dataset import read_coco
    from qepose_tf.exporting.accuracy import Judge

    coco = read_coco(*verify, exporter.model.skeleton, limit=limit)
    return Judge(exporter, coco, max_ap_loss)


def info(
    source: Annotated[
        Path,
        typer.Argument(metavar="SOURCE", help="A config, a model or a run folder."),
    ] = Path(PEOPLE),
    overrides: Overrides = None,
    json_file: Json = None,
) -> None:
    """Show a model's size, cost and shapes, or a run's progress."""
    check_outputs(json_file)
    if overrides and source.suffix not in CONFIGS:
        raise ValueError(f"{source}: expected a config before {overrides[0]}")
    if source.is_dir():
        from qepose_tf.training.run_folder.summary import describe_run

        show_report(describe_run(source), json_file)
        return
    from qepose_tf.models import complexity

    model = _model_of(source, overrides or ())
    side = model.input_size
    shapes = model.compute_output_shape((None, side, side, 3))
    report = {
        "trainable_params": complexity.trainable_params(model),
        "body_trainable_params": complexity.trainable_params(model.body),
        "macs": complexity.macs(model, side, side),
        "activations": complexity.activations(model, side, side),
        "input_size": side,
        "output_shapes": {
            name: list(shape)
            for name, shape in shapes.items()
            if name not in model.training_only
        },
        "skeleton": model.skeleton.to_dict(),
    }
    keypoints = f"{model.skeleton.name}, {model.skeleton.num_keypoints} keypoints"
    show_report(report, json_file, skeleton=keypoints)


def _model_of(source: Path, overrides: Sequence[str]) -> Any:
    if source.suffix not in CONFIGS:
        from qepose_tf.models import load_model

        return load_model(source)
    from qepose_tf.config.reading import load_config
    from qepose_tf.skeleton import Skeleton

    config = load_config(source, overrides)
    skeleton = Skeleton.load(config.skeleton, config.data.categories)
    from qepose_tf.building import build_model

    return build_model(config, skeleton)
