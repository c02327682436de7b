"""The JSON schemas: the only source of defaults and ranges."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from typing import Any

import yaml

from smgicnet.core.files import packaged

SCHEMAS = packaged("schemas")
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's, where it is there, takes a tenth of the time


@cache
def schema(name: str) -> dict:
    """Return the schema ``name`` (``"config"``, ``"methods/smgicnet"``, ``"sources/phantom"``...) as a dict.

    A ``$ref`` to another schema's file is replaced by its content, in which what stands beside the ``$ref`` wins.
    """
    with open(SCHEMAS / f"{name}.schema.yaml") as file:
        return _resolve(yaml.load(file, LOADER), f"{name}.schema.yaml")


def _resolve(part: Any, file: str) -> Any:
    if isinstance(part, list):
        return [_resolve(item, file) for item in part]
    if not isinstance(part, dict):
        return part
    part = {key: _resolve(value, file) for key, value in part.items()}
    if "$ref" not in part:
        return part
    target = posixpath.normpath(posixpath.join(posixpath.dirname(file), part.pop("$ref")))
    return merge(schema(target.removesuffix(".schema.yaml")), part)


def merge(base: Mapping, changes: Mapping) -> dict:
    """Return ``base`` with ``changes`` over it, at any depth."""
    merged = deepcopy(dict(base))
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def choices(folder: str) -> list[str]:
    """Return the names of the schemas in ``folder``: the types of methods or the kinds of sources there are."""
    return sorted(path.name.removesuffix(".schema.yaml") for path in (SCHEMAS / folder).glob("*.schema.yaml"))


def fill(value: Any, part: Mapping) -> None:
    """Set the defaults of ``part`` in ``value``, in place and at any depth."""
    if isinstance(value, dict):
        for key, sub in part.get("properties", {}).items():
            if "default" in sub:
                value.setdefault(key, deepcopy(sub["default"]))
            if key in value:
                fill(value[key], sub)
        rest = part.get("additionalProperties")
        if isinstance(rest, Mapping):
            for key in value.keys() - part.get("properties", {}).keys():
                fill(value[key], rest)
    elif isinstance(value, list) and isinstance(part.get("items"), Mapping):
        for item in value:
            fill(item, part["items"])
