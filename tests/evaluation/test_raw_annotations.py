"""Figures of what the reader kept against pycocotools on the file itself."""

import json

import numpy as np
import pytest

from tests.evaluation.test_evaluate import (
    metrics,
    noisy_detections,
    person,
    pycocotools_figures,
    truth,
)


def crowded_labels(rng):
    """People of fractional areas and places, some beyond their image, and crowds."""
    people = []
    for image_id in (1, 2, 3):
        for _ in range(6):
            x, area = rng.uniform(-60, 600), rng.uniform(500, 20_000)
            someone = person(image_id, x, area=area)
            kind = rng.integers(5)
            if kind == 0:
                someone |= {"num_keypoints": 0, "keypoints": [0] * 51}
            elif kind == 1:
                someone |= {"iscrowd": 1, "segmentation": [[x, 50, x + 9, 50, x, 99]]}
            people.append(someone)
    # pycocotools takes an annotation's id of 0 for "unmatched".
    labels = truth({}, *people, images=(1, 2, 3))
    del labels["annotations"][0]
    for image in labels["images"]:
        image["width"] = 640
    return labels


@pytest.mark.parametrize("seed", range(5))
def test_figures_beyond_the_image_and_in_crowds_are_those_of_pycocotools(
    tmp_path, seed
):
    rng = np.random.default_rng(seed)
    labels = crowded_labels(rng)
    results = noisy_detections(labels, rng)
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    figures = metrics(labels, results)
    direct = pycocotools_figures(tmp_path / "labels.json", results)
    assert list(figures.values()) == direct
    assert 0.1 < figures["AP"] < 0.9
    keypoints = np.reshape([a["keypoints"] for a in labels["annotations"]], (-1, 17, 3))
    assert (keypoints[..., 0] < 0).any() or (keypoints[..., 0] > 640).any()
