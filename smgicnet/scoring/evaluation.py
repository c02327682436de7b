"""From a registered pair to flat rows: one number for each metric and region."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from importlib import import_module
from typing import Any

import numpy as np

from smgicnet.methods.contract import Registration
from smgicnet.scoring.metrics import SCORED
from smgicnet.scoring.pair import PairToScore, ScoredSubject
from smgicnet.scoring.rows import OVER_ROIS


def score_pair(
    fixed: ScoredSubject,
    moving: ScoredSubject,
    registration: Registration,
    reverse: Registration | None,
    rois: Mapping[int, str],
    only: Collection[str] | None = None,
) -> list[dict[str, Any]]:
    """Compute all metrics of one ordered pair, or ``only`` those of these names.

    The two label maps may lie on grids of different size, voxel size and orientation, unless ``reverse`` or an inverse
    is given. Of a registration that gives moved labels alone those metrics are computed that need no more. The other
    parameters are those of `smgicnet.scoring.pair.PairToScore`.

    Returns rows ``{fixed, moving, metric, roi, value}``; ``roi`` is the name of a region, ``"mean"`` (over those of the
    metric's group that are scored) or ``""``.
    Raises `InputError` when the fixed subject has no label or a field is not finite.
    """
    pair = PairToScore(fixed, moving, registration, reverse, rois)
    values: dict[tuple[str, str], float] = {}
    for metric in SCORED.values():
        if only is not None and metric.name not in only:
            continue
        if registration.labels is not None and not metric.of_labels:
            continue
        module, _, name = metric.function.partition(":")
        found = getattr(import_module(module), name)(pair)
        if found is None:
            continue
        if metric.regions:
            known = found[~np.isnan(found)]
            each = zip(pair.names_of(metric.regions), found, strict=True)
            values |= {(metric.name, region): float(value) for region, value in each}
            values[metric.name, OVER_ROIS] = float(known.mean()) if known.size else float("nan")
        else:
            values[metric.name, ""] = float(found)
    return [
        {"fixed": fixed.name, "moving": moving.name, "metric": metric, "roi": roi, "value": value}
        for (metric, roi), value in values.items()
    ]
