"""Poses of many images by an Apache Beam pipeline, on any of its runners.

    python beam_predict.py --model pose/1 --images 'photos/*.jpg' --out poses/part \
        --dead-letter rejected/part [--format parquet] [--runner ...]

Needs apache-beam, tensorflow and numpy. Every image gives one record, in JSON Lines or
Parquet, or one line {"file": ..., "error": ...} among the rejected ones.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # or its notices hide our lines

import apache_beam as beam
import numpy as np
import pyarrow
import tensorflow as tf
from apache_beam.io import fileio
from apache_beam.io.filesystems import FileSystems
from apache_beam.ml.inference.base import KeyedModelHandler, ModelHandler, RunInference
from apache_beam.options.pipeline_options import PipelineOptions

NUMBERS = pyarrow.list_(pyarrow.float32())
SCHEMA = pyarrow.schema(
    [
        ("image", pyarrow.string()),
        ("keypoints", pyarrow.list_(pyarrow.string())),
        ("poses", pyarrow.list_(pyarrow.list_(NUMBERS))),  # [people, K, 2]
        ("scores", NUMBERS),
        ("keypoint_scores", pyarrow.list_(NUMBERS)),  # [people, K]
    ]
)
REJECTED = "rejected"


class Broken(NamedTuple):
    """What the model says of an image that it cannot decode."""

    error: str


class PoseHandler(ModelHandler[bytes, dict[str, np.ndarray] | Broken, Any]):
    """Runs the signature `serve_encoded` of a SavedModel.

    Args:
        path: of the folder that holds `saved_model.pb`.
        batch_size: most images at once.
    """

    def __init__(self, path: str, batch_size: int) -> None:
        super().__init__(min_batch_size=1, max_batch_size=batch_size)
        self._path = path

    def load_model(self) -> Any:
        """Loads the SavedModel; Beam calls this once per worker process."""
        return tf.saved_model.load(self._path)

    def run_inference(
        self,
        batch: Sequence[bytes],
        model: Any,
        inference_args: dict[str, Any] | None = None,
    ) -> list[dict[str, np.ndarray] | Broken]:
        """Poses of encoded images; a broken one does not take the others along.

        It fails the whole batch, which is then halved until the broken one is alone.
        """
        try:
            found = model.signatures["serve_encoded"](encoded=tf.constant(batch))
        except tf.errors.InvalidArgumentError:
            if len(batch) == 1:
                return [Broken("expected a JPEG or PNG, got another or a broken file")]
            half = len(batch) // 2
            parts = batch[:half], batch[half:]
            return [row for part in parts for row in self.run_inference(part, model)]
        arrays = {name: value.numpy() for name, value in found.items()}
        return [
            {name: array[row] for name, array in arrays.items()}
            for row in range(len(batch))
        ]


class Read(beam.DoFn):
    """A path to (path, content), or to a rejected file."""

    def process(self, path: str) -> Iterator[Any]:
        """Yields one element."""
        try:
            with FileSystems.open(path) as file:
                content = file.read()
        except Exception as error:  # each file system raises its own
            yield rejected(path, str(error))
            return
        yield (path, content) if content else rejected(path, "the file is empty")


class Record(beam.DoFn):
    """(path, what the model found) to a record of `SCHEMA`, or to a rejected file.

    Args:
        keypoints: names.
        min_score: people who score more are kept.
    """

    def __init__(self, keypoints: list[str], min_score: float) -> None:
        self._keypoints = keypoints
        self._min_score = min_score

    def process(self, found: tuple[str, dict[str, np.ndarray] | Broken]) -> Iterator:
        """Yields one element."""
        path, outputs = found
        if isinstance(outputs, Broken):
            yield rejected(path, outputs.error)
            return
        kept = outputs["scores"] > self._min_score
        names = ("poses", "scores", "keypoint_scores")
        people = {name: outputs[name][kept].tolist() for name in names}
        yield {"image": path, "keypoints": self._keypoints, **people}


def rejected(path: str, error: str) -> beam.pvalue.TaggedOutput:
    """An element of the dead-letter output."""
    line = {"file": path, "error": " ".join(error.split())}
    return beam.pvalue.TaggedOutput(REJECTED, line)


def build(pipeline: beam.Pipeline, args: argparse.Namespace, names: list[str]) -> None:
    """Adds all steps, from the patterns to the written files."""
    read = (
        pipeline
        | beam.Create(args.images)
        | fileio.MatchAll()
        | beam.Map(lambda match: match.path)
        | beam.Distinct()  # patterns may overlap
        | beam.ParDo(Read()).with_outputs(REJECTED, main="images")
    )
    found = (
        read["images"]
        | RunInference(KeyedModelHandler(PoseHandler(args.model, args.batch_size)))
        | beam.ParDo(Record(names, args.min_score)).with_outputs(REJECTED, main="poses")
    )
    if args.format == "parquet":
        write = beam.io.WriteToParquet(args.out, SCHEMA, file_name_suffix=".parquet")
        found["poses"] | "Poses" >> write
    else:
        write_lines(found["poses"], "Poses", args.out)
    refused = (read[REJECTED], found[REJECTED]) | beam.Flatten()
    write_lines(refused, "Rejected", args.dead_letter)


def write_lines(records: beam.PCollection, name: str, prefix: str) -> None:
    """Writes JSON Lines."""
    lines = records | f"{name}: JSON" >> beam.Map(json.dumps)
    lines | name >> beam.io.WriteToText(prefix, file_name_suffix=".jsonl")


def keypoint_names(model: str) -> list[str]:
    """Names from a SavedModel's pose.json."""
    path = FileSystems.join(model, "assets.extra", "pose.json")
    try:
        with FileSystems.open(path) as file:
            return json.loads(file.read())["skeleton"]["keypoints"]
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"{model}: expected an exported SavedModel like pose/1, {error}")


def check_matches(patterns: Iterable[str]) -> None:
    """Exits where a pattern stands for no file."""
    patterns = list(patterns)
    found = FileSystems.match(patterns, limits=[1] * len(patterns))
    for pattern, match in zip(patterns, found, strict=True):
        if not match.metadata_list:
            sys.exit(f"{pattern}: expected images, no file matches")


def main(argv: list[str] | None = None) -> None:
    """Runs the pipeline and waits for its end."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="Other options, such as --runner, go to Beam.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--model", required=True, help="folder of saved_model.pb, such as pose/1")
    add("--images", required=True, nargs="+", metavar="GLOB", help="JPEG or PNG files")
    add("--out", required=True, metavar="PREFIX", help="of the files of records")
    add("--dead-letter", required=True, metavar="PREFIX", help="of those of rejected")
    add("--format", choices=("jsonl", "parquet"), default="jsonl")
    add("--batch-size", type=int, default=8, help="most images at once")
    add("--min-score", type=float, default=0.0, help="people who score more are kept")
    args, beam_args = parser.parse_known_args(argv)
    if args.batch_size < 1:
        parser.error(f"--batch-size: expected at least 1, got {args.batch_size}")
    if not 0 <= args.min_score < 1:
        parser.error(f"--min-score: expected 0 to 1, got {args.min_score}")
    names = keypoint_names(args.model)
    check_matches(args.images)
    # In this process, unless another runner is asked for: DirectRunner would first try
    # to download a program of its own.
    options = PipelineOptions(["--runner=FnApiRunner", *beam_args])
    with beam.Pipeline(options=options) as pipeline:
        build(pipeline, args, names)


if __name__ == "__main__":
    main()
