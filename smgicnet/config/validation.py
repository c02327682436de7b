"""One part of a config against its schema: every default set, every violation named in one message."""

from __future__ import annotations

import math
from typing import Any

import jsonschema

from smgicnet.config.origin import Origin
from smgicnet.config.schemas import fill, schema
from smgicnet.core.errors import InputError, shortened

SHOWN = 300  # characters of a message of the schema


def _refuse_nan(value: Any, where: str, source: str) -> None:
    """NaN and infinity pass every range of JSON schema."""
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            _refuse_nan(item, f"{where}.{key}".strip("."), source)
    elif isinstance(value, float) and not math.isfinite(value):
        raise InputError(source, f"{where} is {value}", "Give a finite number")


def validated(value: Any, name: str, where: str, source: str) -> dict:
    """Fill and validate one part; every violation is named in one message, with the source of its value."""
    origin = source if isinstance(source, Origin) else Origin(source)
    _refuse_nan(value, where, source)
    fill(value, schema(name))
    errors = sorted(jsonschema.Draft202012Validator(schema(name)).iter_errors(value), key=lambda e: str(e.path))
    if errors:
        lines, sources = [], []
        for error in errors:
            path = ".".join([where, *map(str, error.absolute_path)]).strip(".")
            known = error.schema.get("properties")
            hint = f" (known keys: {', '.join(known)})" if error.validator == "additionalProperties" and known else ""
            lines.append(f"{shortened(path, SHOWN) or 'top level'}: {shortened(error.message, SHOWN)}{hint}")
            key = tuple(filter(None, path.split(".")))
            if error.validator == "additionalProperties":  # the keys that are not known
                sources.append(origin.of((*key, str(name)) for name in error.instance.keys() - (known or {}).keys()))
            else:
                named = (error.instance,) if "propertyNames" in error.schema_path else ()
                sources.append(origin.of([(*key, *named)]))
        if len(set(sources)) > 1:
            lines = [f"{line} (from {one})" for line, one in zip(lines, sources, strict=True)]
        said = sources[0] if len(set(sources)) == 1 else f"{origin} and {origin.by}"
        raise InputError(said, "; ".join(lines), "Correct these keys; the allowed values are in config/schemas/")
    return value
