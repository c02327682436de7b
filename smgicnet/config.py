"""Configuration: JSON schemas (the only source of defaults and ranges) to frozen dataclasses."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import jsonschema
import yaml

from smgicnet.errors import InputError

T = TypeVar("T")
_PACKAGE = Path(__file__).parent
# an installed package carries the schemas; in a checkout they stand in config/
SCHEMAS = _PACKAGE / "schemas" if (_PACKAGE / "schemas").is_dir() else _PACKAGE.parent / "config" / "schemas"


@cache
def schema(name: str) -> dict:
    """The schema ``name`` (``"config"``, ``"methods/smgicnet"``, ``"sources/phantom"``...) as a dict."""
    with open(SCHEMAS / f"{name}.schema.yaml") as file:
        return yaml.safe_load(file)


def choices(folder: str) -> list[str]:
    """Names of the schemas in ``folder``: the types of methods or the kinds of sources there are."""
    return sorted(path.name.removesuffix(".schema.yaml") for path in (SCHEMAS / folder).glob("*.schema.yaml"))


def _fill(value: Any, part: Mapping) -> None:
    """Set the defaults of ``part`` in ``value``, in place and at any depth."""
    if isinstance(value, dict):
        for key, sub in part.get("properties", {}).items():
            if "default" in sub:
                value.setdefault(key, deepcopy(sub["default"]))
            if key in value:
                _fill(value[key], sub)
        rest = part.get("additionalProperties")
        if isinstance(rest, Mapping):
            for key in value.keys() - part.get("properties", {}).keys():
                _fill(value[key], rest)
    elif isinstance(value, list) and isinstance(part.get("items"), Mapping):
        for item in value:
            _fill(item, part["items"])


def _refuse_nan(value: Any, where: str, source: str) -> None:
    """NaN and infinity pass every range of JSON schema."""
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            _refuse_nan(item, f"{where}.{key}".strip("."), source)
    elif isinstance(value, float) and not math.isfinite(value):
        raise InputError(source, f"{where} is {value}", "Give a finite number")


def _check(value: Any, name: str, where: str, source: str) -> dict:
    """Fill and validate one part; every violation is named in one message."""
    _refuse_nan(value, where, source)
    _fill(value, schema(name))
    errors = sorted(jsonschema.Draft202012Validator(schema(name)).iter_errors(value), key=lambda e: str(e.path))
    if errors:
        lines = []
        for error in errors:
            path = ".".join([where, *map(str, error.absolute_path)]).strip(".") or "top level"
            known = error.schema.get("properties")
            hint = f" (known keys: {', '.join(known)})" if error.validator == "additionalProperties" and known else ""
            lines.append(f"{path}: {error.message}{hint}")
        raise InputError(source, "; ".join(lines), "Correct these keys; the allowed values are in config/schemas/")
    return value


def complete(config: Mapping, source: str = "config") -> dict:
    """Validate ``config`` against the schemas and set every default.

    Parameters
    ----------
    config : the mapping read from YAML
    source : its file, for messages

    Returns a new dict. Raises `InputError` that names each offending key.
    """
    full = _check(deepcopy(dict(config)), "config", "", source)
    for kind, section, folder, key in (
        ("dataset", "datasets", "sources", "kind"),
        ("method", "methods", "methods", "type"),
    ):
        for name, block in full[section].items():
            part = block["source"] if kind == "dataset" else block
            where = f"{section}.{name}" + (".source" if kind == "dataset" else "")
            if part.get(key) not in choices(folder):
                raise InputError(source, f"{where}.{key} is {part.get(key)!r}", f"Choose one of {choices(folder)}")
            _check(part, f"{folder}/{part[key]}", where, source)
    _check_consistency(full, source)
    return full


def _check_consistency(config: Mapping, source: str) -> None:
    """What a schema cannot say."""
    for name, method in config["methods"].items():
        where = f"methods.{name}"
        for index, stage in enumerate(method["stages"]):
            if (stage["iterations"] is None) == (stage["epochs"] is None):
                raise InputError(
                    source, f"{where}.stages.{index} needs iterations or epochs", "Give exactly one of them"
                )
        if "network" in method:
            _check_levels(method, where, source)
            stride = grid_stride(method["network"])
            for dataset_name, dataset in config["datasets"].items():
                if any(n % stride for n in dataset["grid"]["shape"]):
                    raise InputError(
                        source,
                        f"datasets.{dataset_name}.grid.shape {dataset['grid']['shape']} is not divisible by {stride}, "
                        f"as {where} needs",
                        f"Choose multiples of {stride}, or fewer network.levels or a smaller network.depth",
                    )


def grid_stride(network: Mapping) -> int:
    """The number by which a grid has to be divisible: each level below the last halves it and has one stride more."""
    return max(2 ** network["depth"], 2 ** network["levels"] if network["levels"] > 1 else 1)


def _check_levels(method: Mapping, where: str, source: str) -> None:
    levels = method["network"]["levels"]
    for key, values in {"stages": method["stages"], **method["objective"]}.items():
        if isinstance(values, list) and len(values) != levels:
            part = key if key == "stages" else f"objective.{key}"
            raise InputError(source, f"{where}.{part} has {len(values)} entries", f"Give {levels}, one a level")
    paired = [t for t in ("symmetric", "inverse", "gradient_inverse") if method["objective"]["weights"][t] > 0]
    if not method["network"]["symmetric"] and paired:
        raise InputError(
            source,
            f"{where}: {paired} compare two directions, and network.symmetric is false",
            "Set these weights to 0",
        )


def load(path: str | Path) -> dict:
    """Read a YAML file and `complete` it. Raises `InputError` when it is missing or not YAML."""
    try:
        with open(path) as file:
            config = yaml.safe_load(file)
    except FileNotFoundError:
        raise InputError(path, "no such file", "Give the path of a config file such as config/config.yaml") from None
    except yaml.YAMLError as error:
        raise InputError(path, f"not valid YAML: {error}", "Correct the syntax at that place") from None
    if not isinstance(config, dict):
        raise InputError(path, "the file holds no mapping", "Start from config/config.yaml")
    return complete(config, str(path))


def build(cls: type[T], values: Mapping) -> T:
    """A frozen dataclass from a completed mapping: nested dataclasses are built, lists become tuples.

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
    if dataclasses.is_dataclass(hint):
        return build(hint, value)
    if isinstance(value, list):
        inner = typing.get_args(hint)
        return tuple(_convert(inner[0], item) if inner else item for item in value)
    return value
