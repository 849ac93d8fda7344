"""`qepose export` and `qepose info`."""

import dataclasses
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from qepose_tf.cli.options import Json, Model, check_outputs
from qepose_tf.terminal import show_report


class ExportFormat(str, Enum):
    """What `qepose export` writes."""

    saved_model = "saved_model"
    tflite = "tflite"


def export(
    model: Model,
    format: Annotated[ExportFormat, typer.Option("--format", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder of a SavedModel, or .tflite file.")],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what is there.")
    ] = False,
    json_file: Json = None,
) -> None:
    """Write a model that takes uint8 images, and compare it with the original."""
    check_outputs(out, json_file, folder=format is ExportFormat.saved_model)
    from qepose_tf.exporting.export import export_model

    comparison = export_model(model, format.value, out, overwrite)
    report = {
        "format": format.value,
        "out": str(out),
        **dataclasses.asdict(comparison),
    }
    show_report(report, json_file)


def info(
    source: Annotated[Path, typer.Argument(help="A config or a .keras model file.")],
    json_file: Json = None,
) -> None:
    """Show size, cost, shapes and skeleton of a config's or a file's model."""
    check_outputs(json_file)
    from qepose_tf.models import complexity
    from qepose_tf.models.pose_estimator import TRAINING_ONLY

    model = _model_of(source)
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


def _model_of(source: Path) -> Any:
    if source.suffix not in (".yaml", ".yml"):
        from qepose_tf.models import load_model

        return load_model(source)
    from qepose_tf.config import load_config
    from qepose_tf.skeleton import Skeleton

    config = load_config(source)
    skeleton = Skeleton.load(config.skeleton)
    from qepose_tf.training.run import build_model

    return build_model(config, skeleton)
