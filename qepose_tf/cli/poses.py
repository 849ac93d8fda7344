"""`qepose evaluate` and `qepose predict`."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from qepose_tf.cli.options import (
    PEOPLE,
    BatchSize,
    Every,
    Exif,
    Flip,
    Json,
    Limit,
    MaxDetections,
    Model,
    NmsDistance,
    Scales,
    ScoreThreshold,
    Show,
    Smooth,
    Start,
    Stop,
    Table,
    Track,
    check_outputs,
    model_and_sources,
    protocol,
    shown_from,
)
from qepose_tf.cli.terminal import STDOUT, counted, progress_bar, show_report
from qepose_tf.files.whole_files import writable_folder, write_file

logger = logging.getLogger(__name__)


def evaluate(
    model: Model = Path(PEOPLE),
    annotations: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="COCO keypoint JSON, a path or URL."),
    ] = None,
    images: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Folder of the images, a path or URL."),
    ] = None,
    tfrecords: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="In place of both: `prepare`'s folder."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="In place of both: a config with data.val."),
    ] = None,
    min_area: Annotated[
        float,
        typer.Option(metavar="PX2", min=0, help="Ignore smaller people."),
    ] = 0.0,
    batch_size: BatchSize = 8,
    limit: Limit = None,
    exif: Exif = "auto",
    category: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Read this category; may be repeated."),
    ] = None,
    person_size: Annotated[
        float | None,
        typer.Option(metavar="PX", min=1e-6, help="Side of people without a box."),
    ] = None,
    flip: Flip = False,
    scales: Scales = "1",
    nms_distance: NmsDistance = None,
    max_detections: MaxDetections = None,
    score_threshold: ScoreThreshold = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write how well scores predict OKS.",
        ),
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the poses as COCO results."),
    ] = None,
    json_file: Json = None,
) -> None:
    """Score a model with COCO's ten keypoint metrics.

    The data set is given by --annotations and --images, by --tfrecords, or by the
    data.val of a --config.
    """
    read = _scored_data(
        *(annotations, images, tfrecords, config, limit, exif),
        *(category or None, person_size),
    )
    check_outputs(results, json_file)
    if calibration is not None:
        writable_folder(calibration)
    seen = protocol(flip, scales, nms_distance, max_detections, score_threshold)
    from qepose_tf.evaluation.evaluate import evaluate as run
    from qepose_tf.evaluation.evaluate import write_results
    from qepose_tf.inference.model_files import read_model

    estimator = read_model(model)
    coco = read(estimator.skeleton)
    with progress_bar("evaluating") as progress:
        evaluation = run(
            estimator, coco, batch_size, min_area=min_area, progress=progress, **seen
        )
    report: dict[str, Any] = dict(evaluation.metrics)
    report["score_oks_rank_correlation"] = evaluation.score_oks_rank_correlation
    report["images"] = len(coco.records)
    if results is not None:
        write_results(evaluation.results, results)
        report["results"] = str(results)
    if calibration is not None:
        report |= _calibration(evaluation, coco, min_area, calibration)
    show_report(report, json_file)


def _scored_data(
    annotations: str | None,
    images: str | None,
    tfrecords: str | None,
    config: Path | None,
    limit: int | None,
    exif: str,
    categories: list[str] | None,
    person_size: float | None,
) -> Callable[[Any], Any]:
    """Returns a function from a skeleton to the data set that the options name.

    What the options say goes before what the config says.
    """
    named = (bool(annotations), bool(images), bool(tfrecords), bool(config))
    if named not in ((1, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)):
        raise typer.BadParameter(
            "expected --annotations and --images, or --tfrecords, or --config"
        )
    from qepose_tf.config.reading import load_config
    from qepose_tf.config.schema import DatasetConfig

    root = Path()
    options: dict[str, Any] = {}
    if config:
        data = load_config(config).data
        keys = ("categories", "person_size", "check_images")
        options = {key: getattr(data, key) for key in keys}
        if data.val is None:
            raise ValueError(f"{config}: data.val: expected annotations and images")
        root = data.root
        exif = data.exif if exif == "auto" else exif
        source = data.val.model_copy(update={"only_labelled": False})
    else:
        source = DatasetConfig(
            annotations=annotations, images=images, tfrecords=tfrecords
        )
    if person_size is not None:
        options["person_size"] = person_size
    changes = {"limit": limit} | ({"categories": categories} if categories else {})
    source = source.model_copy(update=changes)

    def read(skeleton: Any) -> Any:
        from qepose_tf.building import read_dataset

        return read_dataset(source, root, skeleton, exif=exif, **options)

    return read


def _calibration(evaluation: Any, coco: Any, min_area: float, folder: Path) -> dict:
    from qepose_tf.evaluation.calibration import calibrate, write_calibration

    found = calibrate(coco, evaluation.results, min_area=min_area)
    write_calibration(found, folder)
    return {
        "rank_correlation_matched": found.rank_correlation_matched,
        "calibration_error": found.calibration_error,
        "ap_lost_to_ranking": found.ap_lost_to_ranking,
        "calibration": str(folder),
    }


def predict(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE",
            help="[MODEL], files, folders, camera:0, URLs.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Folder to write."),
    ] = Path("predictions"),
    min_score: Annotated[
        float | None,
        typer.Option(metavar="SCORE", min=0, max=1, help="Keep people who score more."),
    ] = None,
    batch_size: BatchSize = 8,
    flip: Flip = False,
    scales: Scales = "1",
    nms_distance: NmsDistance = None,
    max_detections: MaxDetections = None,
    score_threshold: ScoreThreshold = None,
    every: Every = 1,
    start: Start = 0.0,
    stop: Stop = None,
    track: Track = False,
    smooth: Smooth = False,
    table: Table = False,
    show: Show = False,
    json_file: Json = None,
) -> None:
    """Find people in images and videos, and draw them.

    Without a model before the images, the preset `people` looks at them. People are
    kept from the score that the preset's card names, or from 0.2.
    """
    from qepose_tf.cli.window import Window
    from qepose_tf.images.finding import find_sources
    from qepose_tf.images.video import Video, VideoSpan, results_of
    from qepose_tf.images.video_sources import is_video
    from qepose_tf.inference.prediction_files import write_predictions
    from qepose_tf.inference.predictor import Predictor

    model, sources = model_and_sources(sources)
    min_score = shown_from(model) if min_score is None else min_score
    span = VideoSpan(every, start, stop)
    files = [
        Video(file, span) if is_video(file) else file
        for file in find_sources(sources, out)
    ]
    videos = [file for file in files if isinstance(file, Video)]
    for_videos = {"every": every > 1, "start": start, "stop": stop, "track": track}
    for_videos |= {"smooth": smooth, "csv": table, "show": show}
    for name, given in for_videos.items():
        if given and not videos:
            raise ValueError(f"--{name}: expected a video among the sources, got none")
    results = out / "results.json"
    check_outputs(results, json_file)
    seen = protocol(flip, scales, nms_distance, max_detections, score_threshold)
    window = Window("qepose predict") if show else None
    seen |= {"track": track, "smooth": smooth}
    predictor = Predictor(model, batch_size=batch_size, min_score=min_score, **seen)
    with progress_bar("predicting") as progress:
        drawings = write_predictions(
            counted(predictor.outcomes(files), results_of(files), progress),
            out,
            predictor.skeleton,
            results,
            min_score=min_score,
            table=table,
            show=window.show if window is not None else None,
        )
    if not drawings:
        predictor.refuse_nothing_read()
    if json_file == STDOUT:
        typer.echo(results.read_text())
    elif json_file is not None:
        write_file(json_file, results.read_text())
    report = {
        "pictures": [str(file) for file in drawings if file.suffix != ".mp4"],
        "videos": [str(file) for file in drawings if file.suffix == ".mp4"],
        "results": str(results),
        "unreadable": len(predictor.failures),
    }
    if json_file != STDOUT:
        show_report(report, None)
    faults = [why for source, why in predictor.failures if isinstance(source, Video)]
    if faults:
        for fault in faults[1:]:
            logger.warning("%s", fault)
        raise ValueError(f"{faults[0]}; {results} says what was read")
