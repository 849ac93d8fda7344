import json
import re
import zipfile

import keras
import numpy as np
import pytest

from qepose_tf.models import PoseEstimator, load_model
from tests.backends import to_numpy
from tests.models.conftest import random_images


@pytest.fixture(scope="module")
def saved(pair_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    pair_model.save(path)
    return path


def refused(path, *words):
    """One line that names the file and what is wrong."""
    with pytest.raises(ValueError) as caught:
        load_model(path)
    message = str(caught.value)
    assert "\n" not in message
    for word in (str(path), "expected", *words):
        assert word in message
    return message


def rewritten(saved, path, change):
    """A copy of a model file whose config.json went through `change`."""
    with zipfile.ZipFile(saved) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "config.json":
                config = json.loads(content)
                change(config)
                content = json.dumps(config).encode()
            target.writestr(name, content)
    return path


def test_reads_what_was_saved(saved, pair_model):
    model = load_model(str(saved))
    assert isinstance(model, PoseEstimator)
    assert model.skeleton == pair_model.skeleton
    images = random_images(1, 64, 64)
    poses = to_numpy(model(images)["poses"])
    np.testing.assert_array_equal(poses, to_numpy(pair_model(images)["poses"]))


def test_a_missing_file(tmp_path):
    path = tmp_path / "none.keras"
    message = f"{path}: expected a .keras model file, found none"
    with pytest.raises(FileNotFoundError, match=re.escape(message)):
        load_model(path)


def test_a_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected a .keras model file"):
        load_model(tmp_path)


@pytest.mark.parametrize("size", [0, 1, 5000])
def test_random_bytes(tmp_path, size):
    path = tmp_path / "random.keras"
    path.write_bytes(np.random.default_rng(0).bytes(size))
    refused(path, ".keras model file")


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.99])
def test_a_truncated_file(saved, tmp_path, kept):
    content = saved.read_bytes()
    path = tmp_path / "short.keras"
    path.write_bytes(content[: int(kept * len(content))])
    refused(path, ".keras model file")


def test_a_damaged_file(saved, tmp_path):
    content = bytearray(saved.read_bytes())
    start = len(content) // 2
    content[start : start + 64] = bytes(64)
    path = tmp_path / "damaged.keras"
    path.write_bytes(content)
    refused(path)


def test_another_archive(tmp_path):
    path = tmp_path / "pictures.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("cat.txt", "meow")
    refused(path, ".keras model file")


@pytest.mark.parametrize("config", ["{", "[]", "{}", '"x"', "null"])
def test_an_archive_with_a_broken_configuration(tmp_path, config):
    path = tmp_path / "broken.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", config)
    refused(path, ".keras model file")


def test_another_model(tmp_path):
    path = tmp_path / "other.keras"
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(path)
    refused(path, "expected a PoseEstimator or a DEKR, got a Sequential")


def test_a_setting_of_another_version(saved, tmp_path):
    def change(config):
        config["config"]["wings"] = 2

    refused(rewritten(saved, tmp_path / "later.keras", change), "'wings'")


def test_a_missing_setting(saved, tmp_path):
    def change(config):
        del config["config"]["skeleton"]

    refused(rewritten(saved, tmp_path / "earlier.keras", change), "skeleton")


@pytest.mark.parametrize(
    "key, value",
    [("backbone", "w64"), ("backbone", 3), ("mean", None), ("skeleton", {"name": 1})],
)
def test_a_setting_of_the_wrong_value(saved, tmp_path, key, value):
    def change(config):
        config["config"][key] = value

    refused(rewritten(saved, tmp_path / "wrong.keras", change))


def test_a_configuration_that_is_no_mapping(saved, tmp_path):
    def change(config):
        config["config"] = ["w32"]

    refused(rewritten(saved, tmp_path / "list.keras", change))


@pytest.mark.slow
def test_weights_of_another_size(saved, tmp_path):
    def change(config):
        config["config"]["keypoint_channels"] = 5

    refused(rewritten(saved, tmp_path / "sizes.keras", change))


def test_weights_that_are_missing(saved, tmp_path):
    path = tmp_path / "weightless.keras"
    with zipfile.ZipFile(saved) as source, zipfile.ZipFile(path, "w") as target:
        target.writestr("config.json", source.read("config.json"))
        target.writestr("metadata.json", source.read("metadata.json"))
    refused(path)


def lambda_model(path, mark):
    """A model file that writes a file when its code runs."""

    def code(x, mark=str(mark)):
        open(mark, "w").close()
        return x

    inputs = keras.Input((2,))
    keras.Model(inputs, keras.layers.Lambda(code)(inputs)).save(path)
    mark.unlink()
    return path


def test_code_in_a_file_is_not_run(tmp_path):
    mark = tmp_path / "ran"
    refused(lambda_model(tmp_path / "lambda.keras", mark), "expected a PoseEstimator")
    assert not mark.exists()


def test_code_that_poses_as_a_pose_estimator_is_not_run(saved, tmp_path):
    mark = tmp_path / "ran"
    path = lambda_model(tmp_path / "lambda.keras", mark)

    def rename(config):
        config["class_name"] = "PoseEstimator"

    path = rewritten(path, tmp_path / "renamed.keras", rename)
    refused(path, "expected a PoseEstimator")

    with zipfile.ZipFile(path) as archive:
        foreign = json.loads(archive.read("config.json"))

    def smuggle(config):
        config["config"]["mean"] = foreign

    refused(rewritten(saved, tmp_path / "smuggled.keras", smuggle))
    assert not mark.exists()
