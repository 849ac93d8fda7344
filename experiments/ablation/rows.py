"""The rows and their configs: that of the scenes with the switches of a row."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from qepose_tf.config.reading import load_config
from qepose_tf.config.schema import Config

SCENES = Path("configs/ablation.yaml")
ROW_FOLDER = Path("configs/ablations")
BODY_WEIGHTS = "body.weights.h5"
BODY_ROW = "baseline"
# The body is trained on other scenes than the rows are trained and evaluated on.
BODY_OVERRIDES = (
    "data.synthetic.seed=100",
    "train.epochs=14",
    "train.drop_epochs=[9, 12]",
    "train.validate_every=14",
)
# A network of another kind has settings of its own, as small as the scenes' map.
DEKR_OVERRIDES = (
    "model.network=dekr",
    "model.head={keypoint_channels: 10}",
    "loss={disc_radius: 2.5, keypoint_sigma: 1.25, centre_sigma: 2.5}",
)
SWITCHES = {
    "model.head": (
        "semantic_points",
        "keypoint_query_encoding",
        "pose_query",
        "quality_branch",
    ),
    "loss": ("instance_label", "gaussian_sigma"),
}


@dataclass(frozen=True)
class Row:
    """A row of the paper.

    Attributes:
        title: what it is.
        tables: where the paper has it.
        paper_ap: COCO val2017 AP of HRNet-W32 at 512 px.
    """

    title: str
    tables: str
    paper_ap: float


# The rows are in the order of training, which begins with the paper's main claims.
ROWS = {
    "baseline": Row("Gaussian label, no KQE, no PQE", "2", 63.5),
    "cir": Row("CIR", "2", 64.5),
    "cir_kqe": Row("CIR + KQE", "2", 68.4),
    "full": Row("CIR + KQE + PQE, N = 9", "2, 3, 4, 6", 69.8),
    "gaussian": Row("Gaussian label + KQE + PQE", "2, 3", 68.3),
    "discrete": Row("discrete label + KQE + PQE", "3", 67.7),
    "discrete_qeb": Row("discrete label + KQE + PQE + QEB", "3", 68.6),
    "gaussian_qeb": Row("Gaussian label + KQE + PQE + QEB", "3", 69.0),
    "n0": Row("CIR + KQE + PQE, N = 0", "4", 68.5),
    "n3": Row("CIR + KQE + PQE, N = 3", "4", 68.9),
    "dekr": Row("DEKR", "1", 68.0),
}


def row_config(row: str, seed: int, folder: Path, overrides: tuple = ()) -> Config:
    """The config of one run.

    Args:
        row: a key of `ROWS`.
        seed: of weights, order and augmentation; the scenes stay the same.
        folder: of the whole ablation; the run's stands inside.
        overrides: more of them, such as `train.epochs=1`.
    """
    return _config(
        row,
        folder / f"{row}-seed{seed}",
        f"seed={seed}",
        f"model.backbone_weights={folder / BODY_WEIGHTS}",
        *overrides,
    )


def body_config(folder: Path, overrides: tuple = ()) -> Config:
    """The config of the run whose body every row starts from."""
    return _config(BODY_ROW, folder / "body", *BODY_OVERRIDES, *overrides)


def _config(row: str, run_dir: Path, *overrides: str) -> Config:
    values = load_config(ROW_FOLDER / f"{row}.yaml").model_dump(mode="json")
    if values["model"]["network"] == "dekr":
        fixed = (*DEKR_OVERRIDES, f"train.run_dir={run_dir}")
        return load_config(SCENES, [*fixed, *overrides])
    switches = [
        f"{section}.{key}={yaml.safe_dump(_at(values, section)[key]).split()[0]}"
        for section, keys in SWITCHES.items()
        for key in keys
    ]
    return load_config(SCENES, [*switches, f"train.run_dir={run_dir}", *overrides])


def _at(values: dict, section: str) -> dict:
    for name in section.split("."):
        values = values[name]
    return values
