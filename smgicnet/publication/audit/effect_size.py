"""Cohen's d of Table 2, recomputed from the means and SDs of Table 1."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from smgicnet.publication.audit.text import (
    DIGIT,
    DISAGREES,
    EPSILON,
    IN_ORDER,
    MARGIN,
    OURS,
    Finding,
    Section,
    listed,
    paragraph,
    sentence,
    share,
    signed,
    table,
    verb,
    yes,
)
from smgicnet.scoring.comparisons import cohens_d

Numbers = Sequence[float]  # mean of Ours, its SD, the other's mean, the other's SD


def _paired(mean: float, sd: float, other: float, other_sd: float) -> tuple[float, float]:
    """d_z if the paired scores correlate with -1, and with 1."""
    difference = mean - other
    return difference / (sd + other_sd), difference / max(abs(sd - other_sd), EPSILON)


POOLED = "root mean square of the two SDs (Cohen's d)"
DEFINITIONS: dict[str, Callable[..., tuple[float, ...]]] = {  # of `Numbers`: the value, or the extremes of all values
    POOLED: lambda *numbers: (cohens_d(*numbers),),
    "mean of the two SDs": lambda m, s, other, other_s: (2 * (m - other) / (s + other_s),),
    "SD of Ours (Glass's Δ)": lambda m, s, other, other_s: ((m - other) / s,),
    "SD of the other method (Glass's Δ)": lambda m, s, other, other_s: ((m - other) / other_s,),
    "SD of the paired differences (d_z), for some correlation": _paired,
}


@dataclass(frozen=True)
class Range:
    """All values from ``low`` to ``high``."""

    low: float
    high: float

    def meets(self, printed: float) -> bool:
        """Return whether a value in it rounds to ``printed``."""
        return self.low - MARGIN - EPSILON <= printed <= self.high + MARGIN + EPSILON


@dataclass(frozen=True)
class Effect:
    """A row of Table 2: Cohen's d of Ours against ``label``, as printed and recomputed (``value``, ``range``)."""

    dataset: str
    label: str
    printed: float
    value: float
    range: Range

    @property
    def name(self) -> str:
        """Dataset and method."""
        return f"{self.dataset}, {self.label}"

    @property
    def agrees(self) -> bool:
        """The printed means and SDs allow the printed value."""
        return self.range.meets(self.printed)

    @property
    def opposite(self) -> bool:
        """Whether all values that they allow have the other sign."""
        return not self.agrees and (self.range.high < 0 < self.printed or self.printed < 0 < self.range.low)


def effect_range(numbers: Numbers, definition: str = POOLED, margin: float = MARGIN) -> Range:
    """Return the range of an effect size while every number moves by ``margin``.

    It is monotone in each number, so that corners suffice.
    """
    corners = product(*((number - margin, number + margin) for number in numbers))
    values = [value for corner in corners for value in DEFINITIONS[definition](*corner)]
    return Range(min(values), max(values))


def _columns(paper: Mapping, label: str, sources: Sequence[str]) -> list[float]:
    """`Numbers` of Ours against ``label``, each out of the dataset that ``sources`` names for it."""
    cells = ((OURS, "mean"), (OURS, "sd"), (label, "mean"), (label, "sd"))
    return [paper["table1"][name]["dice"][who][what] for name, (who, what) in zip(sources, cells, strict=True)]


def effects(paper: Mapping, definition: str = POOLED, margin: float = MARGIN) -> list[Effect]:
    """Return every row of Table 2 beside its recomputation."""
    found = []
    for dataset, columns in paper["table2"].items():
        for label, printed in columns["cohens_d"].items():
            numbers = _columns(paper, label, [dataset] * 4)
            value = DEFINITIONS[definition](*numbers)[0]
            found.append(Effect(dataset, label, printed, value, effect_range(numbers, definition, margin)))
    return found


@dataclass(frozen=True)
class Mixture:
    """The datasets of `Numbers` with which a printed d that disagrees is met."""

    effect: Effect
    sources: tuple[str, ...]
    value: float


def mixtures(paper: Mapping) -> tuple[list[Mixture], int, float]:
    """Return combinations of columns of different datasets that meet a printed d which its own columns do not.

    Returns them, how many combinations were tried, and how many rows chance would meet: a d drawn uniformly between
    the lowest and the highest that a row's combinations allow is met as often as their ranges cover that span.
    """
    found, tried, expected = [], 0, 0.0
    for effect in effects(paper):
        if effect.agrees:
            continue
        others = [sources for sources in product(paper["table1"], repeat=4) if sources != (effect.dataset,) * 4]
        columns = {sources: _columns(paper, effect.label, sources) for sources in others}
        ranges = {sources: effect_range(numbers) for sources, numbers in columns.items()}
        tried += len(others)
        expected += _covered(list(ranges.values()))
        found += [
            Mixture(effect, sources, DEFINITIONS[POOLED](*columns[sources])[0])
            for sources in others
            if ranges[sources].meets(effect.printed)
        ]
    return found, tried, expected


def _covered(ranges: Sequence[Range]) -> float:
    """Share of the span of all ranges that rounds to a value in one of them; 0 without any."""
    covered, end = 0.0, -math.inf
    spans = sorted((r.low - MARGIN, r.high + MARGIN) for r in ranges)
    for low, high in spans:
        covered += max(0.0, high - max(low, end))
        end = max(end, high)
    return covered / (end - spans[0][0]) if spans else 0.0


def section(paper: Mapping) -> Section:
    """Check Table 2 (Appendix B) against Table 1."""
    rows = effects(paper)
    wrong, opposite = [e for e in rows if not e.agrees], [e for e in rows if e.opposite]
    result = f"{share(len(wrong), len(rows))} printed values {verb(len(wrong), 'lies', 'lie')} outside their range"
    sign = f"{share(len(opposite), len(rows))} printed values {verb(len(opposite), 'has', 'have')} the opposite sign"
    larger = sum(e.printed > e.value for e in wrong)
    cut_off = sum(not e.agrees for e in effects(paper, margin=DIGIT))
    findings = (
        Finding("Cohen's d, recomputed", result, DISAGREES if wrong else IN_ORDER),
        Finding("Sign of Cohen's d", listed(sign, [e.name for e in opposite]), DISAGREES if opposite else IN_ORDER),
    )
    method = paragraph(
        f"Table 2 prints Cohen's d of the Dice coefficient, {OURS} against each method. From Table 1 it is",
        "d = (m_ours − m) / √((s_ours² + s²) / 2). All methods are scored on the same pairs, so that weighting the SDs",
        f"by sample size changes nothing. *Range*: each printed number stands for all that rounds to it (±{MARGIN:g});",
        "these are the values of d that the printed means and SDs allow. A row agrees if one of them rounds to the",
        "printed d. Effect sizes of other scores than those of Table 1, such as of single ROIs, cannot be checked.",
    )
    outcome = paragraph(
        sentence(result),
        f"Of these, {larger} {verb(larger, 'is', 'are')} larger than recomputed, in favour of {OURS}, and"
        f" {len(wrong) - larger} smaller."
        if wrong
        else "",
        f"If Table 1 cuts its numbers off instead of rounding them (±{DIGIT:g} covers both), {cut_off} lie outside.",
        *(_opposite(e, paper) for e in opposite),
    )
    return Section(
        "Cohen's d (Table 2) from the means and SDs of Table 1",
        findings,
        (method, _effect_table(rows), outcome, *_definitions(paper, len(rows)), *_mixed_columns(paper)),
    )


def _effect_table(rows: Sequence[Effect]) -> str:
    headers = ["Dataset", "Against", "Recomputed", "Range", "Printed", "Printed − recomputed", "Agrees"]
    lines = [
        [
            e.dataset,
            e.label,
            signed(e.value),
            f"{signed(e.range.low)} to {signed(e.range.high)}",
            signed(e.printed),
            signed(e.printed - e.value),
            yes(e.agrees),
        ]
        for e in rows
    ]
    return table(headers, lines, "llrrrrl")


def _opposite(effect: Effect, paper: Mapping) -> str:
    dice = paper["table1"][effect.dataset]["dice"]
    return (
        f"{effect.name}: {signed(effect.printed)} is printed for means of {dice[OURS]['mean']:.3f} ({OURS}) and"
        f" {dice[effect.label]['mean']:.3f}. The denominator is positive, so that no choice of it gives this sign."
    )


def _definitions(paper: Mapping, rows: int) -> tuple[str, str]:
    """Whether another definition of the effect size explains Table 2."""
    agreeing = {name: sum(e.agrees for e in effects(paper, name)) for name in DEFINITIONS}
    full = [name for name, number in agreeing.items() if number == rows]
    text = paragraph(
        "Other denominators:",
        f"all rows agree with the {' and the '.join(full)}." if full else "none of these agrees with all rows.",
        "d_z needs the correlation of the paired scores, which Tables 1 and 2 do not print; a row counts if any"
        " correlation from −1 to 1 would do.",
    )
    return text, table(["Denominator", "Rows that agree"], [[k, f"{v} of {rows}"] for k, v in agreeing.items()], "lr")


def _mixed_columns(paper: Mapping) -> tuple[str, ...]:
    """Whether columns of different datasets explain the rows that disagree."""
    found, tried, expected = mixtures(paper)
    rows = sum(not e.agrees for e in effects(paper))
    if not rows:
        return ()
    met = len({m.effect.name for m in found})
    text = paragraph(
        f"Were columns of different datasets mixed? In every row that disagrees ({rows}), each of the four numbers was",
        f"taken from any dataset: {tried} combinations besides the rows' own. Some combination meets the printed d in",
        f"{share(met, rows)} rows. Chance would meet {expected:.1f}, for values drawn uniformly from the span of a",
        "row's combinations.",
        "The matches are no more than chance gives and therefore no evidence of mixed columns."
        if 0 < met <= expected
        else met and "The matches are more than chance gives, and may still be a coincidence.",
    )
    headers = ["Row", "Printed", "m_ours of", "s_ours of", "m of", "s of", "d"]
    lines = [[m.effect.name, signed(m.effect.printed), *m.sources, signed(m.value)] for m in found]
    return text, table(headers, lines, "lrllllr")
