"""Settings that a program makes in its own process when it starts; importing the package makes none."""

from __future__ import annotations

import os


def keep_waiting_short() -> None:
    """Let threads of libgomp that wait for each other spin for a short time only; before torch is imported.

    By default they spin for milliseconds, which makes a training step many times slower beside another busy process; a
    short spin costs little where the machine is free (docs/results/performance.md). The jobs of the process inherit it.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
