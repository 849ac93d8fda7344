"""A config read from YAML, with dotted `key=value` overrides, and written back."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pydantic
import yaml

from qepose_tf.config.errors import explain
from qepose_tf.config.schema import Config, config_class
from qepose_tf.config.yaml_values import parse_yaml
from qepose_tf.files.locations import Url
from qepose_tf.files.whole_files import write_file


def load_config(
    path: str | Path, overrides: Sequence[str] | Mapping[str, Any] = ()
) -> Config:
    """Reads a YAML file and applies overrides.

    `name` defaults to the file's stem. A skeleton's file is looked for beside the YAML
    file, in the working folder and below `data.root`, in this order.

    Args:
        path: Of the YAML file.
        overrides: Texts such as `train.epochs=3`, whose values are YAML (`[3, 4]`,
            `null`), or values by dotted key, `{"train.epochs": 3}`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: One line with the file, the dotted key, the value, what was
            expected, and the nearest known key.

    Example:
        >>> config = load_config("my.yaml", ["train.epochs=3"])  # doctest: +SKIP
        >>> config.train.epochs  # doctest: +SKIP
        3
    """
    values = _read_yaml(Path(path))
    values.setdefault("name", re.sub(r"[^A-Za-z0-9_.-]", "_", Path(path).stem))
    if isinstance(overrides, Mapping):
        overridden = {_set(values, key, value) for key, value in overrides.items()}
    else:
        overridden = {_override(values, override) for override in overrides}
    kind = config_class(values)
    try:
        config = kind.model_validate(values)
    except pydantic.ValidationError as error:
        lines = [explain(details, values, kind) for details in error.errors()]
        key, text = lines[0]
        source = "command line" if key in overridden else path
        others = {other for other, _ in lines} - {key}
        more = f" (also wrong: {', '.join(sorted(others))})" if others else ""
        raise ValueError(f"{source}: {text}{more}") from None
    # The same skeleton whatever folder the command is called from.
    folders = (Path(path).parent, Path(), config.data.root)
    return config.model_copy(update={"skeleton": _found(config.skeleton, folders)})


def _found(skeleton: str, folders: Sequence[Path | Url]) -> str:
    """A skeleton's file in the first folder that has it; anything else as it is."""
    if not skeleton.endswith((".json", ".yaml", ".yml")):
        return skeleton
    places = (folder / skeleton for folder in folders)
    return next((str(place) for place in places if place.is_file()), skeleton)


def dump_config(config: Config, path: str | Path) -> None:
    """Writes every resolved value as YAML, at once or not at all."""
    write_file(path, yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such config file") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}: expected a YAML text file") from None
    values = parse_yaml(text, str(path))
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ValueError(f"{path}: expected a mapping of config keys, got {values!r}")
    return values


def _override(values: dict[str, Any], override: str) -> str:
    """Sets one dotted key in place and returns it."""
    key, equals, text = override.partition("=")
    if not equals or not all(key.split(".")):
        raise ValueError(f"command line: expected key=value, got {override!r}")
    return _set(values, key, parse_yaml(text, f"command line: {key}"))


def _set(values: dict[str, Any], key: str, value: Any) -> str:
    *parents, last = key.split(".")
    section = values
    for depth, name in enumerate(parents, start=1):
        inner = section.get(name)
        if inner is None:
            inner = section[name] = {}
        if not isinstance(inner, dict):
            parent = ".".join(parents[:depth])
            raise ValueError(f"command line: {key}: {parent} has no keys below it")
        section = inner
    section[last] = value
    return key
