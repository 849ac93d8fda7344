"""Settings of the test-time protocol, and what is traced how often."""

import gc
import weakref

import keras
import numpy as np
import pytest

from qepose_tf.inference.detections import Detections
from qepose_tf.inference.detector import Detector
from qepose_tf.models import PoseEstimator
from qepose_tf.skeleton import COCO, Skeleton
from tests.models.conftest import moderate, random_images

SIDE = 64


def untrained(skeleton=COCO):
    keras.utils.set_random_seed(0)
    model = PoseEstimator(
        skeleton, "tiny", input_size=SIDE, decoder={"score_threshold": 0.0}
    )
    return moderate(model, 0.2)


@pytest.fixture(scope="module")
def model():
    return untrained()


@pytest.fixture(scope="module")
def images():
    return random_images(2, SIDE, SIDE)


def equal(first, second):
    """The same people; an empty row may hold any pose."""
    np.testing.assert_array_equal(first.scores, second.scores)
    np.testing.assert_array_equal(first.keypoint_scores, second.keypoint_scores)
    filled = first.scores > 0
    assert filled.any()
    np.testing.assert_array_equal(first.poses[filled], second.poses[filled])


@pytest.mark.slow
def test_without_settings_it_is_the_model(model, images):
    found = Detector(model).detect(images)
    outputs = model(images, training=False)
    np.testing.assert_allclose(found.scores, outputs["scores"], atol=1e-6)
    np.testing.assert_allclose(found.poses, outputs["poses"], atol=1e-3)
    own = {
        name: getattr(model.decoder_settings, name)
        for name in ("max_detections", "score_threshold", "nms_distance")
    }
    equal(Detector(model, **own).detect(images), found)


@pytest.mark.slow
def test_settings_decide_who_is_kept(model, images):
    found = Detector(model).detect(images)
    everybody = (found.scores > 0).sum()
    threshold = float(np.median(found.scores[found.scores > 0]))
    best = Detector(model, score_threshold=threshold).detect(images)
    assert 0 < (best.scores > 0).sum() < everybody
    assert best.scores[best.scores > 0].min() > threshold
    one = Detector(model, nms_distance=1e6, max_detections=3).detect(images)
    assert one.poses.shape == (2, 3, 17, 2)
    np.testing.assert_array_equal(one.scores[:, 0], found.scores[:, 0])
    np.testing.assert_array_equal((one.scores > 0).sum(axis=1), [1, 1])


@pytest.mark.slow
def test_more_rows_than_cells_are_empty_rows(model, images):
    found = Detector(model, max_detections=300).detect(images)  # 16 x 16 cells
    assert found.poses.shape == (2, 300, 17, 2) and np.isfinite(found.poses).all()
    np.testing.assert_array_equal(found.scores[:, 256:], 0)
    own = Detector(model).detect(images)
    for image in range(2):
        count = (own.scores[image] > 0).sum()
        np.testing.assert_array_equal(
            found.scores[image, :count], own.scores[image, :count]
        )


@pytest.mark.slow
def test_a_model_is_traced_once_and_freed(images):
    model = untrained()
    first, second = Detector(model), Detector(model, scales=(1, 2))
    before = first.detect(images)
    wide = np.concatenate([images, images], axis=2)
    assert second.detect(wide).poses.shape == (2, 30, 17, 2)
    for weight in model.get_layer("score").weights:
        weight.assign(weight + 0.25)  # training goes on between validations
    after = Detector(model).detect(images[:1])
    assert after.scores[0, 0] - before.scores[0, 0] > 0.2
    assert first._detect is second._detect
    assert first._detect.experimental_get_tracing_count() == 1
    reference = weakref.ref(model)
    del model, first, second, weight
    keras.backend.clear_session()
    gc.collect()
    assert reference() is None


def test_sizes_of_the_scales(model):
    detector = Detector(model, scales=(0.5, 1, 1.1, 2, 1.0))
    assert detector.scales == (0.5, 1.0, 1.1, 2.0)
    assert detector.short_sides(512) == [256, 512, 563, 1024]
    assert detector.short_sides(1) == [1, 1, 1, 2]
    assert detector.batch_sizes(8) == [8, 8, 6, 2]
    assert detector.batch_sizes(1) == [1, 1, 1, 1]


def test_one_scale_needs_no_merging(model, images):
    found = Detector(model).detect(images)
    equal(Detector(model).merge([found]), found)
    twice = Detector(model, scales=(1, 2)).merge([found, found])
    equal(twice, found)


@pytest.mark.slow
def test_one_keypoint_at_several_scales(caplog):
    """The points of two views are one where they lie within two cells of the better."""
    model = untrained(Skeleton("head", ("head",), (), (), (0.1,)))
    detector = Detector(model, scales=(1, 2))
    assert not caplog.records
    scores = np.tile(np.linspace(1, 0.1, 30, dtype="float32"), [2, 1])
    grid = np.stack(np.meshgrid(np.arange(6), np.arange(5)), -1).reshape(1, 30, 1, 2)
    poses = np.float32(12 * grid).repeat(2, 0)  # px; a point reaches 8 at most
    found = Detections(poses, scores, scores[..., None])
    near = Detections(poses + np.float32([5, 0]), scores / 2, scores[..., None] / 2)
    equal(detector.merge([found, near]), found)
    finer = detector.merge([found, near], [2.0, 1.0])  # it reaches 4
    best = np.sort(np.concatenate([scores, scores / 2], axis=1))[:, :-31:-1]
    np.testing.assert_array_equal(finer.scores, best)


@pytest.mark.parametrize(
    "scales",
    [
        (),
        (0,),
        (-1, 1),
        (float("nan"),),
        (8.1,),
        (float("inf"),),
        ("1",),
        "1,2",
        1,
        None,
    ],
)
def test_impossible_scales_are_refused(model, scales):
    with pytest.raises(ValueError, match=r"^scales: expected numbers above 0 .*got"):
        Detector(model, scales=scales)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("nms_distance", (-0.1, float("nan"), float("inf"))),
        ("max_detections", (0, -1, 2.5, float("nan"))),
        ("score_threshold", (-0.1, 1.1, float("nan"))),
    ],
)
def test_impossible_settings_are_refused(model, name, values):
    for value in values:
        with pytest.raises(ValueError, match=f"^{name}: expected .* got {value}$"):
            Detector(model, **{name: value})
