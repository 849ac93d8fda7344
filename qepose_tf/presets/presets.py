"""The table of trained models that come with the package, and their files.

Beside each model file lies a JSON file with what was measured of it, written by
`python -m experiments.preset` together with the model.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Preset:
    """A trained model that comes with the package.

    Attributes:
        name: What commands and `PoseEstimator.from_preset` call it.
        description: One sentence on what it finds and what it was trained on.
        card: The page of the documentation with its figures, terms and failures.
    """

    name: str
    description: str
    card: str

    @property
    def file(self) -> Path:
        """The model file.

        Raises:
            FileNotFoundError: This installation lacks it.
        """
        return self._beside(".keras")

    @property
    def facts(self) -> dict[str, Any]:
        """What was measured of the model, with the command that did it."""
        return json.loads(self._beside(".json").read_text(encoding="utf-8"))

    @property
    def min_score(self) -> float:
        """The score from which a pose is shown by default.

        It is the least score at which 8 of 10 poses are people, on photographs that
        were not trained on.
        """
        return self.facts["min_score"]

    def _beside(self, suffix: str) -> Path:
        file = FOLDER / f"{self.name}{suffix}"
        if not file.is_file():
            raise FileNotFoundError(
                f"{file}: expected a file of the preset {self.name!r}, which this "
                "installation lacks; install qepose-tf again"
            )
        return file


PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            "people",
            "People in photographs, 17 keypoints: a small model on EfficientNet-Lite0, "
            "trained on 2,018 photographs of COCO and 8,254 of sports",
            "docs/PEOPLE.md",
        ),
    )
}


def preset_of(model: str | Path) -> Preset | None:
    """Returns the preset that a model's name means, None where it is a file's path."""
    preset = PRESETS.get(str(model))
    return None if Path(model).is_file() else preset
