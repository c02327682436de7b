"""The one error that a user is meant to read, and how text of others is shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

LONGEST = 8000  # characters of a problem: a config with fifty wrong keys has fewer


def printable(text: str) -> str:
    """Return ``text`` with control characters as escapes: what is in a file must not steer the terminal."""
    return "".join(one if one.isprintable() or one == "\n" else ascii(one)[1:-1] for one in text)


def shortened(text: str, most: int = LONGEST) -> str:
    """Return ``text``, without its middle where it has more than ``most`` characters.

    What is in a file must not flood the terminal.
    """
    return text if len(text) <= most else f"{text[: most // 2 - 3]} ... {text[3 - most // 2 :]}"


class InputError(ValueError):
    """Something that the user gave cannot be used.

    The message names the source (a file, a config key), the problem and the remedy, in that order.
    """

    def __init__(self, source: str | Path, problem: str, remedy: str):
        source, problem = shortened(str(source)), shortened(problem)
        super().__init__(f"{source}: {problem}. {remedy}.")
        self.source, self.problem, self.remedy = source, problem, remedy

    def __reduce__(self) -> tuple[Any, ...]:
        return InputError, (self.source, self.problem, self.remedy)


class InputErrors(InputError):
    """Several things that cannot be used, a line each."""

    def __init__(self, problems: Sequence[InputError]):
        super().__init__(problems[0].source, problems[0].problem, problems[0].remedy)
        self.args = ("\n".join(map(str, problems)),)
        self.problems = tuple(problems)

    def __reduce__(self) -> tuple[Any, ...]:
        return InputErrors, (self.problems,)


def require_least(option: str, value: int | None, least: int) -> None:
    """Raise `InputError` for the value of an option of the command line that is less than ``least``."""
    if value is not None and value < least:
        raise InputError(option, f"it is {value}", f"Give {least} or more")


def attempt(problems: list[InputError], function: Callable[..., Any], *arguments: Any) -> Any:
    """Return the function's result, or None after adding its `InputError` to ``problems``."""
    try:
        return function(*arguments)
    except InputError as error:
        problems.append(error)
        return None
