"""`make quickstart`: trains, evaluates, exports, compares and draws once."""

import io
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image

from qepose_tf.building import read_datasets
from qepose_tf.cli.terminal import guarded, json_text, show_log
from qepose_tf.config.reading import load_config
from qepose_tf.data.coco.dataset import CocoDataset
from qepose_tf.data.coco.pictures import read_record_image
from qepose_tf.evaluation.evaluate import Evaluation, evaluate
from qepose_tf.exporting.exporter import Exporter
from qepose_tf.files.whole_files import write_file
from qepose_tf.images.decoding import read_image, resize_image
from qepose_tf.images.drawing import draw_poses
from qepose_tf.inference.people import ImagePoses
from qepose_tf.inference.predictor import Predictor
from qepose_tf.models import PoseEstimator, load_model
from qepose_tf.presets import PRESETS
from qepose_tf.skeleton import Skeleton
from qepose_tf.training.run import train

logger = logging.getLogger(__name__)

CONFIG = Path("configs/quickstart.yaml")
EXPORTS = {"saved_model": "saved_model/1", "tflite": "model.tflite"}
COMPARED_SCENES = 8
GRID = (3, 4)  # rows and columns of scenes in the picture
ENLARGED = 2  # the factor by which small scenes are enlarged
DRAWN_SCORE = 0.3


def run(overrides: Sequence[str] = ()) -> dict:
    """Runs every step and returns the summary, which it also writes.

    Args:
        overrides: Values that replace those of the config, such as `train.epochs=1`.
    """
    started = time.monotonic()
    config = load_config(CONFIG, overrides)
    result = train(config, overwrite=True)
    model = load_model(result.model)
    _, scenes = read_datasets(
        config, Skeleton.load(config.skeleton, config.data.categories)
    )
    if scenes is None:
        raise ValueError(f"{CONFIG}: expected validation data, got none")
    logger.info("scoring %d scenes never trained on", len(scenes.records))
    evaluation = evaluate(model, scenes, config.train.batch_size)
    folder = result.run_dir
    differences = _export(model, folder, scenes)
    picture = folder / "poses.png"
    write_file(picture, png(_drawn_grid(model, scenes)))
    summary = {
        **_figures(evaluation),
        "scenes": len(scenes.records),
        "max_pose_difference_px": differences,
        "picture": str(picture),
        **_photograph(folder),
        "model": str(result.model),
        **{name: str(folder / file) for name, file in EXPORTS.items()},
        "seconds": round(time.monotonic() - started, 1),
    }
    write_file(folder / "summary.json", json_text(summary))
    return summary


def _figures(evaluation: Evaluation) -> dict[str, float]:
    return {
        "ap": evaluation.metrics["AP"],
        "ap50": evaluation.metrics["AP50"],
        "score_oks_rank_correlation": evaluation.score_oks_rank_correlation,
    }


def _export(
    model: PoseEstimator, folder: Path, scenes: CocoDataset
) -> dict[str, float]:
    """Writes every format and returns its greatest pose difference in pixels."""
    records = scenes.records[:COMPARED_SCENES]
    images = [read_record_image(record) for record in records]
    differences = {}
    with Exporter(model, images=images) as exporter:
        for name, file in EXPORTS.items():
            logger.info("exporting %s", folder / file)
            comparison = exporter.write(name, folder / file, overwrite=True)
            differences[name] = comparison.max_pose_difference_px
    return differences


def _drawn_grid(model: PoseEstimator, scenes: CocoDataset) -> np.ndarray:
    rows, columns = GRID
    # All drawn scenes have the same size, so they fit into a grid.
    files = [str(record.file) for record in scenes.records[: rows * columns]]
    tiles = [
        _drawn(read_image(str(found.source), exif=True), found, model.skeleton)
        for found in Predictor(model).predict(files)
    ]
    tiles += [np.zeros_like(tiles[0])] * (rows * columns - len(tiles))
    grid = np.stack(tiles).reshape(rows, columns, *tiles[0].shape)
    return np.concatenate(np.concatenate(grid, axis=1), axis=1)


def _photograph(folder: Path) -> dict[str, str | int]:
    """Draws the people whom the shipped model finds in a photograph.

    It is the portrait of Grace Hopper that Matplotlib carries, in the public domain.
    """
    file = Path(matplotlib.get_data_path()) / "sample_data/grace_hopper.jpg"
    score = PRESETS["people"].min_score
    (found,) = Predictor("people", min_score=score)(file)
    photo = folder / "photo.png"
    write_file(photo, png(np.asarray(found.draw(score))))
    return {"photo": str(photo), "people_in_photo": len(found)}


def png(image: np.ndarray) -> bytes:
    """Returns a picture, RGB uint8, as a PNG file."""
    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG")
    return content.getvalue()


def _drawn(image: np.ndarray, found: ImagePoses, skeleton: Skeleton) -> np.ndarray:
    height, width = image.shape[:2]
    large = resize_image(image, height * ENLARGED, width * ENLARGED)
    poses = (found.poses + 0.5) * ENLARGED - 0.5
    return draw_poses(large, poses, found.scores, skeleton, min_score=DRAWN_SCORE)


def _main() -> None:
    show_log(also="experiments")
    summary = run(sys.argv[1:])
    difference = max(summary["max_pose_difference_px"].values())
    correlation = summary["score_oks_rank_correlation"]
    print(
        f"\nCOCO AP        {summary['ap']:.3f}  (AP50 {summary['ap50']:.3f}) on "
        f"{summary['scenes']} scenes never trained on\n"
        f"score and OKS  {correlation:.3f}  rank correlation\n"
        f"exports        within {difference:.1g} px of the Keras model's poses"
    )
    for name in ("model", *EXPORTS, "picture", "photo"):
        print(f"{name:<13}  {summary[name]}")
    print(f"{'seconds':<13}  {summary['seconds']}")


if __name__ == "__main__":
    sys.exit(guarded(_main))
