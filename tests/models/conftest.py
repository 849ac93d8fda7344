import keras
import numpy as np
import pytest

from qepose_tf.models.pose_estimator import MEAN, STD, PoseEstimator
from qepose_tf.models.settings import HeadSettings
from qepose_tf.skeleton import COCO, Skeleton

# Two keypoints with k_i = 2 sigma_i = 1, for sums that can be written out.
ENDS = ("left_end", "right_end")
PAIR = Skeleton("pair", ENDS, (ENDS,), (ENDS,), (0.5, 0.5))


def random_images(*shape, seed=0):
    """Pixels that are normally distributed behind a model's first layer."""
    noise = np.random.default_rng(seed).normal(size=(*shape, 3))
    return (np.array(MEAN) + np.array(STD) * noise).astype("float32")


def random_facts(batch=2, people=2, keypoints=17, side=64, seed=1):
    """Facts of people in square images of `side` pixels."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(4, side - 4, (batch, people, keypoints, 2))
    seen = rng.integers(0, 3, (batch, people, keypoints, 1))
    return {
        "keypoints": np.concatenate([points, seen], -1).astype("float32"),
        "area": rng.uniform(400, 2000, (batch, people)).astype("float32"),
        "ignore": np.zeros((batch, side // 4, side // 4, 1), "float32"),
    }


@pytest.fixture
def images():
    return random_images(2, 64, 64)


@pytest.fixture
def facts():
    return random_facts()


def moderate(model, factor=0.02):
    """Scores of an untrained model near 0.3, as those of a trained one may be.

    They differ by 0.05, for which a body without blocks needs a factor of 0.2.
    """
    kernel, bias = model.get_layer("score").weights
    kernel.assign(kernel * factor)
    bias.assign(bias + 0.3)
    return model


@pytest.fixture
def tiny():
    """A model that a test may train."""
    keras.utils.set_random_seed(0)
    return PoseEstimator(COCO, backbone="tiny", input_size=64)


@pytest.fixture(scope="session")
def coco_model():
    """Not to be changed."""
    keras.utils.set_random_seed(0)
    return moderate(PoseEstimator(COCO, backbone="tiny", input_size=64))


@pytest.fixture(scope="session")
def pair_model():
    """Two keypoints, and every setting that a file must keep differs from default."""
    keras.utils.set_random_seed(0)
    return moderate(
        PoseEstimator(
            PAIR,
            backbone="tiny",
            input_size=96,
            head=HeadSettings(
                keypoint_channels=4, instance_channels=8, semantic_points=2
            ),
            decoder={"max_detections": 7, "score_threshold": 0.02, "nms_distance": 0.1},
            batch_norm={"momentum": 0.8},
            mean=(100.0, 110.0, 120.0),
            std=(50.0, 60.0, 70.0),
            name="pair",
        )
    )


@pytest.fixture(scope="session")
def w32():
    return PoseEstimator(COCO, backbone="w32", input_size=512)


@pytest.fixture(scope="session")
def w48():
    return PoseEstimator(COCO, backbone="w48", input_size=640)
