"""The reference page of a config's keys, made from the schemas that a config is checked against."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from smgicnet.config.schemas import choices, schema

LONGEST = 40  # characters of a default in a table; a longer one stands below it
WORDS = {"integer": "whole number", "number": "number", "string": "text", "null": "`null`"}
INTRODUCTION = """\
# Config keys

Every key of a config file, made from the schemas in [config/schemas](../../config/schemas/config.schema.yaml), by which
each config is checked before anything runs. A key that is left out has its default; a key that stands in none of
these tables is an error. A dot leads into a block, `NAME` stands for a name of your choice, and `[]` for each entry of
a list. The [glossary](../glossary.md) explains the terms, and [Configuration](../../config/README.md) lists the configs
that come with the project.

<!-- tested -->
```sh
snakemake -n --quiet --configfile config/config.yaml   # is this config right? nothing is run
snakemake -n audit                                     # what would be run for one target, and why
```
"""
SECTIONS = {  # the title of each top-level key that has a section of its own, and what holds its keys
    "datasets": ("Datasets", "datasets.NAME"),
    "methods": ("Methods", "methods.NAME"),
    "affine": ("Affine pre-registration", "affine"),
    "evaluation": ("Evaluation", "evaluation"),
    "template": ("Template", "template"),
    "ablations": ("Ablations", "ablations"),
}
NAMED = "`NAME` has lower-case letters, digits and hyphens."


@dataclass(frozen=True)
class Key:
    """A key, with its dotted ``path`` in a block and the ``part`` of the schema that describes it."""

    path: str
    part: Mapping[str, Any]
    required: bool


def page() -> str:
    """Return the page in Markdown."""
    whole = schema("config")["properties"]
    general = {key: part for key, part in whole.items() if key not in SECTIONS}
    parts = [INTRODUCTION, "## General\n", _section(_keys(general))]
    for name, (title, block) in SECTIONS.items():
        parts += [f"## {title}\n", _block(block, whole[name])]
        if name == "datasets":
            parts += _kinds("Sources of subjects", "sources", "kind", "datasets.NAME.source")
        if name == "methods":
            parts += _kinds("Types of methods", "methods", "type", "methods.NAME")
    return "\n".join(part for part in parts if part)


def _block(block: str, part: Mapping[str, Any]) -> str:
    """Return the introduction and the keys of a block, or of the blocks with names of one's own that it holds."""
    said = as_markdown(part.get("description", ""))
    if "." not in block:
        return f"{said} Keys of the block `{block}`:\n\n{_section(_keys(part['properties']))}".lstrip()
    named = part["additionalProperties"]
    if "properties" not in named:
        return f"{said} {NAMED} {as_markdown(named['description'])}\n"
    keys = _keys(named["properties"], required=set(named.get("required", ())))
    return f"{said} {NAMED} Keys of a block `{block}`:\n\n{_section(keys)}"


def _kinds(title: str, folder: str, key: str, where: str) -> list[str]:
    """Return the sections of the schemas in a folder, of which a block names one."""
    parts = [f"## {title}\n", f"`{where}.{key}` names one of these, and the block has its keys.\n"]
    for name in choices(folder):
        own = schema(f"{folder}/{name}")
        required = set(own.get("required", ())) | {key}
        parts += [f"### {key}: {name}\n", _introduced(f"{own['title']}.", own)]
        parts.append(_section(_keys(own["properties"], required=required)))
    return parts


def _introduced(before: str, part: Mapping[str, Any]) -> str:
    said = " ".join(filter(None, (before, as_markdown(part.get("description", "")))))
    return f"{said}\n" if said else ""


def _keys(properties: Mapping[str, Any], path: str = "", required: set[str] | None = None) -> Iterator[Key]:
    """Return all keys below ``properties``, at any depth, a block before the keys that it holds."""
    for name, part in properties.items():
        yield from _key(f"{path}{name}", part, required=name in (required or set()))


def _key(path: str, part: Mapping[str, Any], *, required: bool) -> Iterator[Key]:
    yield Key(path, part, required)
    yield from _keys(part.get("properties", {}), f"{path}.", set(part.get("required", ())))
    for place, inner in (("NAME", part.get("additionalProperties")), ("[]", part.get("items"))):
        if isinstance(inner, Mapping) and "properties" in inner:
            below = f"{path}[]." if place == "[]" else f"{path}.{place}."
            yield from _keys(inner["properties"], below, set(inner.get("required", ())))


def _section(keys: Iterator[Key]) -> str:
    """Return a table of keys, and below it the defaults that are too long for one."""
    lines = ["| Key | Value | Default | Meaning |", "|---|---|---|---|"]
    long = []
    for key in keys:
        default = _default(key)
        if len(default) > LONGEST:
            long.append(f"Default of `{key.path}`:\n\n```yaml\n{_as_yaml(key.part['default'])}```\n")
            default = "below"
        meaning = as_markdown(str(key.part.get("description", ""))).replace("|", "&#124;")
        lines.append(f"| `{key.path}` | {_value(key.part)} | {default} | {meaning} |")
    return "\n".join([*lines, "", *long])


def _default(key: Key) -> str:
    if "const" in key.part or (key.required and "default" not in key.part):
        return "required"
    if "default" not in key.part or (key.part["default"] == {} and "properties" in key.part):
        return "–"
    return code(_shown(key.part["default"]))


def _shown(value: Any) -> str:
    """Return a value as it stands in YAML, on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...") or "''"


def _as_yaml(value: Any) -> str:
    """Return a long value as YAML, whose innermost blocks stand on one line."""
    text = yaml.safe_dump(value, default_flow_style=None, width=110, sort_keys=False, allow_unicode=True)
    return str(text).removesuffix("...\n")


def _value(part: Mapping[str, Any]) -> str:
    """Return in words what a value may be."""
    if "const" in part:
        return code(_shown(part["const"]))
    if "enum" in part:
        return "one of " + ", ".join(code(_shown(one)) for one in part["enum"])
    kinds = part.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    values = [_of_type(kind, part) for kind in kinds]
    return (", or " if "," in values[0] else " or ").join(values)


def _of_type(kind: str, part: Mapping[str, Any]) -> str:
    if kind == "boolean":
        return "`true` or `false`"
    if kind == "object":
        return "block" if "properties" in part else "mapping"
    if kind == "array":
        return _list(part)
    said = [WORDS[kind]]
    if kind in ("integer", "number"):
        said += filter(None, [_range(part)])
        if "multipleOf" in part:
            said.append(f"a multiple of {part['multipleOf']}")
    if kind == "string" and "maxLength" in part:
        said.append(f"at most {part['maxLength']} characters")
    if kind == "string" and r"\x" not in part.get("pattern", r"\x"):  # the description says what codes mean
        said.append(f"matching {code(part['pattern'])}")
    return ", ".join(said)


def _range(part: Mapping[str, Any]) -> str:
    """Return in words which numbers are allowed."""
    low = part.get("minimum", part.get("exclusiveMinimum"))
    high = part.get("maximum")
    if low is None and high is None:
        return ""
    above = "above " if "exclusiveMinimum" in part else ""
    if high is None:
        said = f"{above}{low}" if above else f"at least {low}"
    else:
        said = f"{above}{low}, at most {high}" if above else f"{low} to {high}"
    return f"{said}, but not {part['not']['const']}" if "const" in part.get("not", {}) else said


def _list(part: Mapping[str, Any]) -> str:
    least, most = part.get("minItems", 0), part.get("maxItems")
    if most == 0:
        return "an empty list"
    if least == most:
        count = f"list of {least}: " if least > 1 else "list of one: "
    else:
        count = f"list of {least} or more: " if least else "list: "
    items = part.get("items", {})
    inner = "blocks" if "properties" in items else _value(items)
    return count + inner


def code(text: str) -> str:
    """Return text as code, in which a table's bar may stand."""
    if "|" in text:
        return f"<code>{html.escape(text, quote=False).replace('|', '&#124;')}</code>"
    return f"`{text}`"


def as_markdown(text: str) -> str:
    """Return a text of the code in Markdown: pages of the docs are links, and nothing else has a meaning."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else _plain(part) for part in parts)


def _plain(text: str) -> str:
    escaped = re.sub(r"([*<\[\]])", r"\\\1", text)
    escaped = re.sub(r"(?<![\w])_|_(?![\w])", r"\\_", escaped)
    return re.sub(r"\bdocs/([\w/-]+\.md)\b", r"[docs/\1](../\1)", escaped)
