"""The page's first sentences, from the numbers of Table 1 and of the comparisons; also where the reference loses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from smgicnet.publication.report.tables import read_values
from smgicnet.publication.tables.table import cell_text
from smgicnet.scoring.rows import OVER_ROIS


@dataclass(frozen=True)
class Contrast:
    """Dice of the reference minus that of another method; ``low`` and ``high`` end its interval, NaN without one."""

    label: str
    difference: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """``ahead``, ``behind`` or ``unclear``, of the reference: by whether the interval holds 0."""
        if math.isnan(self.low):
            return "unclear"
        return "ahead" if self.low > 0 else "behind" if self.high < 0 else "unclear"

    @property
    def text(self) -> str:
        ends = "" if math.isnan(self.low) else f" [{self.low:+.3f}, {self.high:+.3f}]"
        return f"{self.difference:+.3f}{ends}".replace("-", "−")


@dataclass(frozen=True)
class Headline:
    """``sentences`` to read first; ``contrasts`` to plot against ``reference`` between the ends of ``scale``."""

    sentences: tuple[str, ...]
    contrasts: tuple[Contrast, ...]
    scale: tuple[float, float]
    reference: str

    def place(self, value: float) -> str:
        """Where a difference lies on the scale, in percent of its width."""
        low, high = self.scale
        return f"{100 * (value - low) / (high - low):.2f}"


def headline(
    table1: str | Path,
    comparisons: str | Path | None,
    labels: Mapping[str, str],
    reference: tuple[str, str],
    size: Mapping[str, int],
) -> Headline:
    """From the CSV files of Table 1 and the comparisons; ``size`` has ``subjects`` and ``pairs`` (unordered)."""
    values = read_values(table1)
    scored = values[(values["source"] == "measured") & (values["metric"] == "dice")].dropna(subset="mean")
    names = {
        (method, arm): labels.get(f"{method}/{arm}", f"{method}/{arm}")
        for method, arm in scored[["method", "arm"]].itertuples(index=False)
    }
    dice = {names[row.method, row.arm]: row for row in scored.itertuples()}
    ours = labels.get("/".join(reference), "/".join(reference))
    sentences, contrasts = [], _contrasts(comparisons, labels)
    if dice:
        most = max(row.mean for row in dice.values())
        best = [name for name, row in dice.items() if row.mean == most]
        text = cell_text(most, dice[best[0]].sd, 3)
        sentences.append(f"{_listed(best)} {'has' if len(best) == 1 else 'have'} the highest mean Dice, {text}.")
    if ours in dice and contrasts:
        has = "" if ours in best else f", at {cell_text(dice[ours].mean, dice[ours].sd, 3)},"
        sentences.append(f"{ours}{has} {_verdicts(contrasts)}.")
    if size:
        sentences.append(
            f"{size['subjects']:,} test subjects, {size['pairs']:,} pairs of them, each registered in both directions."
        )
    ends = [end for c in contrasts for end in (c.difference, c.low, c.high) if not math.isnan(end)]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    margin = 0.04 * (high - low) or 0.01
    return Headline(tuple(sentences), contrasts, (low - margin, high + margin), ours)


def _contrasts(comparisons: str | Path | None, labels: Mapping[str, str]) -> tuple[Contrast, ...]:
    """The comparisons of mean Dice, the largest lead first."""
    if comparisons is None:
        return ()
    frame = pd.read_csv(comparisons, dtype=dict.fromkeys(("arm", "method", "roi"), str))
    rows = frame[(frame["roi"] == OVER_ROIS) & frame["difference"].notna()].sort_values("difference", ascending=False)
    return tuple(
        Contrast(labels.get(f"{row.method}/{row.arm}", f"{row.method}/{row.arm}"), row.difference, row.low, row.high)
        for row in rows.itertuples()
    )


def _verdicts(contrasts: Sequence[Contrast]) -> str:
    words = {
        "ahead": "is ahead of {}",
        "behind": "is behind {}",
        "unclear": "shows no clear difference from {} (the 95 % interval of the difference holds 0)",
    }
    if all(math.isnan(c.low) for c in contrasts):
        return "is compared below, without intervals: there are too few subjects for them"
    named = {verdict: [c.label for c in contrasts if c.verdict == verdict] for verdict in words}
    return _listed([words[verdict].format(_listed(found)) for verdict, found in named.items() if found])


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
