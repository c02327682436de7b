"""The one error that a user is meant to read."""

from __future__ import annotations

from pathlib import Path


class InputError(ValueError):
    """Something that the user gave cannot be used.

    The message names the source (a file, a config key), the problem and the remedy, in that order.
    """

    def __init__(self, source: str | Path, problem: str, remedy: str):
        super().__init__(f"{source}: {problem}. {remedy}.")
        self.source, self.problem, self.remedy = str(source), problem, remedy

    def __reduce__(self):
        return InputError, (self.source, self.problem, self.remedy)
