"""Names of regions of interest (ROIs) as figures write them."""

from __future__ import annotations

from collections.abc import Iterable

_SPELLED_OUT = {"Inf-Lat-Vent": "inf. lateral ventricle", "VentralDC": "ventral diencephalon"}
_SIDES = {"Left-": "L ", "Right-": "R "}


def readable_roi(name: str) -> str:
    """Return a FreeSurfer name as a reader would write it.

    ``Left-Cerebral-White-Matter`` is ``L cerebral white matter``.
    """
    side = next((side for side in _SIDES if name.startswith(side)), "")
    words = _SPELLED_OUT.get(name.removeprefix(side), name.removeprefix(side)).replace("-", " ").split(" ")
    text = " ".join(word if word.isupper() else word.lower() for word in words)
    return _SIDES[side] + text if side else text[:1].upper() + text[1:]


def without_sides(names: Iterable[str]) -> list[str]:
    """Return ROI names once each, in order, without ``Left-`` and ``Right-``: the sides are taken together."""
    return list(dict.fromkeys(name.removeprefix("Left-").removeprefix("Right-") for name in names))
