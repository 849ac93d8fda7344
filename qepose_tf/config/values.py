"""The types of a config's values."""

from pathlib import Path
from typing import Annotated, Any

import pydantic
from pydantic import Field

from qepose_tf.files.locations import Url, location

# Strict: `epochs: true` or `epochs: "3"` is a mistake, not a number.
Count = Annotated[int, Field(strict=True, ge=1)]
Natural = Annotated[int, Field(strict=True, ge=0)]
Positive = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Fraction = Annotated[float, Field(strict=True, ge=0, le=1)]
Flag = Annotated[bool, Field(strict=True)]
Names = Annotated[
    list[Annotated[str, Field(strict=True, min_length=1)]], Field(min_length=1)
]


def _place(value: Any) -> Path | Url:
    if not isinstance(value, str | Path | Url):
        raise ValueError("expected a path or a URL")
    return location(value)


Place = Annotated[
    Path | Url,
    pydantic.PlainValidator(_place),
    pydantic.PlainSerializer(str, return_type=str),
]


class Section(pydantic.BaseModel):
    """A group of keys, of which an unknown one is an error."""

    model_config = pydantic.ConfigDict(
        extra="forbid", frozen=True, validate_default=True, protected_namespaces=()
    )
