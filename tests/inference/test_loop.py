import logging

import keras
import numpy as np
import pytest
from PIL import Image

from qepose_tf.evaluation.evaluate import predict_coco
from qepose_tf.inference.detector import Detector
from qepose_tf.inference.loop import PoseLoop
from qepose_tf.models.pose_estimator import PoseEstimator
from tests.data.coco_files import SKELETON, image, person
from tests.data.pipelines import three_images, written
from tests.models.conftest import moderate


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    every_row = {"score_threshold": 0.0}
    return moderate(PoseEstimator(SKELETON, "tiny", 64, decoder=every_row), 0.2)


class Watched(Detector):
    """A detector that keeps the shapes of the batches that it is given."""

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self.shapes = []

    def detect(self, images):
        self.shapes.append(images.shape)
        return super().detect(images)


def pictures(*sizes, seed=0):
    """(key, read) of noise of the given (width, height)."""
    rng = np.random.default_rng(seed)
    arrays = [rng.integers(0, 256, (h, w, 3)).astype(np.uint8) for w, h in sizes]
    return [(number, lambda a=array: a) for number, array in enumerate(arrays)]


def test_pictures_of_one_padded_shape_run_together(model):
    detector = Watched(model)
    sizes = [(100, 80), (80, 100), (120, 90), (100, 80), (80, 80), (80, 100)]
    found = list(PoseLoop(detector, 64, 2)(pictures(*sizes)))
    assert [one.key for one in found] == [0, 1, 2, 3, 4, 5]
    assert [one.image_hw for one in found] == [(h, w) for w, h in sizes]
    assert sorted(detector.shapes) == sorted(
        [(2, 64, 128, 3), (2, 128, 64, 3), (1, 64, 128, 3), (1, 64, 64, 3)]
    )


@pytest.mark.slow
@pytest.mark.parametrize("scales", [(1.0,), (0.5, 1.0, 2.0)])
def test_company_changes_nobody(model, scales):
    """Alone or in batches with others: the same people, in the picture's pixels."""
    sizes = [(100, 80), (90, 70), (64, 64), (100, 80), (80, 160)]
    detector = Detector(model, scales=scales)
    together = list(PoseLoop(detector, 64, 3)(pictures(*sizes)))
    for (key, read), found in zip(pictures(*sizes), together, strict=True):
        (alone,) = PoseLoop(detector, 64, 1)([(key, read)])
        np.testing.assert_allclose(alone.people.poses, found.people.poses, atol=0.02)
        np.testing.assert_allclose(alone.people.scores, found.people.scores, atol=1e-4)


def test_strips_keep_to_four_to_one(model):
    detector = Watched(model)
    list(PoseLoop(detector, 64, 1)(pictures((1, 1), (4000, 200), (200, 4000))))
    assert detector.shapes == [(1, 64, 64, 3), (1, 64, 256, 3), (1, 256, 64, 3)]


def test_a_picture_that_cannot_be_read_is_told_in_its_place(model):
    def broken():
        raise ValueError("no picture")

    first, last = pictures((64, 64), (64, 64))
    found = list(PoseLoop(Detector(model), 64, 2)([first, ("broken", broken), last]))
    assert [one.key for one in found] == [0, "broken", 1]
    assert str(found[1].error) == "no picture" and found[1].people is None
    assert found[0].error is None and found[2].people.poses.shape[0] == 1


def test_memory_does_not_grow_with_the_number_of_pictures(model):
    """However odd the shapes are, only a few batches' worth is read ahead."""
    begun = []

    def endless():
        for number, (key, read) in enumerate(
            pictures(*[(64 + 64 * (n % 7), 64) for n in range(200)])
        ):
            begun.append(number)
            yield key, read

    results = PoseLoop(Detector(model), 64, 4)(endless())
    for number, _ in zip(range(20), results, strict=False):
        assert len(begun) - number < 4 * 4 + 12
    results.close()


def test_nothing_is_no_error(model):
    assert list(PoseLoop(Detector(model), 64, 4)([])) == []


@pytest.mark.parametrize("side, batch, name", [(0, 1, "short_side"), (9, 0, "batch")])
def test_wrong_numbers_are_refused(model, side, batch, name):
    with pytest.raises(ValueError, match=f"{name}.*expected at least 1.*got 0"):
        PoseLoop(Detector(model), side, batch)


def test_evaluation_leaves_out_what_is_not_as_annotated(model, tmp_path, caplog):
    coco = three_images(tmp_path)
    Image.new("RGB", (80, 100)).save(coco.records[2].file)
    with caplog.at_level(logging.WARNING):
        results = predict_coco(model, coco, 3)
    assert "3.png: expected 100x80 pixels as annotated, got 80x100" in caplog.text
    assert {result["image_id"] for result in results} == {1, 2}


def test_evaluation_names_broken_images_and_counts_them(model, tmp_path, caplog):
    coco = three_images(tmp_path)
    coco.records[0].file.write_bytes(b"")
    coco.records[2].file.unlink()
    with caplog.at_level(logging.WARNING):
        results = predict_coco(model, coco)
    assert {result["image_id"] for result in results} == {2}
    messages = sorted(record.getMessage() for record in caplog.records)
    assert "1.png: expected an image, got an empty file; it gets no" in messages[0]
    assert "3.png: no such image file; it gets no poses" in messages[1]
    assert "(2 left out so far)" in "".join(messages)


def test_evaluation_fills_its_batches(model, tmp_path):
    """Pictures of two shapes in turn would leave every batch part-full."""
    sizes = [(100, 80), (80, 100)] * 3
    images = [
        image(number, width=width, height=height)
        for number, (width, height) in enumerate(sizes)
    ]
    coco = written(tmp_path, images, [person(1, 0)])
    counts = []
    predict_coco(model, coco, 3, progress=lambda done, total: counts.append(done))
    assert counts == [1, 2, 3, 4, 5, 6]
