import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from qepose_tf.images.drawn_image import made_image
from tests.examples.conftest import EXAMPLES

pytestmark = pytest.mark.slow
pytest.importorskip("apache_beam")
parquet = pytest.importorskip("pyarrow.parquet")

GOOD = {"a.png": (90, 140), "b.jpg": (64, 64), "c.jpg": (150, 70), "d.png": (33, 50)}
BAD = ("cut.jpg", "empty.jpg", "text.jpg")


@pytest.fixture(scope="module")
def beam_predict():
    """The example as a module, which Beam's workers can import as well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        import beam_predict

        yield beam_predict


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for seed, (name, size) in enumerate(GOOD.items()):
        Image.fromarray(made_image(*size, seed)).save(folder / name)
    whole = (folder / "c.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.jpg").touch()
    (folder / "text.jpg").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def direct(exported, images):
    """What the SavedModel says of each good image, asked for it alone."""
    loaded = tf.saved_model.load(str(exported("saved_model")))
    serve = loaded.signatures["serve_encoded"]
    answers = {}
    for name in GOOD:
        content = tf.constant([(images / name).read_bytes()])
        answers[name] = {k: v[0].numpy() for k, v in serve(encoded=content).items()}
    return answers


def run(beam_predict, exported, images, out, *options):
    patterns = [f"{images}/*.jpg", f"{images}/*"]  # they overlap
    beam_predict.main(
        [f"--model={exported('saved_model')}", "--images", *patterns]
        + [f"--out={out}/poses/part", f"--dead-letter={out}/rejected/part", *options]
    )
    lines = []
    for file in (out / "rejected").iterdir():
        assert file.suffix == ".jsonl"
        lines += file.read_text().splitlines()
    return sorted((out / "poses").iterdir()), [json.loads(line) for line in lines]


def check(records, rejected, images, direct, keypoints, min_score=0.0):
    """Every image is there once, and the poses are the SavedModel's own."""
    by_path = {record["image"]: record for record in records}
    assert len(records) == len(by_path) == len(GOOD)
    for name, answer in direct.items():
        record = by_path[str(images / name)]
        assert tuple(record["keypoints"]) == keypoints
        kept = answer["scores"] > min_score
        for field in ("poses", "scores", "keypoint_scores"):
            assert np.shape(record[field]) == answer[field][kept].shape
            np.testing.assert_allclose(record[field], answer[field][kept], atol=1e-3)
    assert sorted(line["file"] for line in rejected) == [str(images / n) for n in BAD]
    errors = {line["file"]: line["error"] for line in rejected}
    assert errors[str(images / "empty.jpg")] == "the file is empty"
    assert "JPEG or PNG" in errors[str(images / "cut.jpg")]


@pytest.mark.parametrize("batch_size", [1, 16])
def test_json_lines(
    beam_predict, exported, images, direct, model, tmp_path, batch_size
):
    files, rejected = run(
        beam_predict, exported, images, tmp_path, f"--batch-size={batch_size}"
    )
    assert all(file.suffix == ".jsonl" for file in files)
    records = [json.loads(line) for f in files for line in f.read_text().splitlines()]
    check(records, rejected, images, direct, model.skeleton.keypoints)
    assert all(len(record["scores"]) > 3 for record in records)


def test_parquet_and_min_score(beam_predict, exported, images, direct, model, tmp_path):
    scores = np.concatenate([answer["scores"] for answer in direct.values()])
    threshold = float(np.median(scores[scores > 0]))
    options = ("--format=parquet", f"--min-score={threshold}")
    files, rejected = run(beam_predict, exported, images, tmp_path, *options)
    assert files and all(file.suffix == ".parquet" for file in files)
    table = parquet.read_table(tmp_path / "poses")
    assert table.schema.names == [
        "image",
        "keypoints",
        "poses",
        "scores",
        "keypoint_scores",
    ]
    records = table.to_pylist()
    check(records, rejected, images, direct, model.skeleton.keypoints, threshold)
    people = sum(len(record["scores"]) for record in records)
    assert 0 < people < np.sum(scores > 0)


def test_a_broken_image_alone_is_rejected(beam_predict, exported, images):
    handler = beam_predict.PoseHandler(str(exported("saved_model")), 8)
    model = handler.load_model()
    names = ["a.png", "text.jpg", "b.jpg", "c.jpg", "cut.jpg"]
    batch = [(images / name).read_bytes() for name in names]
    found = handler.run_inference(batch, model)
    broken = [isinstance(answer, beam_predict.Broken) for answer in found]
    assert broken == [False, True, False, False, True]
    (alone,) = handler.run_inference(batch[3:4], model)
    np.testing.assert_array_equal(found[3]["poses"], alone["poses"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"--images": "none/*.jpg"}, "none/*.jpg: expected images, no file matches"),
        ({"--model": "none"}, "none: expected an exported SavedModel like pose/1"),
    ],
)
def test_nothing_to_do_is_said_in_one_line(
    beam_predict, exported, images, tmp_path, monkeypatch, options, message
):
    monkeypatch.chdir(tmp_path)
    given = {"--model": exported("saved_model"), "--images": f"{images}/*", **options}
    words = [str(word) for pair in given.items() for word in pair]
    with pytest.raises(SystemExit) as exit:
        beam_predict.main([*words, "--out=out", "--dead-letter=rejected"])
    # Python prints a string and exits with 1.
    assert exit.value.code.startswith(message)
    assert "\n" not in exit.value.code
    assert not list(tmp_path.iterdir())
