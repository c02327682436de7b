"""The reference page of the command line, made from the parsers of ``smgicnet``."""

from __future__ import annotations

import argparse
import textwrap

from docs.config_keys import as_markdown, code
from smgicnet.commands.options import make_parser

WIDTH = 100  # characters of a line of usage
INTRODUCTION = """\
# Command line

The commands of `smgicnet` with all their options, made from the program itself; `smgicnet COMMAND --help` prints the
same. The exit status is 0 for success, 1 for problems that `check`, `verify` or `bids` found, 2 for input that cannot
be used (one line says which, why and what to do), 3 for a registration that `register --strict` does not call good, and
75 for a training that was asked to stop and goes on when it is started again.

<!-- tested -->
```sh
smgicnet --help                    # the commands
smgicnet register --help           # the options of one of them
smgicnet verify results/embedded   # is every table what its metrics give? made again and compared
```
"""


def page() -> str:
    """Return the page in Markdown."""
    parsers = commands()
    lines = [INTRODUCTION, "| Command | What it does |", "|---|---|"]
    lines += [f"| [`smgicnet {name}`](#smgicnet-{name}) | {_cell(said)} |" for name, (said, _) in parsers.items()]
    return "\n".join([*lines, "", *(_section(name, parser) for name, (_, parser) in parsers.items())])


def commands() -> dict[str, tuple[str, argparse.ArgumentParser]]:
    """Return what `smgicnet --help` says of each command, and its parser, by name."""
    for action in make_parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            said = {one.dest: one.help or "" for one in action._choices_actions}
            return {name: (said[name], parser) for name, parser in action.choices.items()}
    raise LookupError("the parser has no commands")


def shown(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Return the arguments and options of a command, but for ``--help``: arguments first, in their order."""
    actions = [one for one in parser._actions if not isinstance(one, argparse._HelpAction)]
    return sorted(actions, key=lambda one: bool(one.option_strings))


def _section(name: str, parser: argparse.ArgumentParser) -> str:
    lines = [
        f"## smgicnet {name}",
        "",
        as_markdown(parser.description or ""),
        "",
        "```text",
        *_usage(parser),
        "```",
        "",
    ]
    lines += ["| Option | Value | Default | Meaning |", "|---|---|---|---|"]
    lines += [_row(action) for action in shown(parser)]
    for group in parser._mutually_exclusive_groups:
        names = " and ".join(f"`{one.option_strings[0]}`" for one in group._group_actions)
        lines += ["", f"Give one of {names}." if group.required else f"{names} exclude each other."]
    return "\n".join([*lines, ""])


def _usage(parser: argparse.ArgumentParser) -> list[str]:
    """Return the command with all that it requires, in lines."""
    grouped = [one for group in parser._mutually_exclusive_groups for one in group._group_actions]
    parts = [parser.prog]
    parts += [_called(one) for one in shown(parser) if not one.option_strings]
    for group in parser._mutually_exclusive_groups:
        if group.required:
            parts.append(f"({' | '.join(_called(one) for one in group._group_actions)})")
    options = [one for one in shown(parser) if one.option_strings]
    parts += [_called(one) for one in options if one.required and one not in grouped]
    if any(not one.required for one in options):
        parts.append("[OPTIONS]")
    words = " ".join(part.replace(" ", "\0") for part in parts)  # a line does not end within a part
    return [line.replace("\0", " ") for line in textwrap.wrap(words, WIDTH, subsequent_indent="    ")]


def _called(action: argparse.Action) -> str:
    """Return an argument or an option as one writes it."""
    value = _metavar(action)
    several = f"{value} [{value} ...]" if action.nargs in ("+", "*") else value
    if action.nargs == "*":
        several = f"[{value} ...]"
    return " ".join(filter(None, [action.option_strings[-1] if action.option_strings else "", several]))


def _metavar(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    if action.metavar is not None:
        return str(action.metavar)
    if action.choices is not None:
        return "{" + ",".join(map(str, action.choices)) + "}"
    return action.dest.upper()


def _row(action: argparse.Action) -> str:
    name = ", ".join(f"`{one}`" for one in action.option_strings) or f"`{_metavar(action)}`"
    if action.choices is not None:
        value = "one of " if action.nargs is None else "some of "
        value += ", ".join(code(str(one)) for one in action.choices)
    else:
        value = code(_metavar(action)) if _metavar(action) and action.option_strings else "–"
        value += ", one or more" if action.nargs == "+" else ", any number" if action.nargs == "*" else ""
    help_text = (action.help or "") % {**vars(action), "prog": "smgicnet"}
    return f"| {name} | {value.removeprefix('–, ')} | {_default(action)} | {_cell(help_text)} |"


def _default(action: argparse.Action) -> str:
    if action.required or (not action.option_strings and action.nargs != "*"):
        return "required"
    if action.nargs == 0 or action.default in (None, [], argparse.SUPPRESS):
        return "–"
    return code(str(action.default))


def _cell(text: str) -> str:
    return as_markdown(text).replace("|", "&#124;")
