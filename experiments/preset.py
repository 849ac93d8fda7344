"""Makes a preset of a trained model and measures it.

    python -m experiments.preset runs/people/best.keras [--input-size 384]

Writes NAME.keras and NAME.json (--name, `people` by default) into qepose_tf/presets.
Kernels are kept as float16, which halves the file; biases and statistics of batch
normalisation stay float32. The input size may be another than that of the training,
because the network is convolutional: small people are found better in larger pictures.
The figures are those of the written file on the photographs that were not trained on.
"""

import argparse
import datetime
import io
import json
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from qepose_tf.benchmark.report import processor
from qepose_tf.data.coco.dataset import CocoDataset, read_coco
from qepose_tf.evaluation.calibration import calibrate
from qepose_tf.evaluation.coco_evaluator import coco_evaluator
from qepose_tf.evaluation.evaluate import evaluate
from qepose_tf.evaluation.score_quality import scored_detections
from qepose_tf.files.whole_files import write_file
from qepose_tf.models import PoseEstimator, load_model
from qepose_tf.presets.presets import FOLDER

WEIGHTS = "model.weights.h5"
PHOTOS = Path(__file__).resolve().parents[1] / "../shared/photos"
LEAST_PRECISION = 0.8
FOUND = 0.5  # OKS from which a pose counts as the person


def halved(file: Path) -> bytes:
    """Returns a `.keras` file whose kernels are float16."""
    written = io.BytesIO()
    with (
        zipfile.ZipFile(file) as source,
        zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name in source.namelist():
            content = source.read(name)
            target.writestr(
                name, _halved_weights(content) if name == WEIGHTS else content
            )
    return written.getvalue()


def _halved_weights(content: bytes) -> bytes:
    written = io.BytesIO()
    with (
        h5py.File(io.BytesIO(content), "r") as source,
        h5py.File(written, "w") as target,
    ):

        def copy(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Group):
                made = target.require_group(name)
            else:
                value = item[()]
                made = target.create_dataset(
                    name, data=value.astype(np.float16) if value.ndim > 1 else value
                )
            for key, attribute in item.attrs.items():
                made.attrs[key] = attribute

        source.visititems(copy)
        for key, attribute in source.attrs.items():
            target.attrs[key] = attribute
    return written.getvalue()


def least_score(scores: np.ndarray, right: np.ndarray) -> float:
    """Returns the least score, in hundredths, from which most poses are right.

    Args:
        scores: `[N]` in 0..1.
        right: `[N]` bool.
    """
    bounds = np.arange(101) / 100
    above = scores >= bounds[:, None]
    precision = (above & right).sum(1) / np.maximum(above.sum(1), 1)
    good = np.flatnonzero(precision >= LEAST_PRECISION)
    return float(bounds[good[0]]) if len(good) else 1.0


def curve(coco: CocoDataset, results: list[dict[str, Any]]) -> dict[str, Any]:
    """Precision and recall over the score, and the score to show poses from.

    A pose is right where its OKS with a labelled person of its own is at least 0.5, so
    that the second pose of a person is wrong. Poses whose best match is an ignored
    region don't count.

    Returns:
        `min_score`, the least score from which `LEAST_PRECISION` of all poses are
        right, with the number of poses, the precision and the recall there.
    """
    found = scored_detections(coco_evaluator(coco, results))
    scores = found.scores[found.judged]
    right = found.own_oks[found.judged] >= FOUND
    min_score = least_score(scores, right)
    shown = right[scores >= min_score]
    return {
        "min_score": min_score,
        "poses": len(shown),
        "precision": round(float(shown.mean()), 3) if len(shown) else None,
        "recall": round(float(shown.sum() / found.people), 3),
    }


def main(arguments: list[str]) -> None:
    """Writes the preset's two files and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--name", default="people")
    parser.add_argument("--input-size", type=int)
    parser.add_argument("--photos", type=Path, default=PHOTOS)
    options = parser.parse_args(arguments)
    file = FOLDER / f"{options.name}.keras"
    size = options.input_size
    changes = {} if size is None else {"input_size": size}
    with tempfile.TemporaryDirectory() as folder:
        changed = Path(folder) / file.name
        PoseEstimator.from_preset(options.model, **changes).save(changed)
        write_file(file, halved(changed))
    model = load_model(file)
    coco = read_coco(
        options.photos / "annotations/person_keypoints_photos_val.json",
        options.photos / "images/val",
        model.skeleton,
    )
    evaluation = evaluate(model, coco)
    calibration = calibrate(coco, evaluation.results)
    facts = {
        "command": " ".join(["python -m experiments.preset", *arguments]),
        "date": datetime.date.today().isoformat(),
        "hardware": processor(),
        "measured_on": "300 photographs of COCO val2017 that were not trained on",
        "parameters": int(model.count_params()),
        "input_size": model.input_size,
        "file_megabytes": round(file.stat().st_size / 1e6, 2),
        **curve(coco, evaluation.results),
        "calibration_error": round(calibration.calibration_error or 0.0, 3),
        **{name: round(v, 3) for name, v in evaluation.metrics.items()},
    }
    write_file(FOLDER / f"{options.name}.json", json.dumps(facts, indent=1) + "\n")
    print(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
