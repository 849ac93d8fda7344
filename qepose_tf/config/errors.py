"""What is wrong with a config, in one line that names key, value and expectation."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import pydantic


def explain(
    details: Mapping[str, Any], values: dict[str, Any], model: type[pydantic.BaseModel]
) -> tuple[str, str]:
    """Puts one of pydantic's errors in the words of the document.

    Args:
        details: Of `ValidationError.errors`.
        values: The document.
        model: What it was validated against.

    Returns:
        The dotted key, and "key = value: expected ...".
    """
    path = _existing_path(details["loc"], values)
    if details["type"] == "missing":
        path.append(details["loc"][-1])
    key = ".".join(str(part) for part in path)
    if details["type"] == "missing":
        return key, f"{key}: expected a value, got none"
    if details["type"] == "extra_forbidden":
        return key, f"unknown key {key} = {details['input']!r}, {_suggest(path, model)}"
    message = details["msg"].removeprefix("Value error, ")
    message = message.replace("Input should be ", "expected ")
    message = message.replace("String should match", "expected to match")
    return key, f"{key} = {details['input']!r}: {message}"


def _existing_path(loc: Sequence[Any], values: Any) -> list[Any]:
    """The parts of `loc` in the document: pydantic adds names of union members."""
    path = []
    for part in loc:
        known = isinstance(values, list) and isinstance(part, int)
        if known or (isinstance(values, dict) and part in values):
            values = values[part]
            path.append(part)
    return path


def _section_in(annotation: Any) -> Any:
    """The section that a field holds, alone or in a list; None where there is none."""
    if hasattr(annotation, "model_fields"):
        return annotation
    return next(filter(None, map(_section_in, get_args(annotation))), None)


def _suggest(path: Sequence[Any], section: Any) -> str:
    elsewhere = _places(section, str(path[-1]))
    for part in path[:-1]:
        if isinstance(part, str):
            section = _section_in(section.model_fields[part].annotation)
    known = list(section.model_fields)
    near = difflib.get_close_matches(str(path[-1]), known, 1)
    if near:
        return f"did you mean {'.'.join(map(str, [*path[:-1], near[0]]))}?"
    if elsewhere:
        return f"did you mean {elsewhere[0]}?"
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
