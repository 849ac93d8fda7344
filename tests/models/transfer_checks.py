"""What holds of a transfer whatever the network is."""

import numpy as np

from qepose_tf.models.transfer import keypoint_axis, transfer
from qepose_tf.skeleton import COCO, Skeleton
from tests.models.conftest import random_images


def head(model):
    """The weights behind the body, by their path without the model's name."""
    body = {id(variable) for variable in model.body.weights}
    prefix = f"{model.name}/"
    return {v.path.removeprefix(prefix): v for v in model.weights if id(v) not in body}


def with_noise(model):
    """Weights, statistics among them, that are all different."""
    rng = np.random.default_rng(3)
    for variable in model.weights:
        variable.assign(variable + rng.uniform(0.01, 0.02, variable.shape))
    return model


def check_keypoint_axes(build):
    """The axes are those that differ between models of 3 and of 5 keypoints."""
    few, many = (
        head(build(Skeleton("n", names, (), (), [0.1] * len(names))))
        for names in (tuple("abc"), tuple("abcde"))
    )
    assert few.keys() == many.keys()
    for path in few:
        pairs = list(zip(few[path].shape, many[path].shape, strict=True))
        differing = [axis for axis, (one, other) in enumerate(pairs) if one != other]
        axis = keypoint_axis(path)
        # Weights that every keypoint has for itself name their axis, and no others do.
        assert differing == ([] if axis is None else [axis % len(pairs)]), path


def check_same_poses(trained, target):
    """With COCO's keypoints on both sides, everything is taken."""
    report = transfer(trained, target)
    assert report.taken == COCO.keypoints
    assert (report.fresh, report.left) == ((), ())
    images = random_images(1, 64, 64)
    for name, value in trained.predict(images, verbose=0).items():
        np.testing.assert_array_equal(target.predict(images, verbose=0)[name], value)
