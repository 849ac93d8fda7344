"""Mirrored images, mirrored poses, and one list of people from several views."""

import keras
import numpy as np
import pytest
from keras import ops

from qepose_tf.models.multi_view import (
    detect,
    merge,
    mirror_images,
    mirror_points,
    mirror_poses,
    ranking_map,
)
from qepose_tf.models.pose_estimator import MEAN, PoseEstimator
from qepose_tf.skeleton import COCO
from tests.backends import compiled, everywhere, to_numpy
from tests.models.conftest import moderate, random_images
from tests.ops.test_decode import nms_twin

HEIGHT, WIDTH = 64, 128
BLACK = np.zeros(3, "float32")
DECODING = {"max_detections": 12, "score_threshold": 0.01, "nms_distance": 0.05}


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return moderate(PoseEstimator(COCO, backbone="tiny", input_size=64))


def detected(model, images, **changes):
    run = compiled(lambda x: detect(model, x, **{"flip": True, **DECODING, **changes}))
    return to_numpy(run(ops.convert_to_tensor(images)))


def shiftable(seed=0):
    """Images whose last three columns are padding: mirrored twice, they are back."""
    images = random_images(2, HEIGHT, WIDTH, seed=seed)
    images[:, :, -3:] = MEAN
    return images


def test_a_lit_cell_is_a_lit_cell_of_the_mirrored_image():
    images = np.zeros((1, 8, 32, 3), "float32")
    images[0, 4, 20] = 1.0  # the centre of cell (5, 1)
    images[0, 0, 28] = 2.0  # of the last cell of the first row
    mirrored = everywhere(lambda x: mirror_images(x, BLACK), images)
    assert np.argwhere(mirrored[0, :, :, 0]).tolist() == [[0, 0], [4, 8]]
    cells = np.int32([[5, 1], [7, 0]])
    there = everywhere(lambda c: mirror_points(c, 8), cells)
    np.testing.assert_array_equal(there, [[2, 1], [0, 0]])
    x, y = 4 * there.T
    np.testing.assert_array_equal(mirrored[0, y, x, 0], [1.0, 2.0])
    # A plain mirror puts both between the cells.
    assert not images[:, :, ::-1][:, ::4, ::4].any()


def test_a_mirrored_image_shows_every_cell_and_loses_three_columns():
    images = random_images(2, 16, 24)
    fill = np.float32([7, 8, 9])
    mirrored = everywhere(lambda x: mirror_images(x, fill), images)
    np.testing.assert_array_equal(
        mirrored[:, ::4, ::4], images[:, ::4, ::4][:, :, ::-1]
    )
    for x in range(24 - 3):
        np.testing.assert_array_equal(mirrored[:, :, x], images[:, :, 24 - 4 - x])
    np.testing.assert_array_equal(
        mirrored[:, :, -3:], np.broadcast_to(fill, (2, 16, 3, 3))
    )
    twice = everywhere(lambda x: mirror_images(mirror_images(x, fill), fill), images)
    np.testing.assert_array_equal(twice[:, :, :-3], images[:, :, :-3])


def test_a_mirrored_pose_swaps_left_and_right():
    pose = np.arange(34, dtype="float32").reshape(1, 1, 17, 2) / 2
    width, permutation = 30, COCO.flip_permutation
    mirrored = everywhere(lambda p: mirror_poses(p, width, permutation), pose)
    left, right = (COCO.keypoints.index(f"{s}_wrist") for s in ("left", "right"))
    np.testing.assert_array_equal(
        mirrored[0, 0, left], [29, 0] + pose[0, 0, right] * [-1, 1]
    )
    back = everywhere(lambda p: mirror_poses(p, width, permutation), mirrored)
    np.testing.assert_array_equal(back, pose)


def twin(model, images):
    """Flip test by hand: two runs, dense poses, loops."""
    maps, poses = [], []
    for view in (images, to_numpy(mirror_images(images, model.mean))):
        outputs = model(view, training=False)
        maps.append(np.clip(to_numpy(outputs["score_map"])[..., 0], 0, 1))
        dense = model.encoding(outputs["keypoint_features"], outputs["query_offsets"])
        shape = (*maps[0].shape, 17, 2)
        poses.append(4 * to_numpy(dense).reshape(shape))
    swapped = poses[1][:, :, ::-1, list(COCO.flip_permutation)]
    swapped[..., 0] = images.shape[2] - 4 - swapped[..., 0]
    score = (maps[0] + maps[1][:, :, ::-1]) / 2
    pose = (poses[0] + swapped) / 2
    found = []
    for image in range(len(images)):
        best = []
        for y, x in np.ndindex(score.shape[1:]):
            around = score[image, max(0, y - 2) : y + 3, max(0, x - 2) : x + 3]
            if score[image, y, x] == around.max():
                best.append((-score[image, y, x], y, x))
        best = sorted(best)[: DECODING["max_detections"]]
        scores = np.array([-negative for negative, _, _ in best])
        scores[scores <= DECODING["score_threshold"]] = 0
        rows = np.array([pose[image, y, x] for _, y, x in best])
        keep = nms_twin(rows, scores, DECODING["nms_distance"], 4)
        found.append((scores[keep], rows[keep]))
    return found


@pytest.mark.slow
def test_flip_equals_its_twin(model):
    images = random_images(2, HEIGHT, WIDTH)
    found = detected(model, images)
    assert np.ptp(found["poses"][0, 0], axis=0).min() > 4, "keypoints must differ"
    for image, (scores, poses) in enumerate(twin(model, images)):
        count = len(scores)
        assert count > 3
        np.testing.assert_allclose(found["scores"][image, :count], scores, atol=1e-5)
        np.testing.assert_allclose(found["poses"][image, :count], poses, atol=1e-3)
        np.testing.assert_array_equal(found["scores"][image, count:], 0)


@pytest.mark.slow
def test_a_mirrored_image_has_mirrored_poses(model):
    images = shiftable()
    found = detected(model, images)
    there = detected(model, to_numpy(mirror_images(images, model.mean)))
    assert (found["scores"] > 0).sum() > 6
    np.testing.assert_allclose(there["scores"], found["scores"], atol=1e-6)
    cells = to_numpy(mirror_points(there["cells"], WIDTH // 4))
    np.testing.assert_array_equal(cells, found["cells"])
    poses = there["poses"][:, :, list(COCO.flip_permutation)]
    poses[..., 0] = WIDTH - 4 - poses[..., 0]
    np.testing.assert_allclose(poses, found["poses"], atol=1e-3)
    np.testing.assert_array_equal(
        found["keypoint_scores"], np.repeat(found["scores"][..., None], 17, -1)
    )


@pytest.mark.slow
def test_without_flip_it_is_the_models_decoder(model):
    images = random_images(2, HEIGHT, WIDTH)
    settings = model.decoder_settings.to_dict()
    found = detected(model, images, flip=False, **settings)
    own = to_numpy(model(images, training=False))
    for name, rows in found.items():
        np.testing.assert_allclose(rows, own[name], atol=1e-3, err_msg=name)


def test_the_ranking_is_clipped_and_times_the_quality():
    score = np.float32([-0.5, 0.5, 1.5]).reshape(1, 1, 3, 1)
    quality = np.float32([0.5, 1.5, 0.25]).reshape(1, 1, 3, 1)
    alone = ranking_map({"score_map": score})
    np.testing.assert_array_equal(to_numpy(alone).ravel(), [0, 0.5, 1])
    product = ranking_map({"score_map": score, "quality_map": quality})
    np.testing.assert_array_equal(to_numpy(product).ravel(), [0, 0.5, 0.25])


def candidates(keypoints, rows=20, seed=0):
    """People found by several views; an empty row now and then, in any order."""
    rng = np.random.default_rng(seed)
    people = rng.uniform(0, 300, (3, 5, keypoints, 2))
    which = rng.integers(0, 5, (3, rows))
    poses = np.take_along_axis(people, which[..., None, None], axis=1)
    poses = (poses + rng.normal(0, 6, poses.shape)).astype("float32")
    scores = rng.random((3, rows)).astype("float32")
    scores[rng.random((3, rows)) < 0.2] = 0
    return poses, scores, np.repeat(scores[..., None], keypoints, -1)


def merged(views, most=20):
    def run(*rows):
        return merge(*rows, max_detections=most, nms_distance=0.05)

    return everywhere(run, *views)


def kept_by_twin(poses, scores, most):
    order = np.argsort(-scores, kind="stable")
    poses, scores = poses[order], scores[order]
    keep = nms_twin(poses, scores, 0.05, 4)
    return poses[keep][:most], scores[keep][:most]


@pytest.mark.parametrize(("keypoints", "most"), [(1, 20), (17, 20), (17, 3)])
def test_merge_equals_its_twin(keypoints, most):
    views = candidates(keypoints)
    poses, scores, keypoint_scores = merged(views, most)
    assert poses.shape == (3, most, keypoints, 2)
    for image in range(3):
        kept, best = kept_by_twin(views[0][image], views[1][image], most)
        count = len(best)
        assert count
        np.testing.assert_array_equal(poses[image, :count], kept)
        np.testing.assert_array_equal(scores[image, :count], best)
        np.testing.assert_array_equal(scores[image, count:], 0)
        expected = np.repeat(scores[image][:, None], keypoints, -1)
        np.testing.assert_array_equal(keypoint_scores[image], expected)


@pytest.mark.slow
@pytest.mark.parametrize("keypoints", [1, 2, 17])
def test_a_view_merged_with_itself_is_the_view(keypoints):
    view = merged(candidates(keypoints))
    again = merged([np.concatenate([rows] * 3, axis=1) for rows in view])
    for first, second in zip(view, again, strict=True):
        filled = view[1] > 0
        np.testing.assert_array_equal(second[filled], first[filled])
        np.testing.assert_array_equal(again[1], view[1])


@pytest.mark.parametrize("keypoints", [1, 2, 17])
def test_points_of_a_coarse_view_reach_further_in_the_picture(keypoints):
    """Cells of 4 px reach 8 px, cells of 8 px 16; the better pose's view decides."""
    x = np.float32([[100, 110, 300, 310]])
    poses = np.stack([x, x], axis=-1)[:, :, None].repeat(keypoints, 2)
    poses[..., 1] = 50
    scores = np.float32([[0.9, 0.8, 0.7, 0.6]])
    cells_px = np.float32([[4, 8, 8, 4]])
    rows = (poses, scores, np.repeat(scores[..., None], keypoints, -1), cells_px)
    found, kept, _ = merged(rows)
    np.testing.assert_array_equal(kept, np.float32([[0.9, 0.8, 0.7, 0]]))
    np.testing.assert_array_equal(found[0, :3, 0, 0], [100, 110, 300])


def test_of_equal_scores_the_earlier_view_is_kept():
    pose = np.float32([[0, 0], [100, 100]])
    poses = np.stack([pose, pose + 1])[None]
    scores = np.float32([[0.5, 0.5]])
    found, kept, _ = merged((poses, scores, np.repeat(scores[..., None], 2, -1)))
    np.testing.assert_array_equal(kept, [[0.5, 0]])
    np.testing.assert_array_equal(found[0, 0], pose)


def test_nobody_in_any_view():
    views = (np.ones((2, 4, 3, 2), "float32"), np.zeros((2, 4), "float32"))
    _, scores, keypoint_scores = merged((*views, np.zeros((2, 4, 3), "float32")))
    assert not scores.any() and not keypoint_scores.any()
