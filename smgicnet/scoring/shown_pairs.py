"""The choice of the test pairs that figures and the report show: by a rule, and before any method has seen them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from smgicnet.core.provenance import write_text
from smgicnet.imaging.images import read_labels
from smgicnet.preparation.label_protocols import roi_names
from smgicnet.scoring.overlap import dice, present_labels

Pair = tuple[str, str]


def choose_pairs(overlaps: Mapping[Pair, float], rules: Sequence[str]) -> dict[str, Pair]:
    """Choose the pair of each rule (``best``, ``median``, ``worst`` overlap): the first of equals, each pair once."""
    ranked = sorted(overlaps, key=lambda pair: (-overlaps[pair], pair))
    places = {"best": 0, "median": (len(ranked) - 1) // 2, "worst": len(ranked) - 1}
    chosen: dict[str, Pair] = {}
    for rule in rules:
        if ranked[places[rule]] not in chosen.values():
            chosen[rule] = ranked[places[rule]]
    return chosen


def initial_overlaps(labels: Mapping[str, Path], pairs: Sequence[Pair]) -> dict[Pair, float]:
    """Return the mean Dice of each pair of label maps on the common grid as they lie, over the ROIs that both have."""
    maps = {name: read_labels(path).data.astype(np.uint8) for name, path in labels.items()}
    rois = {name: present_labels(one, list(roi_names())) for name, one in maps.items()}
    return {(a, b): float(dice(maps[a], maps[b], [roi for roi in rois[a] if roi in rois[b]]).mean()) for a, b in pairs}


def read_shown_pairs(path: str | Path) -> list[Pair]:
    """Read the pairs, (fixed, moving), that `write_shown_pairs` wrote."""
    return [(fixed, moving) for fixed, moving in json.loads(Path(path).read_text()).values()]


def write_shown_pairs(labels: Mapping[str, Path], pairs: Sequence[Pair], rules: Sequence[str], out: Path) -> None:
    """Write ``{rule: [fixed, moving]}`` as JSON."""
    write_text(out, json.dumps(choose_pairs(initial_overlaps(labels, pairs), rules), indent=1) + "\n")
