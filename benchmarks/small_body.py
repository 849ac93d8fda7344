"""Times the parts of a training step of a small body, packed and padded.

    python benchmarks/small_body.py [--config FILE] [--runs N] [--json FILE]

Every image shows three people. In the second case one image of the batch shows thirty,
to which all others are padded. Pixels and weights are random, for the time of a step
does not depend on them. The parts are timed in turn, so that ratios can be compared.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from qepose_tf.benchmark.report import Report, processor
from qepose_tf.benchmark.timing import measure
from qepose_tf.building import build_model
from qepose_tf.config.reading import load_config
from qepose_tf.models import pose_training
from qepose_tf.skeleton import Skeleton
from qepose_tf.training.building import compile_model, frozen_layers

ROOT = Path(__file__).resolve().parents[1]
FEW, MANY = 3, 30
BODY = "body, forward and back"


def facts(batch: int, side: int, people: int, rows: int) -> dict[str, np.ndarray]:
    """Returns labels of a batch: `rows` people in the first image, else `people`."""
    rng = np.random.default_rng(0)
    centres = rng.uniform(0.2 * side, 0.8 * side, (batch, rows, 1, 2))
    points = centres + rng.normal(0, 0.1 * side, (batch, rows, 17, 2))
    keypoints = np.concatenate([points, np.full((batch, rows, 17, 1), 2.0)], axis=-1)
    area = np.full((batch, rows), (0.3 * side) ** 2)
    area[1:, people:] = 0.0
    ignore = np.zeros((batch, side // 4, side // 4, 1))
    labels = {"keypoints": keypoints, "area": area, "ignore": ignore}
    return {name: value.astype(np.float32) for name, value in labels.items()}


def parts(config_file: Path) -> dict[str, Callable[[], object]]:
    """Returns calls that run a part of a step, or a whole step, by name."""
    config = load_config(config_file)
    keras.utils.set_random_seed(0)
    model = build_model(config, Skeleton.load(config.skeleton, config.data.categories))
    frozen = frozen_layers(model, config)
    for layer in frozen:
        layer.trainable = False
    compile_model(model, config, 1)
    batch, side = config.train.batch_size, config.model.input_size
    pixels = np.random.default_rng(1).uniform(0, 255, (batch, side, side, 3))
    images = tf.constant(pixels, tf.float32)
    first = keras.Model(model.body.inputs, frozen[-1].output) if frozen else None

    @tf.function(autograph=False)
    def body_and_back() -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            maps = model.body(images, training=True)
            total = tf.add_n([tf.reduce_sum(one * one) for one in maps])
        return tape.gradient(total, model.body.trainable_weights)

    def step(packed: bool, rows: int) -> Callable[[], object]:
        setattr(pose_training, "sizes_may_vary", lambda: packed)  # noqa: B010, typed
        labels = facts(batch, side, FEW, rows)
        run = tf.function(lambda: model.train_step((images, labels)), autograph=False)
        run()  # is traced here, as `_PACKED` may change afterwards
        return lambda: {k: v.numpy() for k, v in run().items()}

    def forward(part: Callable) -> Callable[[], object]:
        run = tf.function(lambda: part(images, training=True), autograph=False)
        return lambda: tf.nest.map_structure(lambda t: t.numpy(), run())

    calls = {"frozen layers, forward": forward(first)} if first else {}
    return calls | {
        "body, forward": forward(model.body),
        BODY: lambda: [g.numpy() for g in body_and_back()],
        "whole, forward": forward(
            lambda x, training: model(x, training=training)["score_map"]
        ),
        f"step, {FEW} people, packed": step(True, FEW),
        f"step, {FEW} people, padded": step(False, FEW),
        f"step, {MANY} in one image, packed": step(True, MANY),
        f"step, {MANY} in one image, padded": step(False, MANY),
    }


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=ROOT / "configs/people.yaml")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    timings, report = measure(parts(options.config), options.runs), Report()
    batch = load_config(options.config).train.batch_size
    for name, timing in timings.items():
        report.add(
            part=name,
            **{
                "median ms": 1e3 * timing.median,
                "low": 1e3 * timing.low,
                "high": 1e3 * timing.high,
                f"x {BODY}": timing.ratio_to(timings[BODY]),
                "images/s": batch / timing.median,
            },
        )
    report.facts = {"processor": processor(), "config": options.config.name}
    print(report.markdown())
    if options.json:
        report.write(options.json)


if __name__ == "__main__":
    main()
