"""The choice of the changed pair that the page shows: by a rule, from the scores of all changed heads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from pandas import DataFrame

from smgicnet.core.provenance import write_text
from smgicnet.preparation.changes import Variant
from smgicnet.scoring.statistics import dice_or_failure

KEYS = ["fixed", "moving", "change", "severity"]


class ChangedPair(NamedTuple):
    """An ordered pair of subjects, and how the moving head is changed."""

    fixed: str
    moving: str
    variant: Variant

    @property
    def head(self) -> str:
        """The name of the moving head, see `Variant.of`."""
        return self.variant.of(self.moving)


def choose_changed_pair(changed: DataFrame) -> ChangedPair | None:
    """Return the changed pair on which runs fall furthest behind the best of them, in the mean of their Dice.

    ``changed`` has the rows of all runs, with ``change`` and ``severity``. A pair without a result has a Dice of 0. Of
    equals it is that with the lowest Dice, as always where there is one run, and then the first. None without any.
    """
    rows = changed[changed["severity"] > 0]  # not the pair as it lies
    runs = (
        dice_or_failure(rows)
        .groupby([*KEYS, "method", "arm"])["value"]
        .mean()
        .groupby(level=KEYS)
        .agg(["max", "mean"])
        .dropna()
    )
    if runs.empty:
        return None
    behind = (runs["max"] - runs["mean"]).round(6)  # so that sums in another order make no other choice
    fixed, moving, change, severity = min(runs.index, key=lambda pair: (-behind[pair], round(runs["mean"][pair], 6)))
    return ChangedPair(fixed, moving, Variant(change, float(severity)))


def write_changed_pair(chosen: ChangedPair | None, path: str | Path) -> None:
    """Write a choice as JSON; an empty one where there is nothing to choose from."""
    facts = {**chosen._asdict(), "variant": [chosen.variant.change, chosen.variant.severity]} if chosen else {}
    write_text(path, json.dumps(facts, indent=1) + "\n")


def read_changed_pair(path: str | Path) -> ChangedPair | None:
    """Read what `write_changed_pair` wrote."""
    facts = json.loads(Path(path).read_text(encoding="utf-8"))
    return ChangedPair(facts["fixed"], facts["moving"], Variant(*facts["variant"])) if facts else None
