"""The note below a table of pose consistency."""

from __future__ import annotations

from collections.abc import Sequence

from smgicnet.publication.tables.table import Cell, Row
from smgicnet.scoring.changed_rows import POSE_CONSISTENCY


def pose_note(rows: Sequence[Row], degrees: Sequence[float]) -> list[str]:
    """Say what pose consistency is, by which ``degrees`` heads were turned, and of how many pairs; none without it."""
    cells = [cell for row in rows for cell in row.cells if isinstance(cell, Cell) and cell.metric in POSE_CONSISTENCY]
    if not cells:
        return []
    pairs = max(cell.n or 0 for cell in cells)
    angles = f"by {', '.join(f'{angle:g}' for angle in degrees)} degrees " if degrees else ""
    return [
        "Pose consistency is how far apart a method sends a point of the fixed brain with the moving head as it lies "
        f"and with the same head turned {angles}about a random axis: mean and 95th percentile over the brain, averaged "
        f"over the angles, of {pairs:,} ordered pair{'s' * (pairs != 1)}."
    ]
