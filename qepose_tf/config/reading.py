"""A config read from YAML, with dotted `key=value` overrides, and written back."""

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import pydantic
import yaml

from qepose_tf.config.schema import Config
from qepose_tf.config.yaml_values import parse_yaml
from qepose_tf.files.whole_files import write_file


def load_config(
    path: str | Path, overrides: Sequence[str] | Mapping[str, Any] = ()
) -> Config:
    """Reads a YAML file and applies overrides.

    `name` defaults to the file's stem.

    Args:
        path: Of the YAML file.
        overrides: Texts such as `train.epochs=3`, whose values are YAML (`[3, 4]`,
            `null`), or values by dotted key, `{"train.epochs": 3}`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: One line with the file, the dotted key, the value, what was
            expected, and the nearest known key.
    """
    values = _read_yaml(Path(path))
    values.setdefault("name", re.sub(r"[^A-Za-z0-9_.-]", "_", Path(path).stem))
    if isinstance(overrides, Mapping):
        overridden = {_set(values, key, value) for key, value in overrides.items()}
    else:
        overridden = {_override(values, override) for override in overrides}
    try:
        return Config.model_validate(values)
    except pydantic.ValidationError as error:
        lines = [_explain(details, values) for details in error.errors()]
        key, text = lines[0]
        source = "command line" if key in overridden else path
        others = {other for other, _ in lines} - {key}
        more = f" (also wrong: {', '.join(sorted(others))})" if others else ""
        raise ValueError(f"{source}: {text}{more}") from None


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


def _explain(details: dict[str, Any], values: dict[str, Any]) -> tuple[str, str]:
    """One pydantic error as (dotted key, 'key = value: expected ...')."""
    path = _existing_path(details["loc"], values)
    if details["type"] in ("missing", "extra_forbidden"):
        path = details["loc"]
    key = ".".join(str(part) for part in path)
    if details["type"] == "missing":
        return key, f"{key}: expected a value, got none"
    if details["type"] == "extra_forbidden":
        return key, f"unknown key {key} = {details['input']!r}, {_suggest(path)}"
    message = details["msg"].removeprefix("Value error, ")
    message = message.replace("Input should be ", "expected ")
    message = message.replace("String should match", "expected to match")
    return key, f"{key} = {details['input']!r}: {message}"


def _existing_path(loc: Sequence[Any], values: Any) -> list[Any]:
    """`loc` up to where the document ends: pydantic appends names of union members."""
    path = []
    for part in loc:
        inside = part in values if isinstance(values, dict) else isinstance(part, int)
        if not inside or not isinstance(values, dict | list):
            break
        values = values[part]
        path.append(part)
    return path


def _suggest(path: Sequence[Any]) -> str:
    section: Any = Config
    for part in path[:-1]:
        field = section.model_fields[part].annotation
        models = [field, *get_args(field)]
        section = next(m for m in models if hasattr(m, "model_fields"))
    elsewhere = _places(Config, str(path[-1]))
    if elsewhere:
        return f"did you mean {elsewhere[0]}?"
    known = list(section.model_fields)
    near = difflib.get_close_matches(str(path[-1]), known, 1)
    if near:
        return f"did you mean {'.'.join(map(str, [*path[:-1], near[0]]))}?"
    return f"expected one of {', '.join(known)}"


def _places(section: type[pydantic.BaseModel], key: str, prefix: str = "") -> list[str]:
    """Where in the config a key of this name stands, as dotted keys."""
    found = []
    for name, field in section.model_fields.items():
        if name == key:
            found.append(prefix + name)
        elif isinstance(field.annotation, type) and issubclass(
            field.annotation, pydantic.BaseModel
        ):
            found += _places(field.annotation, key, f"{prefix}{name}.")
    return found
