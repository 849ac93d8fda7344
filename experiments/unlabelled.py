"""How many hidden people `qepose doctor --model` finds in photographs.

    python -m experiments.unlabelled [--model people] [--photos ../shared/photos]

In every photograph with a person of at least 8 labelled keypoints and 96 x 96 px, the
label of one such person is hidden, chosen by --seed. A finding counts as a hidden
person if most of the found pose lies on that person's box; any other finding is a false
alarm, or a person whom the photograph's annotators left out.
"""

import argparse
import dataclasses
from pathlib import Path

import numpy as np

from qepose_tf.data.coco.dataset import ImageRecord, read_coco
from qepose_tf.doctor.finding import Finding
from qepose_tf.doctor.pictures import look_at
from qepose_tf.doctor.unlabelled import unlabelled_people
from qepose_tf.skeleton import COCO

PHOTOS = Path(__file__).resolve().parents[1] / "../shared/photos"
KEYPOINTS, AREA = 8, 96.0**2
MARGIN = 0.15  # of the box's longer side


def hidden(
    record: ImageRecord, random: np.random.Generator
) -> tuple[ImageRecord, np.ndarray] | None:
    """The record without one of its large people, and that person's box `[4]`."""
    labelled = (record.keypoints[..., 2] > 0).sum(axis=1)
    large = np.flatnonzero((labelled >= KEYPOINTS) & (record.area >= AREA))
    if not len(large):
        return None
    chosen = random.choice(large)
    kept = np.arange(len(labelled)) != chosen
    without = dataclasses.replace(
        record,
        keypoints=record.keypoints[kept],
        area=record.area[kept],
        boxes=record.boxes[kept],
    )
    return without, record.boxes[chosen]


def is_on(finding: Finding, box: np.ndarray) -> bool:
    """Whether most of the found pose lies on the hidden person's box."""
    margin = MARGIN * box[2:].max()
    low, high = box[:2] - margin, box[:2] + box[2:] + margin
    points = np.asarray(finding.pose)
    return bool(((points >= low) & (points <= high)).all(axis=1).mean() > 0.5)


def main() -> None:
    """Hides people, looks for them and prints the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="people")
    parser.add_argument("--photos", type=Path, default=PHOTOS)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    annotations = "annotations/person_keypoints_photos_val.json"
    coco = read_coco(options.photos / annotations, options.photos / "images/val", COCO)
    random = np.random.default_rng(options.seed)
    records, boxes = [], {}
    for row, record in enumerate(coco.records):
        without = hidden(record, random)
        if without:
            boxes[row] = without[1]
        records.append(without[0] if without else record)
    findings = unlabelled_people(records, look_at(records), options.model)
    found = {
        finding.picture
        for finding in findings
        if finding.picture in boxes and is_on(finding, boxes[finding.picture])
    }
    print(f"photographs {len(records)}")
    print(f"people hidden {len(boxes)}, of them found {len(found)}")
    print(f"findings {len(findings)}, on nobody hidden {len(findings) - len(found)}")


if __name__ == "__main__":
    main()
