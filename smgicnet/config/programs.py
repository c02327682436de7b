"""Ready blocks of other programs, with their authors' settings: ``config/programs``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from string import Formatter

import yaml

from smgicnet.config.schemas import LOADER, merge
from smgicnet.core.errors import InputError
from smgicnet.core.files import packaged

PROGRAMS = packaged("programs")
PLACES = (
    *("fixed", "moving", "fixed_mask", "moving_mask", "fixed_labels", "moving_labels"),
    *("out", "threads", "spacing", "programs"),
)


def programs() -> list[str]:
    """Return the names of the ready blocks."""
    return sorted(path.stem for path in PROGRAMS.glob("*.yaml"))


def with_program(block: Mapping, where: str, source: str) -> dict:
    """Return a method's block over the ready block that it names, if it is of type ``command`` and names one.

    Raises `InputError` for a name that there is not.
    """
    name = block.get("program")
    if block["type"] != "command" or name is None:
        return dict(block)
    if name not in programs():
        raise InputError(source, f"{where}.program is {name!r}", f"Choose one of {programs()}, or write `command`")
    ready = yaml.load((PROGRAMS / f"{name}.yaml").read_text(encoding="utf-8"), LOADER)
    if "environment" in block:  # one kind of it takes the place of another, and of what is on the PATH
        ready.pop("environment", None)
        ready.pop("requires", None)
    return merge(ready, block)


def sees_labels(command: str) -> bool:
    """Return whether a command has a place for a label map."""
    return "_labels}" in command


def helper_scripts(block: Mapping) -> tuple[Path, ...]:
    """Return the files of ``config/programs`` that a completed block's command names."""
    named = re.findall(r"\{programs\}/([\w./-]+)", block.get("command", ""))
    return tuple(PROGRAMS / name for name in named)


def check_command(method: Mapping, where: str, source: str) -> None:
    """Raise `InputError` for a completed block of type ``command`` that could not be run, or not be read."""
    try:
        named = {name for _, name, _, _ in Formatter().parse(method["command"]) if name is not None}
    except ValueError as error:
        raise InputError(source, f"{where}.command: {error}", "Double the braces that are the shell's own") from None
    if unknown := sorted(named - set(PLACES)):
        problem = f"{where}.command has the places {unknown}"
        raise InputError(source, problem, f"Use {', '.join(PLACES)}, and double the braces that are the shell's own")
    if absent := [path.name for path in helper_scripts(method) if not path.is_file()]:
        raise InputError(source, f"{where}.command names {absent}", f"Name files that are in {PROGRAMS}")
    for needed in ("fixed", "moving", "out"):
        if needed not in named:
            raise InputError(source, f"{where}.command has no place {{{needed}}}", "Write it where the file belongs")
    if bool(method["transforms"]) == (method["labels"] is not None):
        raise InputError(source, f"{where} needs transforms or labels", "Give one of them: what the command writes")
    if method["labels"] and "moving_labels" not in named:
        raise InputError(source, f"{where}.labels: the command sees no label map", "Use the place {moving_labels}")
    if sees_labels(method["command"]) and "affine" in method["arms"]:
        raise InputError(source, f"{where}.arms: label maps are not aligned", "Leave `affine` out")
    for name in (*method["transforms"], *([method["labels"]] if method["labels"] else [])):
        if name.startswith("/") or ".." in name.split("/"):
            raise InputError(source, f"{where}: {name!r} does not lie in {{out}}", "Give a path within it")
    try:
        groups = re.compile(method["seconds"] or "()").groups
    except re.error as error:
        raise InputError(source, f"{where}.seconds: {error}", "Give a regular expression") from None
    if groups != 1:
        raise InputError(source, f"{where}.seconds has {groups} groups", "Put one around the number")
