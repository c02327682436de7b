"""The named qualities of a registration: how far a network's velocity is refined on its pair."""

from __future__ import annotations

from copy import deepcopy
from functools import cache

from smgicnet.config.schemas import fill, schema

_PART = "parts/refinement"
DEFAULT_QUALITY = "default"


@cache
def qualities() -> dict[str, dict]:
    """Return the completed block ``refinement`` of each quality, the fastest first, as the schema has them."""
    part = schema(_PART)
    found = deepcopy(part["qualities"])
    for block in found.values():
        fill(block, part)
    return dict(found)
