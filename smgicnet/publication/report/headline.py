"""The page's first sentences, from the numbers of Table 1 and of the comparisons; also where the reference loses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from smgicnet.publication.report.tables import read_values
from smgicnet.publication.tables.table import cell_text, listed
from smgicnet.scoring.comparisons import read_comparisons
from smgicnet.scoring.metrics import COMPARED, Metric
from smgicnet.scoring.rows import OVER_ROIS

Scores = Mapping[str, tuple[float, float]]  # mean and SD of one metric, by the name of a run


@dataclass(frozen=True)
class Contrast:
    """A metric of the reference minus that of another; ``low`` and ``high`` end its interval, NaN without one."""

    metric: Metric
    label: str
    difference: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """``ahead``, ``behind`` or ``unclear``, of the reference: by whether the interval holds 0."""
        if math.isnan(self.low) or self.low <= 0 <= self.high:
            return "unclear"
        return "ahead" if (self.low > 0) == (self.metric.better == "higher") else "behind"

    @property
    def text(self) -> str:
        """The difference and its interval."""
        shown = f"+.{self.metric.decimals}f"
        ends = "" if math.isnan(self.low) else f" [{self.low:{shown}}, {self.high:{shown}}]"
        return f"{self.difference:{shown}}{ends}".replace("-", "−")


@dataclass(frozen=True)
class Panel:
    """``contrasts`` of one metric to plot against ``reference``, from the most in its favour to the least."""

    metric: Metric
    reference: str
    contrasts: tuple[Contrast, ...]

    @property
    def title(self) -> str:
        """The name of what is plotted."""
        unit = f", in {self.metric.unit}" if self.metric.unit else ""
        what = f"Mean {self.metric.compared_as} of {self.reference} minus that of each other method"
        return f"{what}{unit}, with 95 % intervals"

    @property
    def sides(self) -> tuple[str, str]:
        """The meaning of a difference on the left of 0, and of one on the right of it."""
        worse, better = f"{self.reference} is worse", f"{self.reference} is better"
        return (worse, better) if self.metric.better == "higher" else (better, worse)

    @property
    def scale(self) -> tuple[float, float]:
        """The ends of the plot, which shows 0 and every interval."""
        ends = [end for c in self.contrasts for end in (c.difference, c.low, c.high) if not math.isnan(end)]
        low, high = min([0.0, *ends]), max([0.0, *ends])
        margin = 0.04 * (high - low) or 0.01
        return low - margin, high + margin

    def place(self, value: float) -> str:
        """Return where a difference lies on the scale, in percent of its width."""
        low, high = self.scale
        return f"{100 * (value - low) / (high - low):.2f}"


@dataclass(frozen=True)
class Headline:
    """``sentences`` to read first, and a plot of each metric by which methods are compared."""

    sentences: tuple[str, ...]
    panels: tuple[Panel, ...]


def headline(
    table1: str | Path,
    comparisons: str | Path | None,
    labels: Mapping[str, str],
    reference: tuple[str, str],
    size: Mapping[str, int],
    weights: Sequence[str] = (),
) -> Headline:
    """Make the headline from the CSV files of Table 1 and the comparisons.

    ``size`` has ``subjects`` and ``pairs`` (unordered); ``weights`` are the sentences of `weights_note`.
    """
    values = read_values(table1)
    scored = {name: _scores(values, name, labels) for name in COMPARED}
    ours = labels.get("/".join(reference), "/".join(reference))
    panels = [] if comparisons is None else [_panel(comparisons, name, labels, ours) for name in COMPARED]
    panels = [panel for panel in panels if panel.contrasts and ours in scored[panel.metric.name]]
    sentences = [_best(scored)] if any(scored.values()) else []
    sentences += [_standing(panel, scored[panel.metric.name], several=len(panels) > 1) for panel in panels]
    sentences += weights
    if size:
        sentences.append(
            f"{size['subjects']:,} test subjects, {size['pairs']:,} pairs of them, each registered in both directions."
        )
    return Headline(tuple(sentences), tuple(panels))


def leads(table1: str | Path, labels: Mapping[str, str]) -> tuple[str, ...]:
    """Return who is best, and by how much, as a sentence for each metric by which methods are compared.

    ``table1`` is the CSV file of Table 1. The next best one stands beside the best.
    """
    values = read_values(table1)
    found = ((COMPARED[name], _scores(values, name, labels)) for name in COMPARED)
    return tuple(_lead(metric, scores) for metric, scores in found if len(scores) > 1)


def _lead(metric: Metric, scores: Scores) -> str:
    order = sorted(scores, key=lambda label: scores[label][0], reverse=metric.better == "higher")
    best, following = (scores[label][0] for label in order[:2])
    unit, extreme = f" {metric.unit}" * bool(metric.unit), "highest" if metric.better == "higher" else "lowest"
    by = f"{abs(best - following):.{metric.decimals}f}{unit}"
    return (
        f"{order[0]} has the {extreme} mean {metric.compared_as}, {_text(metric, *scores[order[0]])}. "
        f"{order[1]} follows with {_text(metric, *scores[order[1]])}, a difference of {by}."
    )


def _scores(values: pd.DataFrame, metric: str, labels: Mapping[str, str]) -> Scores:
    """What was measured of a metric."""
    rows = values[(values["source"] == "measured") & (values["metric"] == metric)].dropna(subset="mean")
    return {_label(row, labels): (row.mean, row.sd) for row in rows.itertuples(index=False)}


def _panel(comparisons: str | Path, name: str, labels: Mapping[str, str], reference: str) -> Panel:
    metric, frame = COMPARED[name], read_comparisons(comparisons, name)
    rows = frame[(frame["roi"] == OVER_ROIS) & frame["difference"].notna()]
    rows = rows.sort_values("difference", ascending=metric.better == "lower")
    contrasts = (Contrast(metric, _label(row, labels), row.difference, row.low, row.high) for row in rows.itertuples())
    return Panel(metric, reference, tuple(contrasts))


def _label(row: object, labels: Mapping[str, str]) -> str:
    run = f"{row.method}/{row.arm}"
    return labels.get(run, run)


def _best(scored: Mapping[str, Scores]) -> str:
    """Who is best by each metric that anybody has, in one sentence."""
    said: dict[tuple[str, ...], list[str]] = {}
    for name, scores in scored.items():
        if scores:
            metric = COMPARED[name]
            first, extreme = (max, "highest") if metric.better == "higher" else (min, "lowest")
            most = first(mean for mean, _ in scores.values())
            best = tuple(label for label, (mean, _) in scores.items() if mean == most)
            text = f"the {extreme} mean {metric.compared_as}, {_text(metric, *scores[best[0]])}"
            said.setdefault(best, []).append(text)
    parts = [f"{listed(best)} {'has' if len(best) == 1 else 'have'} {listed(what)}" for best, what in said.items()]
    return f"{'; '.join(parts)}."


def _standing(panel: Panel, scores: Scores, *, several: bool) -> str:
    """Whom the reference is ahead of and behind by one metric, with its own score unless it is the best."""
    metric, ours = panel.metric, panel.reference
    means = [mean for mean, _ in scores.values()]
    best = max(means) if metric.better == "higher" else min(means)
    has = "" if scores[ours][0] == best else f", at {_text(metric, *scores[ours])},"
    return f"{f'By {metric.compared_as}, ' if several else ''}{ours}{has} {_verdicts(panel.contrasts)}."


def _text(metric: Metric, mean: float, sd: float) -> str:
    return f"{cell_text(mean, sd, metric.decimals)} {metric.unit}".rstrip()


def _verdicts(contrasts: Sequence[Contrast]) -> str:
    words = {
        "ahead": "is ahead of {}",
        "behind": "is behind {}",
        "unclear": "shows no clear difference from {} (the 95 % interval of the difference holds 0)",
    }
    if all(math.isnan(c.low) for c in contrasts):
        return "is compared below, without intervals: there are too few subjects for them"
    named = {verdict: [c.label for c in contrasts if c.verdict == verdict] for verdict in words}
    return listed([words[verdict].format(listed(found)) for verdict, found in named.items() if found])
