"""Lines for a person: on a terminal the last line is renewed in its place; elsewhere all lines are plain."""

from __future__ import annotations

import os
import shutil
from types import TracebackType
from typing import TextIO

CLEAR = "\r\x1b[K"  # go to the start of the line and erase what follows


class Lines:
    """Writes lines to a stream.

    ``live`` says whether it is a terminal that can renew a line.
    """

    def __init__(self, stream: TextIO):
        self._stream = stream
        self.live = stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._shown = False

    def __enter__(self) -> Lines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clear()

    def say(self, line: str) -> None:
        """Write a line that stays."""
        self._clear()
        print(line, file=self._stream, flush=True)

    def show(self, line: str) -> None:
        """Write a line that the next one replaces; elsewhere than on a terminal nothing is written."""
        if self.live:
            width = shutil.get_terminal_size().columns
            self._stream.write(CLEAR + (line if len(line) < width else line[: width - 4] + "..."))
            self._stream.flush()
            self._shown = True

    def _clear(self) -> None:
        if self._shown:
            self._stream.write(CLEAR)
            self._shown = False
