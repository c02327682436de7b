"""The one error that a user is meant to read, and how text of others is shown."""

from __future__ import annotations

from pathlib import Path


def printable(text: str) -> str:
    """``text`` with control characters as escapes: what is in a file must not steer the terminal."""
    return "".join(one if one.isprintable() or one == "\n" else ascii(one)[1:-1] for one in text)


class InputError(ValueError):
    """Something that the user gave cannot be used.

    The message names the source (a file, a config key), the problem and the remedy, in that order.
    """

    def __init__(self, source: str | Path, problem: str, remedy: str):
        super().__init__(f"{source}: {problem}. {remedy}.")
        self.source, self.problem, self.remedy = str(source), problem, remedy

    def __reduce__(self):
        return InputError, (self.source, self.problem, self.remedy)
