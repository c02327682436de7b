"""Write all drawings, or those that are named: ``python -m docs.drawings fields``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from docs.drawings import fields, intervals, pose, velocities
from docs.drawings.style import save

IMAGES = Path(__file__).parents[1] / "images"
DRAWINGS: dict[str, Callable[[], Figure]] = {
    "fields": fields.draw,
    "pose": pose.draw,
    "velocities": velocities.draw,
    "intervals": intervals.draw,
}


def main(names: list[str]) -> None:
    """Write ``docs/images/concept-NAME.svg`` of each name, or of all."""
    for name in names or DRAWINGS:
        save(DRAWINGS[name](), IMAGES / f"concept-{name}.svg")


if __name__ == "__main__":
    main(sys.argv[1:])
