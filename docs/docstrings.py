"""Docstrings of the Python API for mkdocstrings: the project's sections of arguments and attributes become tables."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

from griffe import Docstring, Extension, Object

SECTION = re.compile(r"\n(Parameters|Attributes)\n-+\n(.*?)(?=\n\n|\Z)", re.DOTALL)


class Tables(Extension):
    """Turns ``name : meaning`` below ``Parameters`` and ``Attributes`` into a table with types and defaults."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Change the docstring of a module, class, function or attribute that has been read."""
        if obj.docstring:
            text = SECTION.sub(lambda found: table(obj, *found.groups()), obj.docstring.value)
            obj.docstring = Docstring(re.sub(r"``(.+?)``", r"`\1`", text), parent=obj)


def table(obj: Object, title: str, text: str) -> str:
    """Return the table of a section, whose entries begin at the margin."""
    lines = ["", f"**{title}**", "", "| Name | Type | Default | Meaning |", "|---|---|---|---|"]
    for entry in re.split(r"\n(?=\S)", text):
        names, _, meaning = entry.partition(" : ")
        for name in names.split(", "):
            kind, default = _known(obj, name)
            lines.append(f"| `{name}` | {_code(kind)} | {_code(default)} | {' '.join(meaning.split())} |")
    return "\n".join(lines) + "\n"


def _known(obj: Object, name: str) -> tuple[str, str]:
    """Return the annotation and the default of an argument of a function or of an attribute of a class, if any."""
    if obj.is_function:
        found = [one for one in obj.parameters if one.name == name]
        return (str(found[0].annotation or ""), _default(obj, found[0].default)) if found else ("", "")
    return str(getattr(obj.members.get(name), "annotation", None) or ""), ""


def _default(obj: Object, default: Any) -> str:
    """Return a default as it stands, or the value of the constant that it names."""
    text = "" if default is None else str(default)
    if not text.isupper():
        return text
    module, _, name = obj.resolve(text).rpartition(".")
    try:
        return repr(getattr(import_module(module), name))
    except ImportError:  # a module that needs more than this page does
        return text


def _code(text: str) -> str:
    return f"<code>{text.replace('|', '&#124;').replace('<', '&lt;')}</code>" if text else "–"
