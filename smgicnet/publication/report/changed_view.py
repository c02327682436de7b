"""The pair of the page's viewer whose moving head was changed on purpose."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pandas import DataFrame

from smgicnet.core.layout import SHARD_RECORD, changed_file
from smgicnet.preparation.changes import CHANGES, Variant
from smgicnet.scoring.shown_change import ChangedPair, read_changed_pair
from smgicnet.scoring.statistics import read_metrics

RunKey = tuple[str, str]


class ChangedView(NamedTuple):
    """The changed pair that is shown.

    ``image``: of the changed head. ``runs``: by (method, arm) of those that have registered it, the folder of what they
    made of it and the file of their scores of changed heads. ``initial``: the scores before registration, or None.
    """

    pair: ChangedPair
    image: Path
    runs: Mapping[RunKey, tuple[str, str]]
    initial: str | None = None

    @property
    def title(self) -> str:
        """The moving head in short: ``s2, rotation 120``."""
        return f"{self.pair.moving}, {self.pair.variant.change} {self.pair.variant.severity:g}"

    def note(self, left_out: Sequence[str]) -> str:
        """Return in words what was done, and why it is shown; ``left_out`` are the labels of runs that it is not of."""
        why = "on which methods fall furthest behind the best of them" if len(self.runs) > 1 else "with the lowest Dice"
        done = f"{self.pair.moving} was changed on purpose. {described(self.pair.variant)}."
        without = f" It was not registered by {', '.join(left_out)}." if left_out else ""
        return f"{done} Of all changed heads it is the one {why}.{without}"

    def scores(self, path: str | Path) -> DataFrame:
        """Return the rows of this pair in a file of scores, under the changed head's name."""
        rows, variant = read_metrics([path]), self.pair.variant
        same = (rows["change"] == variant.change) & (rows["severity"] == variant.severity)
        ours = (rows["fixed"] == self.pair.fixed) & (rows["moving"] == self.pair.moving)
        return rows[same & ours].assign(moving=self.pair.head)


def has_no_result(folder: str | Path) -> bool:
    """Return whether the folder of what a run made of the changed pair says that there was no result."""
    return bool(json.loads(Path(folder, SHARD_RECORD).read_text(encoding="utf-8"))["without_result"])


def described(variant: Variant) -> str:
    """Return a change in words, from the label of its axis: ``The head is turned by 120 degrees``."""
    label = CHANGES[variant.change].label
    start, _, unit = label.rpartition(" (")
    if start.endswith((" by", " of")):
        return f"{start} {variant.severity:g} {unit.removesuffix(')')}"
    return f"{label}: {variant.severity:g}"


def changed_view(files: Mapping[str, Sequence[str]], runs: Sequence[RunKey]) -> ChangedView | None:
    """Return what `smgicnet.jobs.changed_heads.ChangedHeads.on_page` names, of ``runs``; None without a choice."""
    pair = read_changed_pair(files["change"][0]) if files["change"] else None
    if pair is None:
        return None
    folders = {Path(folder).name: folder for folder in files["change_heads"]}
    made = zip(files["change_shown"], files["change_metrics"], strict=True)
    return ChangedView(
        pair,
        changed_file(folders[pair.moving], pair.variant.name, "image"),
        dict(zip(map(tuple, runs), made, strict=True)),
        next(iter(files["change_initial"]), None),
    )
