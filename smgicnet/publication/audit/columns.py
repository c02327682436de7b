"""Columns of Tables 1 and 3 that repeat, are copied with a constant added, or look exchanged."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import combinations

from smgicnet.publication.audit.effect_size import effects
from smgicnet.publication.audit.text import (
    DIGIT,
    EPSILON,
    IN_ORDER,
    MARGIN,
    METRICS,
    OURS,
    TABLES,
    UNEXPLAINED,
    Finding,
    Section,
    listed,
    paragraph,
    sentence,
    share,
    table,
    verb,
    yes,
)

SWAP_GAP = 0.02  # by how much a method's SDs have to differ between datasets before their exchange could be seen


@dataclass(frozen=True)
class Cell:
    """One ``mean ± sd`` of Table 1 or 3."""

    table: str
    dataset: str
    metric: str
    label: str
    mean: float
    sd: float


def cells(paper: Mapping) -> Iterator[Cell]:
    """Return every cell with a mean and an SD. Table 3's column of Ours is that of Table 1 and is left out."""
    for name in TABLES:
        for dataset, metrics in paper[name].items():
            for metric, row in metrics.items():
                for label, value in row.items():
                    if value["sd"] is not None and not (name == "table3" and label == OURS):
                        yield Cell(name, dataset, metric, label, value["mean"], value["sd"])


def equal_cells(paper: Mapping) -> tuple[list[tuple[Cell, Cell]], int, float]:
    """Return pairs of cells of a metric that are equal in mean and SD, how many were tried, how many chance would give.

    Cells of 0 ± 0 are left out. Chance: means and SDs independent and uniform, at the printed digits, between the
    lowest and the highest of the metric.
    """
    found, tried, expected = [], 0, 0.0
    informative = [cell for cell in cells(paper) if cell.mean or cell.sd]
    for metric in METRICS:
        group = [cell for cell in informative if cell.metric == metric]
        pairs = list(combinations(group, 2))
        found += [(a, b) for a, b in pairs if (a.mean, a.sd) == (b.mean, b.sd)]
        tried += len(pairs)
        expected += len(pairs) / (_levels([c.mean for c in group]) * _levels([c.sd for c in group])) if pairs else 0
    return found, tried, expected


def _levels(values: Sequence[float]) -> int:
    """How many printed numbers there are from the lowest to the highest value."""
    return round((max(values) - min(values)) / DIGIT) + 1


def equal_cells_section(paper: Mapping) -> Section:
    """Check for cells that repeat across datasets or methods."""
    found, tried, expected = equal_cells(paper)
    text = f"{share(len(found), tried)} pairs of cells {verb(len(found), 'is', 'are')} equal in mean and SD"
    named = [f"{a.label} {a.dataset} = {b.label} {b.dataset}" for a, b in found]
    lines = [
        [
            METRICS[a.metric],
            *(f"{c.label}, {c.dataset}, {TABLES[c.table]}" for c in (a, b)),
            f"{a.mean:.3f} ± {a.sd:.3f}",
        ]
        for a, b in found
    ]
    return Section(
        "Equal cells",
        (Finding("Equal cells", listed(text, named), UNEXPLAINED if found else IN_ORDER),),
        (
            paragraph(
                "Cells of Tables 1 and 3 that have a mean and an SD were compared with all others of the same metric,",
                f"over datasets and methods; 0 ± 0 and Table 3's column of {OURS} are left out. {sentence(text)}",
                f"Chance would give {expected:.2f}, for means and SDs spread evenly over their range.",
            ),
            table(["Row", "Cell", "Cell", "Value"], lines, "lllr"),
            paragraph(
                *_equal_columns(paper, found),
                "One result used twice, or a copied column, would give this; the numbers do not tell which."
                if found
                else "",
            ),
        ),
    )


def _equal_columns(paper: Mapping, found: Sequence[tuple[Cell, Cell]]) -> list[str]:
    """Which equal cells belong to a method that is the same in two datasets throughout."""
    sentences = []
    for a, b in found:
        if (a.table, a.label) == (b.table, b.label):
            one, two = (paper[a.table][cell.dataset] for cell in (a, b))
            shared = [metric for metric in one if a.label in one[metric] and a.label in two[metric]]
            same = [METRICS[metric] for metric in shared if one[metric][a.label] == two[metric][a.label]]
            subjects = [str(paper["counts"][cell.dataset]["test"]) for cell in (a, b)]
            sentences.append(
                f"{a.label} in {a.dataset} and {b.dataset}, on {' and '.join(subjects)} test subjects: {len(same)} of"
                f" {len(shared)} printed rows are the same ({', '.join(same)})."
            )
    return sentences


@dataclass(frozen=True)
class AffineTime:
    """The printed seconds of a method without (``raw``) and with affine pre-registration, each a mean and an SD."""

    dataset: str
    label: str
    raw: Mapping
    affine: Mapping

    @property
    def difference(self) -> float:
        """Seconds that pre-registration adds to the mean."""
        return self.affine["mean"] - self.raw["mean"]

    @property
    def same_sd(self) -> bool:
        """The SD is the same to the last digit."""
        return self.affine["sd"] == self.raw["sd"]

    @property
    def step_sd(self) -> float:
        """The largest SD that a step of its own, independent of the network, can have given the two SDs' rounding."""
        return math.sqrt(max((self.affine["sd"] + MARGIN) ** 2 - max(self.raw["sd"] - MARGIN, 0) ** 2, 0))


def affine_times(paper: Mapping) -> list[AffineTime]:
    """Return every method of Table 1 whose time is printed with and without pre-registration."""
    labels = {(entry["method"], entry["arm"]): entry["label"] for entry in paper["methods"]}
    found = []
    for dataset, metrics in paper["table1"].items():
        seconds = {label: cell for label, cell in metrics["seconds"].items() if cell["sd"] is not None}
        for (method, arm), label in labels.items():
            pair = labels.get((method, "affine"))
            if arm == "raw" and label in seconds and pair in seconds:
                found.append(AffineTime(dataset, label, seconds[label], seconds[pair]))
    return found


def times_section(paper: Mapping) -> Section:
    """Check what affine pre-registration adds to the times of Table 1."""
    rows = affine_times(paper)
    copied = sum(row.same_sd for row in rows)
    result = f"{share(copied, len(rows))} SDs {verb(copied, 'is', 'are')} the same with and without pre-registration"
    headers = ["Dataset", "Method", "Time (s)", "Time w.affine (s)", "Difference", "Same SD", "Bound on the step's SD"]
    lines = [
        [
            row.dataset,
            row.label,
            *(f"{cell['mean']:.3f} ± {cell['sd']:.3f}" for cell in (row.raw, row.affine)),
            f"{row.difference:.3f}",
            yes(row.same_sd),
            f"{row.step_sd:.3f}",
        ]
        for row in rows
    ]
    return Section(
        "Times with affine pre-registration",
        (Finding("SDs of the times w.affine", result, UNEXPLAINED if copied else IN_ORDER),),
        (
            table(headers, lines, "llrrrlr"),
            paragraph(
                f"{sentence(result)} *Bound*: the largest SD that an affine step timed for each pair can have, if it"
                " varies independently of the network.",
                *_constants(rows),
                "Adding one affine time to the network's times of a dataset gives equal SDs. The printed SDs w.affine"
                " would then be those of the network alone, not of the registration with its affine step."
                if copied
                else "",
            ),
        ),
    )


def _constants(rows: Sequence[AffineTime]) -> list[str]:
    """Whether the differences of a dataset's methods are one constant."""
    sentences, rounding = [], 4 * MARGIN
    for name in dict.fromkeys(row.dataset for row in rows):
        differences = [row.difference for row in rows if row.dataset == name]
        apart = max(differences) - min(differences)
        place = "within" if apart <= rounding + EPSILON else "beyond"
        sentences.append(
            f"{name}: the differences are {apart:.3f} s apart, {apart / max(differences):.2%} of the larger, and"
            f" {place} the {rounding:g} s that rounding allows for one constant."
        )
    return sentences


@dataclass(frozen=True)
class CrossedSDs:
    """The SD of ``a`` in dataset ``first`` is that of ``b`` in ``second``, and the reverse."""

    metric: str
    a: str
    b: str
    first: str
    second: str


def crossed_sds(paper: Mapping) -> tuple[list[CrossedSDs], int, float]:
    """Return `CrossedSDs` to within a digit, how many were tried (SDs `SWAP_GAP` apart), how many chance would give.

    Chance: SDs uniform, at the printed digits, between the metric's lowest and highest. Times: see `affine_times`.
    """
    found, tried, expected = [], 0, 0.0
    for first, second in combinations(paper["table1"], 2):
        for metric in ("dice", "folds_fraction"):
            one, two = (
                {label: cell["sd"] for label, cell in paper["table1"][name][metric].items()} for name in (first, second)
            )
            pairs = list(combinations([label for label in one if abs(one[label] - two[label]) >= SWAP_GAP], 2))
            for a, b in pairs:
                if max(abs(one[a] - two[b]), abs(two[a] - one[b])) <= DIGIT + EPSILON:
                    found.append(CrossedSDs(metric, a, b, first, second))
            tried += len(pairs)
            expected += len(pairs) * min(3 / _levels([*one.values(), *two.values()]), 1) ** 2
    return found, tried, expected


def exchange_sds(paper: Mapping, crossing: CrossedSDs, label: str) -> dict:
    """Return the paper with the SDs of one method exchanged between the two datasets."""
    changed = deepcopy(dict(paper))
    one, two = (changed["table1"][name][crossing.metric][label] for name in (crossing.first, crossing.second))
    one["sd"], two["sd"] = two["sd"], one["sd"]
    return changed


def crossed_section(paper: Mapping) -> Section:
    """Check for SDs that look exchanged between datasets."""
    found, tried, expected = crossed_sds(paper)
    text = f"{share(len(found), tried)} pairs of methods {verb(len(found), 'has', 'have')} SDs that agree crosswise"
    named = [f"{c.a} and {c.b} ({METRICS[c.metric]})" for c in found]
    lines = [
        [METRICS[c.metric], label, *(f"{paper['table1'][name][c.metric][label]['sd']:.3f}" for name in paper["table1"])]
        for c in found
        for label in (c.a, c.b)
    ]
    return Section(
        "SDs that agree crosswise between datasets",
        (Finding("Crosswise equal SDs", listed(text, named), UNEXPLAINED if found else IN_ORDER),),
        (
            paragraph(
                f"Methods of Table 1 whose SDs of a metric differ by at least {SWAP_GAP:g} between two datasets were",
                "compared crosswise, each with each: is the SD of one in the first dataset that of the other in the",
                f"second, and the reverse, within {DIGIT:g}? {sentence(text)} Chance would give {expected:.3f}, for",
                "SDs spread evenly over their range.",
            ),
            table(
                ["Row", "Method", *(f"SD, {name}" for name in paper["table1"])],
                lines,
                f"ll{'r' * len(paper['table1'])}",
            ),
            paragraph(
                "An observation: columns exchanged between datasets would look like this, and so would a coincidence."
                if found
                else "",
                *(_exchanged(paper, crossing) for crossing in found if crossing.metric == "dice"),
            ),
        ),
    )


def _exchanged(paper: Mapping, crossing: CrossedSDs) -> str:
    """What Table 2 says of an exchange."""
    before = sum(e.agrees for e in effects(paper))
    after = {x: sum(e.agrees for e in effects(exchange_sds(paper, crossing, x))) for x in (crossing.a, crossing.b)}
    exchanged = " and ".join(f"{number} with those of {label} exchanged" for label, number in after.items())
    verdict = "does not support" if max(after.values()) <= before else "supports"
    rows = verb(before, "row agrees", "rows agree")
    return f"Table 2 {verdict} an exchange: {before} {rows} with the SDs as printed, {exchanged}."
