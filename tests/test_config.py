from pathlib import Path

import pytest

from qepose_tf.config import Config, dump_config, load_config
from qepose_tf.config_changes import differing_keys, limited

ROOT = Path(__file__).parent.parent


@pytest.fixture
def write(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "small.yaml"
        path.write_text(text)
        return path

    return write


def error_of(path: Path, *overrides: str) -> str:
    with pytest.raises(ValueError) as caught:
        load_config(path, overrides)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_empty_file_is_the_papers_recipe(write):
    config = load_config(write(""))
    assert config.name == "small"
    assert config.run_dir == Path("runs/small")
    assert (config.model.backbone, config.model.input_size) == ("w32", 512)
    assert (config.train.epochs, config.train.batch_size) == (180, 64)
    assert config.train.learning_rate == 5e-4
    assert config.train.drop_epochs == [150, 170]
    assert config.augment.scale == (0.75, 1.5)
    assert config.data.min_area == 32**2
    assert config.loss.offset_beta == 1 / 9


def test_file_then_overrides(write):
    path = write("train: {epochs: 3, learning_rate: 1e-3}\nmodel: {backbone: tiny}")
    config = load_config(
        path,
        [
            "train.epochs=5",
            "train.drop_epochs=[2, 4]",
            "data.synthetic.val_scenes=7",
            "data.cache=cache/folder",
            "train.strategy=off",
            "train.run_dir=/tmp/run",
            "train.gradient_clip_norm=null",
            "name=other",
        ],
    )
    assert config.train.epochs == 5
    assert config.train.learning_rate == 1e-3
    assert config.train.drop_epochs == [2, 4]
    assert config.data.synthetic.val_scenes == 7
    assert config.data.synthetic.train_scenes == 2000
    assert config.data.cache == Path("cache/folder")
    assert config.train.strategy == "off"
    assert config.run_dir == Path("/tmp/run")
    assert config.train.gradient_clip_norm is None
    assert config.name == "other"
    assert config.model.backbone == "tiny"


def test_resolved_config_reads_back_equal(write, tmp_path):
    text = "train: {strategy: off}\ndata: {train: {annotations: a.json, images: b}}"
    config = load_config(write(text))
    dump_config(config, tmp_path / "resolved.yaml")
    assert load_config(tmp_path / "resolved.yaml") == config
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "resolved.yaml",
        "small.yaml",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trian: {}", "unknown key trian = {}, did you mean train?"),
        ("train: {epoch: 3}", "unknown key train.epoch = 3, did you mean train.epochs"),
        ("loss: {zzz: 3}", "unknown key loss.zzz = 3, expected one of disc_radius, "),
        ("train: {epochs: abc}", "train.epochs = 'abc': expected a valid integer"),
        ("train: {epochs: '3'}", "train.epochs = '3': expected a valid integer"),
        ("train: {epochs: true}", "train.epochs = True: expected a valid integer"),
        ("train: {epochs: 0}", "train.epochs = 0: expected greater than or equal to 1"),
        ("train: {learning_rate: .nan}", "train.learning_rate = nan: expected a fin"),
        ("train: {learning_rate: -1.0}", "learning_rate = -1.0: expected greater than"),
        ("train: {drop_epochs: [9, x]}", "train.drop_epochs.1 = 'x': expected a valid"),
        ("train: {drop_epochs: [9, 8]}", "[9, 8]: expected epochs in rising order"),
        ("train: 3", "train = 3: expected a valid dictionary"),
        (
            "model: {backbone: w33}",
            "= 'w33': expected 'tiny', 'w18', 'w32', 'w48' or 'eff",
        ),
        ("model: {input_size: 100}", "model.input_size = 100: expected a multiple of"),
        ("model: {synchronized_batch_norm: off}", "= 'off': expected a valid boolean"),
        ("augment: {scale: [2, 1]}", "augment.scale = [2, 1]: expected [smallest, la"),
        ("augment: {flip: 1.5}", "augment.flip = 1.5: expected less than or equal to"),
        ("data: {cache: 3}", "data.cache = 3: expected 'memory' or 'none'"),
        ("data: {train: {annotations: a}}", "data.train = {'annotations': 'a'}: expec"),
        ("data: {train: {images: a}}", "expected either annotations and images, or tf"),
        (
            "data: {val: {}}",
            "data.val = {}: expected either annotations and images, or",
        ),
        ("data: {val: {annotations: a, tfrecords: b}}", "images, or tfrecords"),
        (
            "data: {val: {annotations: a, images: b, tfrecords: c}}",
            "expected either annotations and images, or tfrecords",
        ),
        ("data: {val: {tfrecords: 3}}", "data.val.tfrecords = 3: expected a path or a"),
        ("data: {root: [a]}", "data.root = ['a']: expected a path or a URL"),
        ("data: {synthetic: {min_people: 9}}", "expected min_people <= max_people (4)"),
        (
            "data: {synthetic: {}, val: {annotations: a, images: b}}",
            "expected either synthetic or train and val",
        ),
        ("name: a/b", "name = 'a/b': expected to match pattern"),
        ("- 1", "expected a mapping of config keys, got [1]"),
        ("train: [", "expected YAML, while parsing"),
        ("seed: 1\nseed: 2", "expected YAML, key 'seed' is repeated"),
    ],
)
def test_wrong_values_name_file_key_value_and_expectation(write, text, message):
    path = write(text)
    error = error_of(path)
    assert error.startswith(f"{path}: ")
    assert message in error


def test_every_wrong_key_is_listed(write):
    error = error_of(write("trian: {}\ntrain: {epochs: 0, batch_size: 0}"))
    assert "(also wrong: " in error
    assert all(key in error for key in ("trian", "train.epochs", "train.batch_size"))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epochs", "expected key=value, got 'train.epochs'"),
        ("=3", "expected key=value, got '=3'"),
        ("train..epochs=3", "expected key=value"),
        ("seed.x=3", "seed.x: seed has no keys below it"),
        ("train.epochs=abc", "train.epochs = 'abc': expected a valid integer"),
        ("train.epoch=3", "unknown key train.epoch = 3, did you mean train.epochs?"),
        ("train.drop_epochs=[", "train.drop_epochs: expected YAML"),
    ],
)
def test_wrong_overrides_are_the_command_lines(write, override, message):
    error = error_of(write("seed: 1"), override)
    assert error.startswith("command line: ")
    assert message in error


def test_missing_and_binary_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.yaml: no such config file"):
        load_config(tmp_path / "none.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="bytes.yaml: expected a YAML text file"):
        load_config(tmp_path / "bytes.yaml")


def test_places_are_paths_or_urls(write, tmp_path):
    text = "data: {root: 'gs://bucket/coco/', train: {tfrecords: train}, val: "
    text += "{annotations: /labels/val.json, images: 'ram://images'}}"
    config = load_config(write(text))
    data = config.data
    assert str(data.root / data.train.tfrecords) == "gs://bucket/coco/train"
    assert data.root / data.val.annotations == Path("/labels/val.json")
    assert str(Path("here") / data.val.images) == "ram://images"
    dump_config(config, tmp_path / "resolved.yaml")
    assert load_config(tmp_path / "resolved.yaml") == config


def test_numbers_and_words_are_yaml_1_2(write):
    config = load_config(write("train: {learning_rate: 5e-4, strategy: off}"))
    assert config.train.learning_rate == 0.0005
    assert config.train.strategy == "off"


def test_config_cannot_change_after_reading(write):
    with pytest.raises(ValueError, match="frozen"):
        load_config(write("")).seed = 3


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=str)
def test_shipped_configs_are_valid_and_say_what_they_cost(path):
    config = load_config(path)
    assert isinstance(config, Config)
    assert config.name == path.stem
    # A data set that is only scored has no training data.
    assert config.data.synthetic or config.data.val
    header = [line for line in path.read_text().splitlines() if line.startswith("#")]
    for word in ("command", "hardware", "time", "paper's AP", "measured AP"):
        assert any(line.startswith(f"# {word} ") for line in header), word


def test_paper_configs_keep_the_papers_recipe():
    for name, backbone, size in (("w32_512", "w32", 512), ("w48_640", "w48", 640)):
        config = load_config(ROOT / f"configs/coco_{name}.yaml")
        default = Config(name=config.name)
        assert (config.model.backbone, config.model.input_size) == (backbone, size)
        assert config.train == default.train
        assert config.augment == default.augment
        assert config.loss == default.loss


def test_differing_keys_are_dotted():
    first = Config(name="a")
    second = Config.model_validate(
        {
            "name": "a",
            "seed": 3,
            "train": {"drop_epochs": [1]},
            "data": {"strict": True},
        }
    )
    assert differing_keys(first, first) == []
    expected = ["seed", "data.strict", "train.drop_epochs"]
    assert differing_keys(first, second) == expected
    with_data = Config.model_validate(
        {"name": "a", "data": {"train": {"annotations": "a.json", "images": "i"}}}
    )
    assert "data.train.annotations" in differing_keys(first, with_data)


def test_limited_to_a_few_images():
    source = {"annotations": "a.json", "images": "i", "limit": 500}
    data = {"train": source, "val": source}
    config = limited(Config.model_validate({"name": "a", "data": data}), 7)
    assert (config.data.train.limit, config.data.val.limit) == (7, 7)
    data = {"synthetic": {"train_scenes": 9, "val_scenes": 3}}
    config = limited(Config.model_validate({"name": "a", "data": data}), 7)
    scenes = config.data.synthetic
    assert (scenes.train_scenes, scenes.val_scenes) == (7, 3)
    assert limited(Config(name="a"), 7) == Config(name="a")
