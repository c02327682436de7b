"""The line that tells how far a training has come."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

log = logging.getLogger(__name__)
PROGRESS_SECONDS = 10  # between two lines


class Progress:
    """The line of progress that is logged every few seconds: step, terms, step time, time left."""

    def __init__(self, start: int, length: int):
        self.start, self.length = start, length
        self.begun = self.last = time.monotonic()

    def report(self, done: int, row: Mapping[str, float]) -> None:
        """Log a line after ``done`` steps, unless the last one is recent; ``row`` is the step's of the history."""
        now = time.monotonic()
        if done < self.length and now - self.last < PROGRESS_SECONDS:
            return
        self.last = now
        per_step = (now - self.begun) / (done - self.start)
        left = per_step * (self.length - done)
        skip = {"step", "seconds", "learning_rate"}
        terms = " ".join(f"{name} {value:.4g}" for name, value in row.items() if name not in skip)
        log.info("%d/%d %s | %.2f s/step, %d:%02d left", done, self.length, terms, per_step, *divmod(round(left), 60))
