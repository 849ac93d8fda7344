"""Times evaluation in batches of one padded shape against one image at a time.

    python benchmarks/evaluation.py MODEL.keras --annotations A.json --images DIR

`predict_coco` runs in turn on the same images with batch sizes 1, 8 and 16. All of them
read, letterbox, detect and convert poses to COCO results. COCO's metrics, which take
the same time for each, are not timed. A small data set is repeated up to 200 images, so
that the start of the pipeline in each call does not dominate.
"""

import argparse
import dataclasses
import math
import os
import sys
from functools import partial
from pathlib import Path

from qepose_tf.benchmark.report import Report
from qepose_tf.benchmark.timing import measure

TARGET = 1.5
BATCHES = (1, 8, 16)
ENOUGH = 200


def main() -> int:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--annotations", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--repeat", type=int, help="how often each image is used")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

    from qepose_tf.data.coco.dataset import read_coco
    from qepose_tf.evaluation.evaluate import predict_coco
    from qepose_tf.models.reading import load_model

    try:
        model = load_model(options.model)
        coco = read_coco(options.annotations, options.images, model.skeleton)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    repeat = options.repeat or math.ceil(ENOUGH / len(coco.records))
    records = coco.records * repeat
    records = [
        dataclasses.replace(record, image_id=number)
        for number, record in enumerate(records)
    ]
    coco = dataclasses.replace(coco, records=records)
    calls = {str(size): partial(predict_coco, model, coco, size) for size in BATCHES}
    timings = measure(calls, runs=options.rounds, warmup=1)
    found = {size: timings[str(size)] for size in BATCHES}
    count, report = len(coco.records), Report()
    for size, timing in found.items():
        report.add(
            **{
                "batch size": size,
                "images/s": count / timing.median,
                "ms for an image": 1e3 * timing.median / count,
                "10% to 90%": f"{1e3 * timing.low / count:.1f} to "
                f"{1e3 * timing.high / count:.1f}",
                "faster by": found[1].ratio_to(timing),
            }
        )
    best = max(found[1].ratio_to(found[size]) for size in BATCHES[1:])
    name = f"evaluation of {options.images.name}, batches / one by one"
    report.aim(name, best, TARGET, "higher")
    report.facts = {"images": count, "repeat": repeat, "input_size": model.input_size}
    print(report.markdown())
    if options.json:
        report.write(options.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
