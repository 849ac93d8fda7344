import io
import logging

import keras
import numpy as np
import pytest
from PIL import Image

from qepose_tf.images.decoding import resize_image
from qepose_tf.images.finding import find_images
from qepose_tf.inference.loop import READERS
from qepose_tf.inference.predictor import Predictor
from qepose_tf.models import PoseEstimator
from qepose_tf.skeleton import COCO
from tests.models.conftest import moderate
from tests.ops.test_decode import nms_twin

SIDE = 64


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    every_row = {"score_threshold": 0.0}
    model = PoseEstimator(COCO, "tiny", input_size=SIDE, decoder=every_row)
    return moderate(model, 0.2)


@pytest.fixture(scope="module")
def predictor(model):
    return Predictor(model, batch_size=2, min_score=0.0)


def noise(height, width, seed=0):
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (height // 4 + 1, width // 4 + 1, 3), np.uint8)
    return np.repeat(np.repeat(blocks, 4, 0), 4, 1)[:height, :width]


def same(first, second):
    assert first.image_hw == second.image_hw
    np.testing.assert_allclose(first.scores, second.scores, atol=1e-5)
    np.testing.assert_allclose(first.poses, second.poses, atol=1e-3)


@pytest.mark.slow
def test_at_the_network_size_poses_are_those_of_the_model(model, predictor):
    image = noise(SIDE, SIDE)
    outputs = model(image[None].astype("float32"))
    (result,) = predictor.predict(image)
    count = len(result.scores)
    assert count > 0 and result.image_hw == (SIDE, SIDE)
    np.testing.assert_allclose(result.scores, outputs["scores"][0][:count], atol=1e-5)
    np.testing.assert_allclose(result.poses, outputs["poses"][0][:count], atol=1e-3)
    expected = outputs["keypoint_scores"][0][:count]
    np.testing.assert_allclose(result.keypoint_scores, expected, atol=1e-5)


def test_poses_come_back_in_original_pixels(model, predictor):
    image = noise(32, 40)  # short side 32 -> 64: twice as large, 80 padded to 128
    padded = np.broadcast_to(model.mean, (1, 64, 128, 3)).astype(np.float32)
    padded[0, :, :80] = resize_image(image, 64, 80)
    outputs = model(padded)
    (result,) = predictor.predict([image])
    count = len(result.scores)
    assert count > 0
    by_hand = (outputs["poses"][0][:count].numpy() + 0.5) / 2 - 0.5
    np.testing.assert_allclose(result.poses, by_hand, atol=1e-3)


def test_order_is_kept_and_the_batch_does_not_matter(model, predictor):
    shapes = [(64, 64), (64, 130), (64, 64), (90, 64), (64, 64), (64, 130), (70, 70)]
    images = [noise(*shape, seed) for seed, shape in enumerate(shapes)]
    results = list(predictor.predict(images))
    for image, result in zip(images, results, strict=True):
        assert result.source is image
        same(result, next(predictor.predict(image)))


SHAPES = [(64, 64), (64, 130), (64, 64), (90, 64), (32, 40)]


def at_scale(model, scale, **settings):
    """A predictor that sees everything at one other size."""
    return Predictor(model, min_score=0.0, short_side=round(SIDE * scale), **settings)


def test_one_scale_is_no_other_protocol(model, predictor):
    images = [noise(*shape, seed) for seed, shape in enumerate(SHAPES)]
    for scales in ((1,), (1.0, 1)):
        asked = Predictor(model, batch_size=2, min_score=0.0, scales=scales)
        results = asked.predict(images)
        for expected, result in zip(predictor.predict(images), results, strict=True):
            np.testing.assert_array_equal(result.poses, expected.poses)
            np.testing.assert_array_equal(result.scores, expected.scores)


def test_a_scale_is_another_short_side(model):
    image = noise(32, 40)
    (result,) = Predictor(model, min_score=0.0, scales=[2]).predict(image)
    assert len(result.scores) and result.image_hw == (32, 40)
    same(result, next(at_scale(model, 2).predict(image)))


@pytest.mark.slow
@pytest.mark.parametrize("flip", [False, True])
def test_scales_are_merged_in_original_pixels(model, flip):
    """Pictures of several shapes in one stream; each alone and by the twin of NMS."""
    scales = (0.5, 1, 2)
    images = [noise(*shape, seed) for seed, shape in enumerate(SHAPES)]
    merging = Predictor(model, batch_size=2, min_score=0.0, scales=scales, flip=flip)
    results = list(merging.predict(images))
    alone = [
        list(at_scale(model, scale, flip=flip, batch_size=1).predict(images))
        for scale in scales
    ]
    for image, result, *views in zip(images, results, *alone, strict=True):
        assert result.source is image
        poses = np.concatenate([view.poses for view in views])
        scores = np.concatenate([view.scores for view in views])
        order = np.argsort(-scores, kind="stable")
        poses, scores = poses[order], scores[order]
        sides = [4 * min(image.shape[:2]) / round(SIDE * scale) for scale in scales]
        cells = np.repeat(sides, [len(view.scores) for view in views])[order]
        keep = nms_twin(poses, scores, model.decoder_settings.nms_distance, cells)
        assert len(result.scores) == min(keep.sum(), 30) > 0
        np.testing.assert_allclose(result.scores, scores[keep][:30], atol=1e-5)
        np.testing.assert_allclose(result.poses, poses[keep][:30], atol=1e-3)


@pytest.mark.slow
def test_settings_of_the_decoder(model, predictor):
    image = noise(SIDE, SIDE)
    (everybody,) = predictor.predict(image)
    few = Predictor(model, min_score=0.0, max_detections=2)
    (best,) = few.predict(image)
    assert 1 <= len(best.scores) <= 2 < len(everybody.scores)
    np.testing.assert_allclose(best.scores[0], everybody.scores[0], atol=1e-6)
    with pytest.raises(ValueError, match="scales: expected numbers above 0"):
        Predictor(model, scales=(0,))
    with pytest.raises(TypeError, match="nms_distanse"):
        Predictor(model, nms_distanse=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("scales", [(1,), (1, 2)])
def test_one_rare_shape_holds_up_only_a_few_pictures(model, scales):
    predictor = Predictor(model, batch_size=2, min_score=0.0, scales=scales)
    taken = []

    def sources():
        for index in range(40):
            taken.append(index)
            yield noise(64, 130 if index == 0 else 64, index)

    stream = predictor.predict(sources())
    assert next(stream).image_hw == (64, 130)
    # At two scales fewer wait: what waits takes no more memory. Some are read ahead.
    assert len(taken) <= (8 if len(scales) == 1 else 2) + 2 * READERS + 1
    assert len(list(stream)) == 39


def test_min_score_leaves_out_what_scores_less(predictor, monkeypatch):
    image = noise(SIDE, SIDE, 3)
    (everybody,) = predictor.predict(image)
    middle = float(np.median(everybody.scores))
    monkeypatch.setattr(predictor, "min_score", middle)
    (best,) = predictor.predict(image)
    assert (best.scores > middle).all()
    assert len(best.scores) == (everybody.scores > middle).sum()
    monkeypatch.setattr(predictor, "min_score", 2.0)
    (nobody,) = predictor.predict(image)
    assert nobody.poses.shape == (0, 17, 2) and nobody.keypoint_scores.shape == (0, 17)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (4000, 200), (3, 2000)])
def test_extreme_shapes(predictor, shape):
    (result,) = predictor.predict(noise(*shape))
    assert result.image_hw == shape and np.isfinite(result.poses).all()


def test_a_long_strip_does_not_become_a_giant(model, predictor):
    (result,) = predictor.predict(noise(20, 4000))
    # Limited to 4 * 64 px: a point 1 px apart in the network is 4000 / 256 px apart.
    assert len(result.scores) and np.ptp(result.poses[..., 0]) > 200


def test_exif_orientation_is_honoured(tmp_path, predictor):
    image = noise(64, 96)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    Image.fromarray(image).save(tmp_path / "turned.png", exif=exif)
    turned = np.rot90(image, -1).copy()
    (result,) = predictor.predict(tmp_path / "turned.png")
    assert result.image_hw == (96, 64)
    same(result, next(predictor.predict(turned)))


def broken_files(folder):
    content = io.BytesIO()
    Image.fromarray(noise(64, 64)).save(content, "JPEG")
    (folder / "cut.jpg").write_bytes(content.getvalue()[:300])
    (folder / "empty.png").write_bytes(b"")
    return [folder / "cut.jpg", folder / "empty.png", folder / "missing.png"]


def test_unreadable_pictures_are_named_and_the_rest_go_on(tmp_path, predictor, caplog):
    cut, empty, missing = broken_files(tmp_path)
    good = noise(64, 64)
    with caplog.at_level(logging.WARNING, "qepose_tf"):
        results = list(predictor.predict([cut, good, empty, missing, good]))
    assert [result.source is good for result in results] == [True, True]
    assert [source for source, _ in predictor.failures] == [cut, empty, missing]
    assert len(caplog.records) == 3
    for path, record in zip((cut, empty, missing), caplog.records, strict=True):
        assert str(path) in record.message and "\n" not in record.message
    assert len(list(predictor.predict(good))) == 1 and predictor.failures == []


def test_no_readable_picture_at_all_is_an_error(tmp_path, predictor):
    paths = broken_files(tmp_path)
    with pytest.raises(ValueError, match="none of 3 pictures could be read.*cut.jpg"):
        list(predictor.predict(paths))
    assert list(predictor.predict([])) == []


@pytest.mark.parametrize(
    "array",
    [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3)), np.zeros((0, 8, 3), np.uint8)],
)
def test_arrays_that_are_no_pictures_are_refused(predictor, array):
    with pytest.raises(ValueError, match="picture 0: expected"):
        list(predictor.predict(array))


@pytest.mark.slow
def test_a_predictor_reads_a_model_file(tmp_path, model, predictor):
    model.save(tmp_path / "model.keras")
    image = noise(64, 80)
    from_file = Predictor(str(tmp_path / "model.keras"), min_score=0.0)
    same(next(from_file.predict(image)), next(predictor.predict(image)))
    (tmp_path / "random.keras").write_bytes(bytes(range(256)))
    with pytest.raises(ValueError, match="random.keras"):
        Predictor(tmp_path / "random.keras")


@pytest.mark.parametrize("arguments", [{"batch_size": 0}, {"short_side": 0}])
def test_impossible_settings_are_refused(model, arguments):
    with pytest.raises(ValueError, match=f"{next(iter(arguments))}: expected"):
        Predictor(model, **arguments)


def test_find_images_in_folders_and_patterns(tmp_path):
    for name in ("b.JPG", "a.png", "notes.txt", "below/c.png", "a[1].png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    def names(*sources):
        return [path.name for path in find_images([tmp_path / s for s in sources])]

    assert names("") == ["a.png", "a[1].png", "b.JPG"]
    assert names("*.png") == ["a.png", "a[1].png"]
    assert names("**/*.png") == ["a.png", "a[1].png", "c.png"]
    assert names("a[1].png") == ["a[1].png"]
    assert names("b.JPG", "", "below") == ["b.JPG", "a.png", "a[1].png", "c.png"]
    assert names("notes.txt") == ["notes.txt"]  # asked for by name: tried as an image
    assert find_images(str(tmp_path / "a.png")) == [tmp_path / "a.png"]


def test_find_images_says_what_it_did_not_find(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.png: no such file"):
        find_images([tmp_path / "nowhere.png"])
    with pytest.raises(ValueError, match=r"\*.png: expected images, found none"):
        find_images([tmp_path / "*.png"])
    with pytest.raises(ValueError, match="expected images, found none"):
        find_images([tmp_path])
    with pytest.raises(ValueError, match="got no source"):
        find_images([])
