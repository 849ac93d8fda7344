"""Drawn people that mistakes are planted among."""

import pytest

from qepose_tf.data.coco.dataset import read_coco
from qepose_tf.data.synthetic.dataset import write_scenes
from qepose_tf.doctor.people import people_of


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    """A data set of 400 small scenes; never changed."""
    folder = tmp_path_factory.mktemp("doctor") / "scenes"
    return read_coco(*write_scenes(folder, 400, 96, max_people=3, seed=1))


@pytest.fixture(scope="session")
def people(scenes):
    return people_of(scenes.records, 17)
