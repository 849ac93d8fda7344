"""`qepose export` and `qepose info`."""

import dataclasses
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from qepose_tf.cli.options import Json, Limit, Model, Overrides, check_outputs
from qepose_tf.cli.terminal import show_report, show_table

# Enough to know the range of every activation; more only cost time.
CALIBRATION_IMAGES = 128
COMPARED_IMAGES = 4
CONFIGS = (".yaml", ".yml")


class ExportFormat(str, Enum):
    """What `qepose export` writes."""

    saved_model = "saved_model"
    tflite = "tflite"
    onnx = "onnx"
    openvino = "openvino"
    all = "all"


class Precision(str, Enum):
    """What an exported file computes in."""

    fp32 = "fp32"
    fp16 = "fp16"
    bf16 = "bf16"
    dynamic = "dynamic"
    int8 = "int8"


def export(
    model: Model,
    format: Annotated[ExportFormat, typer.Option("--format", show_default=False)],
    out: Annotated[Path, typer.Option(help="File, or folder of several files.")],
    precision: Annotated[
        Precision | None, typer.Option(help="fp32, but for `all`: every one.")
    ] = None,
    height: Annotated[
        int | None, typer.Option(help="Of the images; by default the model's size.")
    ] = None,
    width: Annotated[int | None, typer.Option(help="As --height.")] = None,
    batch: Annotated[int, typer.Option(help="Images at once.")] = 1,
    calibrate: Annotated[
        str | None,
        typer.Option(
            "--calibrate",
            "--calibration",
            metavar="IMAGES",
            help="Folder or pattern, for int8.",
        ),
    ] = None,
    verify: Annotated[
        tuple[Path, Path] | None,
        typer.Option(metavar="ANNOTATIONS IMAGES", help="Measure what it costs in AP."),
    ] = None,
    max_ap_loss: Annotated[
        float | None, typer.Option(min=0, help="AP that --verify lets a file lose.")
    ] = None,
    limit: Limit = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what is there.")
    ] = False,
    json_file: Json = None,
) -> None:
    """Write a model that takes uint8 images, and compare it with the original.

    Height, width and batch are those of TFLite, ONNX and OpenVINO files; a SavedModel
    takes any.
    """
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
    """Every format in every precision; what fails is named, the rest is written."""
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
    from qepose_tf.images.decoding import read_image
    from qepose_tf.images.finding import find_images

    files = find_images(source)[:count]
    return [read_image(file, exif=True) for file in files]


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
        Path, typer.Argument(help="A config, a .keras model file or a run's folder.")
    ],
    overrides: Overrides = None,
    json_file: Json = None,
) -> None:
    """Show size, cost, shapes and skeleton of a model; or how a run has done."""
    check_outputs(json_file)
    if overrides and source.suffix not in CONFIGS:
        raise ValueError(f"{source}: expected a config before {overrides[0]}")
    if source.is_dir():
        from qepose_tf.training.run_folder.summary import describe_run

        show_report(describe_run(source), json_file)
        return
    from qepose_tf.models import complexity
    from qepose_tf.models.pose_estimator import TRAINING_ONLY

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
            if name not in TRAINING_ONLY
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
    skeleton = Skeleton.load(config.skeleton)
    from qepose_tf.building import build_model

    return build_model(config, skeleton)
