"""What the README shows a Keras user, on the debug scenes, without YAML."""

import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import qepose_tf as qp
from qepose_tf.data.synthetic.dataset import write_scenes

# Keras warns of its own default, which every plain `fit` on a data set has.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.shuffle=True. was passed"),
    pytest.mark.usefixtures("shallow_body"),
]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    return write_scenes(folder / "scenes", 4, 128, max_people=2, min_height=0.5)


@pytest.fixture(scope="module")
def model(scenes):
    """Trained by plain Keras, as far as the interface needs it."""
    train = qp.read_coco(*scenes)
    model = qp.PoseEstimator(
        skeleton="coco",
        backbone="tiny",
        input_size=128,
        head=qp.HeadSettings(keypoint_channels=10, instance_channels=32),
        loss={"disc_radius": 2.5},
    )
    model.compile(optimizer="adamw")
    model.traces = count_calls(model, "compute_loss")
    model.validation = qp.callbacks.CocoAP(qp.read_coco(*scenes), every=2)
    model.history_of_test = model.fit(
        qp.train_dataset(train, model, batch_size=4, min_area=0.0),
        epochs=2,
        callbacks=[model.validation],
        verbose=0,
    ).history
    return model


def count_calls(model, name):
    """A function that says how often the method was called by now."""
    calls, method = [], getattr(model, name)

    def counted(*args, **kwargs):
        calls.append(name)
        return method(*args, **kwargs)

    setattr(model, name, counted)
    return lambda: len(calls)


def test_a_data_set_says_what_is_in_it(scenes):
    data = qp.read_coco(*scenes)
    assert len(data) == 4 and data.skeleton is qp.Skeleton.load("coco")
    assert "4 images" in repr(data) and "17 keypoints (coco)" in repr(data)
    people = sum(len(record.area) for record in data.records)
    lines = dict(line.split(None, 1) for line in data.summary().splitlines())
    assert lines["people"].startswith(f"{people}, at most")
    labelled = sum(int((r.keypoints[:, 0, 2] > 0).sum()) for r in data.records)
    assert lines["nose"] == f"labelled {labelled} times"
    drawn, plain = (
        np.asarray(data.plot(0)),
        np.asarray(Image.open(data.records[0].file)),
    )
    assert drawn.shape == plain.shape and (drawn != plain).any()
    with pytest.raises(IndexError):
        data.plot(4)


@pytest.mark.slow
def test_fit_traces_its_step_once(model):
    assert model.traces() == 1


@pytest.mark.slow
def test_fit_reports_the_ap_of_the_epochs_that_are_due(model):
    history = model.history_of_test
    assert len(history["loss"]) == 2 and np.isfinite(history["loss"]).all()
    assert len(history["val_ap"]) == 1  # every second epoch
    assert history["val_ap"][0] == model.validation.evaluation.AP


@pytest.mark.slow
def test_an_evaluation_prints_a_table(model, scenes):
    evaluation = qp.evaluate(model, qp.read_coco(*scenes))
    figures = evaluation.to_dict()
    assert evaluation.AP == figures["AP"] and json.loads(json.dumps(figures)) == figures
    lines = str(evaluation).splitlines()
    assert lines[0].split() == ["AP", f"{evaluation.AP:.3f}"]
    assert [line.split()[0] for line in lines] == list(figures)


@pytest.mark.slow
def test_a_predictor_takes_whatever_holds_a_picture(model, scenes):
    predictor = qp.Predictor(model, min_score=0.0, score_threshold=0.0)
    folder = scenes[1]
    pictures = list(predictor(folder))
    assert len(pictures) == 4 and all(len(picture) for picture in pictures)
    file = pictures[0].source
    pixels = np.asarray(Image.open(file))
    for source in (file, str(file), f"{folder}/*", pixels, Image.open(file), [pixels]):
        first = next(iter(predictor(source)))
        np.testing.assert_allclose(first.poses, pictures[0].poses, atol=1e-3)
        np.testing.assert_allclose(first.scores, pictures[0].scores, atol=1e-5)
    picture = pictures[0]
    assert picture.poses.shape == (len(picture), 17, 2)
    assert (np.asarray(picture.draw(min_score=0.0)) != pixels).any()
    first, *_ = picture.to_coco(image_id=7)
    assert first["image_id"] == 7 and len(first["keypoints"]) == 51
    assert str(file) in repr(picture) and "people" in repr(picture)


@pytest.mark.slow
def test_pixels_of_any_form_give_the_same_poses(model):
    """Through `model.predict`: uint8, float32, a batch of one, NumPy and tf.data."""
    pixels = np.random.default_rng(0).integers(0, 256, (3, 128, 128, 3), np.uint8)
    expected = model.predict(pixels, verbose=0)
    data = tf.data.Dataset.from_tensor_slices(pixels)
    for found in (
        model.predict(pixels.astype(np.float32), verbose=0),
        model.predict(data.batch(3), verbose=0),
        model.predict(data.map(lambda x: tf.cast(x, tf.float32)).batch(3), verbose=0),
    ):
        np.testing.assert_array_equal(found["cells"], expected["cells"])
        np.testing.assert_allclose(found["poses"], expected["poses"], atol=1e-3)
        np.testing.assert_allclose(found["scores"], expected["scores"], atol=1e-5)
    for row in range(3):
        one = model.predict(pixels[row : row + 1], verbose=0)
        np.testing.assert_allclose(one["poses"][0], expected["poses"][row], atol=1e-3)


@pytest.mark.slow
def test_a_model_is_exported_by_the_name_of_its_file(model, scenes, tmp_path):
    path = tmp_path / "pose.tflite"
    qp.export(model, path, precision="int8", calibration=scenes[1])
    assert path.stat().st_size > 100_000
    with pytest.raises(ValueError, match="expected a name that ends in .tflite"):
        qp.export(model, tmp_path / "pose.bin")


def test_a_model_of_other_keypoints_is_refused(scenes):
    crowd = qp.PoseEstimator("crowdpose", backbone="tiny", input_size=64)
    with pytest.raises(ValueError, match="expected 14 keypoints .* got 17"):
        qp.train_dataset(qp.read_coco(*scenes), crowd)
    with pytest.raises(ValueError, match="expected a model, or input_size"):
        qp.train_dataset(qp.read_coco(*scenes))


def test_a_data_set_that_teaches_nobody_is_refused(scenes):
    with pytest.raises(ValueError, match=r"people are smaller than min_area=1e\+09"):
        qp.train_dataset(
            *(qp.read_coco(*scenes), None),
            **dict(input_size=64, fill=np.zeros(3), disc_radius=4.0),
            **dict(batch_size=1, min_area=1e9),
        )


@pytest.mark.slow
def test_a_run_from_yaml_with_changes_in_python(tmp_path):
    (tmp_path / "my.yaml").write_text(
        "model: {backbone: tiny, input_size: 64}\n"
        "data:\n"
        "  min_area: 0\n"
        "  synthetic: {train_scenes: 2, val_scenes: 0, image_size: 64}\n"
        "train: {batch_size: 2, strategy: 'off', validate_every: 1}\n"
    )
    changes = {
        "train.epochs": 1,
        "train.run_dir": tmp_path / "run",
        "data.synthetic.folder": tmp_path / "data",
    }
    result = qp.train(tmp_path / "my.yaml", changes, progress=False)
    assert result.model.exists() and len(result.history["loss"]) == 1
    with pytest.raises(ValueError, match="unknown key train.epoch = 3"):
        qp.train(tmp_path / "my.yaml", {"train.epoch": 3})


def test_every_public_name_is_there():
    for name in qp.__all__:
        assert getattr(qp, name) is not None
