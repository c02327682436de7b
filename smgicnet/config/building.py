"""From a completed mapping to a frozen dataclass."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")


def build(cls: type[T], values: Mapping) -> T:
    """Build a frozen dataclass from a completed mapping: nested dataclasses are built, lists become tuples.

    Raises ``TypeError`` when the keys are not exactly the fields: the schema and the class have to agree.
    """
    hints = typing.get_type_hints(cls)
    names = {f.name for f in dataclasses.fields(cls)}
    if names != values.keys():
        raise TypeError(f"{cls.__name__} has {sorted(names)}, the config gives {sorted(values)}")
    return cls(**{name: _convert(hints[name], values[name]) for name in names})


def _convert(hint: Any, value: Any) -> Any:
    if isinstance(hint, types.UnionType):
        return None if value is None else _convert(next(a for a in hint.__args__ if a is not type(None)), value)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return build(hint, value)
    if isinstance(value, list):
        inner = typing.get_args(hint)
        return tuple(_convert(inner[0], item) if inner else item for item in value)
    return value
