"""`model.network` chooses which settings `model` and `loss` have."""

import pytest

from qepose_tf.config.reading import dump_config, load_config
from qepose_tf.config.schema import Config, DEKRConfig
from qepose_tf.models.dekr_settings import (
    DEKRDecoderSettings,
    DEKRHeadSettings,
    DEKRLossSettings,
)


@pytest.fixture
def write(tmp_path):
    def written(text):
        path = tmp_path / "my.yaml"
        path.write_text(text)
        return path

    return written


def test_a_dekr_has_its_own_settings_with_its_own_defaults(write, tmp_path):
    text = (
        "model: {network: dekr, head: {adaptive_blocks: 1}}\nloss: {offset_weight: 1.0}"
    )
    config = load_config(write(text), ["model.decoder.protocol=mmpose"])
    assert type(config) is DEKRConfig
    model = config.model
    assert model.head.model_dump() == DEKRHeadSettings(adaptive_blocks=1).to_dict()
    assert (
        model.decoder.model_dump() == DEKRDecoderSettings(protocol="mmpose").to_dict()
    )
    assert config.loss.model_dump() == DEKRLossSettings(offset_weight=1.0).to_dict()
    dump_config(config, tmp_path / "again.yaml")
    assert load_config(tmp_path / "again.yaml") == config


@pytest.mark.parametrize("text", ["", "model: {network: pose_estimator}"])
def test_without_a_word_it_is_a_pose_estimator(write, text):
    assert type(load_config(write(text))) is Config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "model: {network: dkr}",
            "model.network = 'dkr': expected 'pose_estimator' or 'dekr'",
        ),
        ("model: {network: [dekr]}", r"model.network = \['dekr'\]: expected"),
        (
            "model: {network: dekr, head: {pose_query: none}}",
            "unknown key model.head.pose_query = 'none'",
        ),
        ("model: {head: {adaptive_blocks: 2}}", "unknown key model.head.adaptive"),
        ("model: {network: dekr}\nloss: {score_weight: 1.0}", "unknown key loss.score"),
        ("model: {network: dekr, decoder: {protocol: sahi}}", "model.decoder.protocol"),
    ],
)
def test_settings_of_the_other_network_are_unknown(write, text, message):
    with pytest.raises(ValueError, match=rf"my\.yaml: {message}"):
        load_config(write(text))
