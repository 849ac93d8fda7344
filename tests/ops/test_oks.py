import contextlib
import io

import keras
import numpy as np
import pytest
from keras import ops

from qepose_tf.ops.oks import oks
from qepose_tf.skeleton import COCO
from tests.backends import everywhere, value_and_gradients

SIGMAS = np.float32(COCO.sigmas)


def random_people(count, seed, size=200.0):
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, size, (count, 17, 2))
    return np.round(points, 2).astype("float32")


def similarity(poses, keypoints, area, sigmas=SIGMAS):
    return everywhere(
        lambda *facts: oks(*facts, sigmas),
        np.float32(poses),
        np.float32(keypoints),
        np.float32(area),
    )


def test_worked_by_hand():
    # sigma 0.5: k = 1. Area 8: d^2 = 16 gives exp(-16 / (2 * 8)) = e^-1, 0 gives 1.
    poses = [[[4, 0], [7, 7], [0, 0]]]
    keypoints = [[[0, 0, 2], [7, 7, 1], [99, 99, 0]]]
    value = similarity(poses, keypoints, [8.0], np.float32([0.5, 0.5, 0.5]))
    np.testing.assert_allclose(value, [(np.exp(-1) + 1) / 2], rtol=1e-6)


def test_equals_pycocotools_on_random_people():
    pytest.importorskip("pycocotools", reason="comes with the extra `train`")
    from pycocotools.coco import COCO as CocoFile
    from pycocotools.cocoeval import COCOeval

    rng = np.random.default_rng(0)
    truth = np.concatenate(
        [random_people(5, 1), rng.integers(0, 3, (5, 17, 1)).astype("float32")], -1
    )
    truth[:, 0, 2] = 2  # pycocotools scores people without a label by their box
    # Some close to the truth, others anywhere.
    guesses = np.concatenate([truth[:4, :, :2] + rng.normal(0, 6, (4, 17, 2))])
    guesses = np.concatenate([guesses, random_people(2, 2)]).astype("float32")
    area = rng.uniform(2000, 30000, 5).astype("float32")
    with contextlib.redirect_stdout(io.StringIO()):
        labels = CocoFile()
        labels.dataset = {
            "images": [{"id": 1}],
            "categories": [{"id": 1, "name": "person"}],
            "annotations": [
                {
                    "id": n + 1,
                    "image_id": 1,
                    "category_id": 1,
                    "keypoints": person.reshape(-1).tolist(),
                    "num_keypoints": int((person[:, 2] > 0).sum()),
                    "area": float(area[n]),
                    "bbox": [0, 0, 200, 200],
                    "iscrowd": 0,
                }
                for n, person in enumerate(truth)
            ],
            "info": {},
        }
        labels.createIndex()
        results = labels.loadRes(
            [
                {
                    "image_id": 1,
                    "category_id": 1,
                    "keypoints": np.insert(pose, 2, 1.0, axis=1).reshape(-1).tolist(),
                    "score": 1.0 - 0.1 * n,
                }
                for n, pose in enumerate(guesses)
            ]
        )
        evaluation = COCOeval(labels, results, "keypoints")
        evaluation.evaluate()
        expected = evaluation.computeOks(1, 1)  # [guesses, people]
    poses = np.broadcast_to(guesses[:, None], (6, 5, 17, 2))
    values = similarity(poses, truth[None], area)
    assert expected.max() > 0.5 and expected.min() < 0.01
    np.testing.assert_allclose(values, expected, atol=1e-6)


def test_nobody():
    shapes = ((2, 0, 17, 2), (2, 0, 17, 3), (2, 0))
    assert similarity(*(np.zeros(shape) for shape in shapes)).shape == (2, 0)


def test_padding_and_people_without_labels_have_none():
    keypoints = np.full((3, 17, 3), 5.0)
    keypoints[0, :, 2] = 0  # no label
    keypoints[2, 1:, 2] = 0  # one label
    value = similarity(keypoints[..., :2], keypoints, [100.0, 0.0, 100.0])
    np.testing.assert_array_equal(value, [0, 0, 1])


def test_an_unlabelled_keypoint_may_hold_anything():
    keypoints = np.full((1, 17, 3), 5.0)
    keypoints[0, 3] = [np.nan, np.inf, 0]
    value = similarity(np.full((1, 17, 2), 5.0), keypoints, [100.0])
    np.testing.assert_array_equal(value, [1.0])


def test_pixels_and_cells_agree():
    """Distances by 4 and areas by 16: the similarity has no unit."""
    poses, truth = random_people(3, 3), random_people(3, 4)
    truth = np.concatenate([truth, np.full((3, 17, 1), 2.0, "float32")], -1)
    area = np.float32([4e4, 9e4, 1e5])
    in_cells = similarity(poses / 4, truth / [4, 4, 1], area / 16)
    np.testing.assert_allclose(in_cells, similarity(poses, truth, area), rtol=1e-5)


def test_the_gradient_of_padding_is_finite():
    poses = keras.Variable(random_people(2, 5))
    keypoints = np.zeros((2, 17, 3), "float32")
    _, (gradient,) = value_and_gradients(
        lambda: ops.sum(oks(poses, keypoints, np.zeros(2, "float32"), SIGMAS)), [poses]
    )
    np.testing.assert_array_equal(gradient, 0.0)
