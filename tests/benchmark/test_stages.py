import numpy as np
import pytest

from qepose_tf.benchmark import stages
from qepose_tf.benchmark.settled import settled_model
from qepose_tf.exporting.pose_json import fill_colour
from qepose_tf.images.decoding import read_image
from qepose_tf.images.letterbox import fit_inside, original_points
from qepose_tf.skeleton import COCO

pytestmark = pytest.mark.usefixtures("shallow_body")


@pytest.fixture(scope="module")
def model(pictures):
    return settled_model(COCO, {"backbone": "tiny", "input_size": 64}, pictures)


@pytest.fixture(scope="module")
def found(model, contents):
    """The calls of two images, their answers by name, and what detects."""
    calls, answer = stages.stages(model, list(contents.values())[:2])
    return {name: call() for name, call in calls.items()}, answer


@pytest.fixture(scope="module")
def frames(model, pictures):
    fill = fill_colour(model)
    return [fit_inside(picture, 64, 64, fill) for picture in pictures[:2]]


@pytest.fixture(scope="module")
def expected(model, frames):
    images = np.stack([frame for frame, _ in frames])
    return model(images.astype("float32"), training=False)


@pytest.mark.slow
def test_a_stage_does_what_the_model_does_there(found, model, expected, frames):
    found, _ = found
    body = model.body(model.get_layer("normalise")(np.stack([f for f, _ in frames])))
    for ours, theirs in zip(found[stages.BODY], body, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
    names = ("score_map", "keypoint_features", "query_offsets")
    for name, ours in zip(names, found["head"], strict=True):
        np.testing.assert_allclose(ours, expected[name], atol=1e-4)
    for name, ours in found["suppression"].items():
        np.testing.assert_allclose(ours, expected[name], atol=1e-2)


@pytest.mark.slow
def test_convolutions_alone_are_those_of_the_head(found, expected):
    """Each of their outputs is one of the model's, but for the last, a projection."""
    features, offsets, score, projected = found[0][stages.CONVOLUTIONS]
    np.testing.assert_allclose(features, expected["keypoint_features"], atol=1e-4)
    np.testing.assert_allclose(offsets, expected["query_offsets"], atol=1e-4)
    np.testing.assert_allclose(score, expected["score_map"], atol=1e-4)
    assert projected.shape == (2, 16, 16, 17 * 16)


@pytest.mark.slow
def test_the_whole_ends_in_the_images_own_pixels(found, frames, expected, contents):
    found, answer = found
    for row, (poses, (_, scale)) in enumerate(
        zip(found[stages.WHOLE], frames, strict=True)
    ):
        own = original_points(expected["poses"][row], scale)
        np.testing.assert_allclose(poses, own, atol=1e-2)
    np.testing.assert_allclose(
        found[stages.PIXELS]["poses"], expected["poses"], atol=1e-2
    )
    again = answer(np.stack([frame for frame, _ in frames]))
    np.testing.assert_array_equal(again["cells"], found[stages.PIXELS]["cells"])
    for image, content in zip(found["decode image"], contents.values(), strict=False):
        np.testing.assert_array_equal(image, read_image(content, exif=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"pose_query": "none", "keypoint_query_encoding": False},
        {"pose_query": "semantic_points", "quality_branch": True},
    ],
    ids=str,
)
def test_other_heads_have_the_same_stages(other_heads, contents, settings):
    model = other_heads(**settings)
    calls, _ = stages.stages(model, [contents["0.png"]])
    score = calls["head"]()[0]
    assert score.shape == (1, 16, 16, 1)
    outputs = calls[stages.CONVOLUTIONS]()
    assert len(outputs) == 3 + ("quality_branch" in settings) + (
        settings.get("pose_query") != "none"
    )
    poses = calls["suppression"]()["poses"]
    np.testing.assert_allclose(poses, calls[stages.PIXELS]()["poses"], atol=1e-2)
