"""The sources of a config's values, for messages; text of the command line is read as it is meant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import jsonschema
import yaml


class Origin(str):
    """The file of a config, for messages, which knows what of the config was given beside it, and how (``by``)."""

    given: Mapping
    by: str

    def __new__(cls, file: str, given: Mapping | None = None, by: str = "--config") -> Origin:
        origin = super().__new__(cls, file)
        origin.given, origin.by = given or {}, by
        return origin

    def of(self, keys: Iterable[tuple[str, ...]]) -> str:
        """Return the source of these keys' values; both sources, if what was given stands in the same block."""
        given, keys = list(_leaves(self.given)), list(keys)
        if keys and all(any(key[: len(leaf)] == leaf for leaf in given) for key in keys):
            return self.by
        blocks = {key[:2] for key in keys if key}
        return f"{self} and {self.by}" if any(leaf[:2] in blocks for leaf in given) else str(self)

    def part(self, where: str) -> Any:
        """Return what was given below a dotted key."""
        part: Any = self.given
        for key in filter(None, where.split(".")):
            part = part.get(key, {}) if isinstance(part, Mapping) else {}
        return part


def _leaves(part: Mapping, above: tuple[str, ...] = ()) -> Iterable[tuple[str, ...]]:
    for key, value in part.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, (*above, str(key)))
        else:
            yield (*above, str(key))


def given_to(config: Mapping, given: Mapping) -> dict:
    """Return the part of ``given`` that is in ``config``.

    A module's config may be a block of the one that the command line changed.
    """
    found: dict = {}
    for key, value in given.items():
        if key in config and config[key] == value:
            found[key] = value
        elif isinstance(value, Mapping):
            below = config.get(key)
            part = given_to(below, value) if isinstance(below, Mapping) else {}
            found |= {key: part} if part else given_to(config, value)
    return found


def take_as_meant(config: dict, given: Any, part: Mapping) -> None:
    """Replace, in place, what was ``given`` as text by what the schema ``part`` wants there, where YAML reads it so."""
    if not isinstance(given, Mapping):
        return
    known, rest = part.get("properties", {}), part.get("additionalProperties")
    for key in given.keys() & config.keys():
        below = known.get(key, rest if isinstance(rest, Mapping) else {})
        if isinstance(config[key], dict) and isinstance(given[key], Mapping):
            take_as_meant(config[key], given[key], below)
        else:
            config[key] = _as_meant(config[key], below)


def _as_meant(value: Any, part: Mapping) -> Any:
    """``value`` with its text read as YAML where ``part`` of a schema wants no text."""
    if isinstance(value, dict):
        known, rest = part.get("properties", {}), part.get("additionalProperties")
        rest = rest if isinstance(rest, Mapping) else {}
        return {key: _as_meant(item, known.get(key, rest)) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_meant(item, part.get("items", {})) for item in value]
    if not isinstance(value, str) or not part.keys() & {"type", "enum", "const"}:
        return value
    kinds = part.get("type", "string")  # of an enumeration
    kinds = [kinds] if isinstance(kinds, str) else kinds
    fits = jsonschema.Draft202012Validator(part).is_valid
    read = _yaml(value, number="number" in kinds)
    if isinstance(read, str) or (fits(value) and not (read is None and "null" in kinds)):
        return value
    return _as_meant(read, part) if fits(read) or "string" not in kinds else value


def _yaml(text: str, number: bool) -> Any:
    """What YAML reads in ``text``, to which 1e-3 too is a ``number`` where one is asked for."""
    try:
        read = yaml.safe_load(text)
        if isinstance(read, str) and number:
            return float(read)
    except (yaml.YAMLError, ValueError):
        return text
    return read if read is None or isinstance(read, bool | int | float | list | dict) else text
