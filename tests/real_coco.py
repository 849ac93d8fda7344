"""Where real COCO images and labels are, and what is skipped without them."""

import os
from pathlib import Path

import pytest

_BESIDE = Path(__file__).resolve().parents[2] / "shared/coco"
FOLDER = Path(os.environ.get("QEPOSE_COCO", _BESIDE))
LABELS = FOLDER / "annotations/person_keypoints_val2017_538_labels_only.json"

needs_images = pytest.mark.skipif(
    not (FOLDER / "images/val2017").is_dir(), reason=f"no COCO images in {FOLDER}"
)
needs_labels = pytest.mark.skipif(
    not LABELS.is_file(), reason=f"no real labels at {LABELS}"
)
