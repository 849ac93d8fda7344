"""The `qepose` command: one function per command, nothing heavy before it runs.

TensorFlow takes seconds to import, so each command imports what it needs.
"""

import dataclasses
import logging
import sys
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from qepose_tf import __version__
from qepose_tf.output_files import writable_folder, write_file
from qepose_tf.terminal import (
    STDOUT,
    counted,
    guarded,
    progress_bar,
    show_log,
    show_report,
)

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Single-stage human pose estimation: train, evaluate, predict, export.",
)


Model = Annotated[Path, typer.Argument(help="A .keras model file.", show_default=False)]
Json = Annotated[
    Path | None,
    typer.Option("--json", metavar="[FILE]", help="Write the result as JSON."),
]


class ExportFormat(str, Enum):
    """What `qepose export` writes."""

    saved_model = "saved_model"
    tflite = "tflite"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code.

    0: done; 1: failed, with one line on stderr; 2: wrong usage.

    Args:
        arguments: Without the program's name; `sys.argv` by default.
    """
    words = _with_defaults(sys.argv[1:] if arguments is None else list(arguments))
    return guarded(lambda: app(words, prog_name="qepose"), "--debug" in words)


@app.callback(invoke_without_command=True)
def _global_options(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error.")
    ] = False,
    version: Annotated[bool, typer.Option("--version", help="Show it.")] = False,
) -> None:
    if version:
        typer.echo(f"qepose_tf {__version__}")
        raise typer.Exit
    show_log(logging.DEBUG if debug else logging.INFO)


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="A YAML file, see configs/.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", show_default=False)
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier run of the name.")
    ] = False,
    json_file: Json = None,
) -> None:
    """Train a model as a config says; overrides look like train.epochs=3."""
    from qepose_tf.config import load_config

    resolved = load_config(config, overrides or ())
    _check_outputs(json_file)
    from qepose_tf.training import run

    # Keras' own lines go to stdout, where JSON must stand alone.
    progress = False if json_file == STDOUT else None
    result = run.train(resolved, overwrite=overwrite, progress=progress)
    report = {
        "model": str(result.model),
        "run_dir": str(result.run_dir),
        "last": str(result.last),
        **result.metrics,
    }
    show_report(report, json_file)


@app.command()
def evaluate(
    model: Model,
    annotations: Annotated[Path, typer.Option(help="COCO keypoint JSON.")],
    images: Annotated[Path, typer.Option(help="Folder of its images.")],
    min_area: Annotated[
        float, typer.Option(min=0, help="Only people of at least this area, px^2.")
    ] = 0.0,
    batch_size: Annotated[int, typer.Option(min=1)] = 8,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only the first images.")
    ] = None,
    results: Annotated[
        Path | None, typer.Option(help="Write the poses as COCO results.")
    ] = None,
    json_file: Json = None,
) -> None:
    """Score a model with COCO's ten keypoint figures."""
    _check_outputs(results, json_file)
    from qepose_tf.data.coco import read_coco
    from qepose_tf.evaluation import evaluate as run
    from qepose_tf.evaluation import write_results
    from qepose_tf.models import load_model

    estimator = load_model(model)
    coco = read_coco(annotations, images, estimator.skeleton, limit=limit)
    with progress_bar("evaluating") as progress:
        evaluation = run(
            estimator, coco, batch_size, min_area=min_area, progress=progress
        )
    report: dict[str, Any] = dict(evaluation.metrics)
    report["score_oks_rank_correlation"] = evaluation.score_oks_rank_correlation
    report["images"] = len(coco.records)
    if results is not None:
        write_results(evaluation.results, results)
        report["results"] = str(results)
    show_report(report, json_file)


@app.command()
def predict(
    model: Model,
    sources: Annotated[
        list[str], typer.Argument(help="Images, folders, globs.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="Folder of drawn pictures, results.json.")],
    min_score: Annotated[
        float, typer.Option(min=0, max=1, help="Leave out people below it.")
    ] = 0.2,
    batch_size: Annotated[int, typer.Option(min=1)] = 8,
    json_file: Json = None,
) -> None:
    """Find the people in images; draw them and write their poses."""
    from qepose_tf.inference import Predictor, find_images
    from qepose_tf.prediction_files import write_predictions

    files = find_images(sources)
    results = out / "results.json"
    _check_outputs(results, json_file)
    predictor = Predictor(model, batch_size=batch_size, min_score=min_score)
    with progress_bar("predicting") as progress:
        pictures = write_predictions(
            counted(predictor.predict(files), len(files), progress),
            out,
            predictor.skeleton,
            results,
            min_score=min_score,
        )
    if json_file == STDOUT:
        typer.echo(results.read_text())
        return
    if json_file is not None:
        write_file(json_file, results.read_text())
    report = {
        "pictures": [str(picture) for picture in pictures],
        "results": str(results),
        "unreadable": len(predictor.failures),
    }
    show_report(report, None)


@app.command()
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
    _check_outputs(out, json_file, folder=format is ExportFormat.saved_model)
    from qepose_tf.exporting.export import export_model

    comparison = export_model(model, format.value, out, overwrite)
    report = {
        "format": format.value,
        "out": str(out),
        **dataclasses.asdict(comparison),
    }
    show_report(report, json_file)


@app.command()
def info(
    source: Annotated[Path, typer.Argument(help="A config or a .keras model file.")],
    json_file: Json = None,
) -> None:
    """Show size, cost, shapes and skeleton of a config's or a file's model."""
    _check_outputs(json_file)
    from qepose_tf.models import complexity
    from qepose_tf.models.pose_estimator import TRAINING_ONLY

    model = _model_of(source)
    side = model.input_size
    shapes = model.compute_output_shape((None, side, side, 3))
    report = {
        "trainable_params": complexity.trainable_params(model),
        "body_trainable_params": complexity.trainable_params(model.body),
        "macs": complexity.macs(model, side, side),
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


def _with_defaults(words: list[str]) -> list[str]:
    """Lets `--json` stand without a file (stdout) and `--debug` anywhere."""
    result = []
    for index, word in enumerate(words):
        result.append(word)
        following = words[index + 1 : index + 2]
        if word == "--json" and (not following or following[0].startswith("--")):
            result.append(str(STDOUT))
    if "--debug" in result:
        result.remove("--debug")
        result.insert(0, "--debug")
    return result


def _check_outputs(*files: Path | None, folder: bool = False) -> None:
    """Refuses what cannot be written, before any work; the first may be a folder."""
    for index, file in enumerate(files):
        if file is not None and file != STDOUT:
            if file.is_dir() and not (folder and index == 0):
                raise IsADirectoryError(f"{file}: expected a file, got a folder")
            writable_folder(file.parent)
