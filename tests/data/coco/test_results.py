import json

import numpy as np
import pytest

from qepose_tf.data.coco.results import coco_results


def test_results_are_what_pycocotools_loads():
    poses = np.array([[[1.239, 2.0], [3.0, 4.456]]])
    (result,) = coco_results([139], poses, [0.87654], [[0.5, 0.25]], 1)
    assert result == {
        "image_id": 139,
        "category_id": 1,
        "keypoints": [1.24, 2.0, 0.5, 3.0, 4.46, 0.25],
        "score": 0.8765,
    }
    assert json.loads(json.dumps(result)) == result
    assert coco_results([], np.zeros((0, 17, 2)), [], np.zeros((0, 17)), 1) == []


def test_results_of_the_wrong_shape_or_not_finite():
    poses = np.zeros((1, 2, 2))
    with pytest.raises(ValueError, match="expected scores"):
        coco_results([1], poses, [0.5, 0.5], [[0.5, 0.25]], 1)
    with pytest.raises(ValueError, match="expected finite"):
        coco_results([1], poses * np.nan, [0.5], [[0.5, 0.25]], 1)
