"""Claims of the paper's text: numbers of subjects and pairs, who has the higher Dice, how long is trained."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from smgicnet.publication.audit.text import (
    DISAGREES,
    EPSILON,
    IN_ORDER,
    OURS,
    TABLES,
    Finding,
    Section,
    paragraph,
    sentence,
    share,
    signed,
    table,
    verb,
    yes,
)


@dataclass(frozen=True)
class Count:
    """A number that is computed, or printed elsewhere, beside the printed one."""

    check: str
    dataset: str
    what: str
    computed: float
    printed: float

    @property
    def agrees(self) -> bool:
        """Both are the same number."""
        return abs(self.computed - self.printed) < EPSILON


def counts(paper: Mapping) -> list[Count]:
    """Return subjects and pairs of Section 4.1, and the Dice of Ours in the abstract and Tables 1 and 3."""
    splits, pairs, repeats = [], [], []
    for name, count in paper["counts"].items():
        parts, n = [count[split] for split in ("train", "validation", "test")], count["test"]
        what = " + ".join(map(str, parts))
        splits.append(Count("Subjects of the splits", name, f"subjects: {what}", sum(parts), count["subjects"]))
        pairs.append(Count("Test pairs", name, f"pairs: C({n}, 2)", math.comb(n, 2), count["test_pairs"]))
    for name, printed in paper["abstract"]["dice"].items():
        first, third = (paper[key][name]["dice"][OURS] for key in TABLES)
        check = f"Dice of {OURS} in several places"
        repeats.append(Count(check, name, "mean DSC: Table 1, abstract", first["mean"], printed))
        repeats += [Count(check, name, f"{x} of DSC: Tables 1, 3", first[x], third[x]) for x in ("mean", "sd")]
    return splits + pairs + repeats


def counts_section(paper: Mapping) -> Section:
    """Check the numbers of Section 4.1, and those that are printed more than once."""
    found, findings = counts(paper), []
    for check in dict.fromkeys(count.check for count in found):
        rows = [count for count in found if count.check == check]
        bad = [f"{c.dataset}, {c.what} = {c.computed:,}, printed {c.printed:,}" for c in rows if not c.agrees]
        text = f"{share(len(rows) - len(bad), len(rows))} {verb(len(rows) - len(bad), 'agrees', 'agree')}"
        findings.append(Finding(check, _except(text, bad), DISAGREES if bad else IN_ORDER))
    lines = [[c.dataset, c.what, f"{c.computed:,}", f"{c.printed:,}", yes(c.agrees)] for c in found]
    notes = [_pair_note(name, count["test"], count["test_pairs"]) for name, count in paper["counts"].items()]
    return Section(
        "Counts, and numbers that are printed more than once",
        tuple(findings),
        (table(["Dataset", "Number", "Expected", "Printed", "Agrees"], lines, "llrrl"), paragraph(*notes)),
    )


def _except(text: str, bad: Sequence[str]) -> str:
    return f"{text}; not {'; '.join(bad)}" if bad else text


def _pair_note(name: str, n: int, printed: int) -> str:
    """What a printed number of pairs that is not C(n, 2) could be."""
    low = (1 + math.isqrt(1 + 8 * printed)) // 2
    if printed == math.comb(n, 2):
        return ""
    if printed == n * (n - 1):
        return f"{name}: {printed:,} is the number of ordered pairs of {n} subjects."
    if math.comb(low, 2) == printed:
        return f"{name}: {printed:,} is the number of pairs of {low} subjects."
    return (
        f"{name}: no number of subjects has {printed:,} pairs. C({low}, 2) = {math.comb(low, 2):,},"
        f" C({low + 1}, 2) = {math.comb(low + 1, 2):,}; {n} subjects make {n * (n - 1):,} ordered pairs."
    )


@dataclass(frozen=True)
class Claim:
    """A claim that ``higher`` has a higher mean Dice than others: ``margin`` is to the best of them, the ``rival``."""

    place: str
    dataset: str
    higher: str
    rival: str
    margin: float

    @property
    def holds(self) -> bool:
        """Borne out by the printed means."""
        return self.margin > EPSILON


def claims(paper: Mapping) -> list[list[Claim]]:
    """Return each claim of the text about Dice, in each dataset that it names."""
    found = []
    for claim in paper["claims"]:
        found.append([])
        for name in claim["datasets"]:
            means = {label: cell["mean"] for label, cell in paper["table1"][name]["dice"].items()}
            rival = max(claim["than"], key=means.__getitem__)
            margin = means[claim["higher"]] - means[rival]
            found[-1].append(Claim(claim["place"], name, claim["higher"], rival, margin))
    return found


def claims_section(paper: Mapping) -> Section:
    """Compare the higher mean Dice in Table 1 with what the text says of it."""
    found = claims(paper)
    held = sum(all(claim.holds for claim in row) for row in found)
    bad = [
        f"{c.place}, {c.dataset}: {c.higher} − {c.rival} = {signed(c.margin)}" for r in found for c in r if not c.holds
    ]
    text = f"{share(held, len(found))} claims {verb(held, 'is', 'are')} borne out by the printed means"
    lines = []
    for claim, row in zip(paper["claims"], found, strict=True):
        outcomes = {c.dataset: f"{yes(c.holds)}: {signed(c.margin)} to {c.rival}" for c in row}
        cells = [outcomes.get(name, "not claimed") for name in paper["table1"]]
        lines.append([claim["place"], f"{claim['higher']} above {', '.join(claim['than'])}", *cells])
    datasets = list(paper["table1"])
    return Section(
        "Who has the higher Dice",
        (Finding("Claims of a higher Dice", _except(text, bad), DISAGREES if bad else IN_ORDER),),
        (
            paragraph("By the mean Dice of Table 1:"),
            table(["Dataset", "Among", f"Rank of {OURS}", f"{OURS} − highest other"], _ranks(paper), "llrl"),
            paragraph("What the text says of Dice, read as a statement on the means:"),
            table(["Place", "Claim", *datasets], lines, "l" * (2 + len(datasets))),
            paragraph(sentence(text), *_contradictions(paper)),
        ),
    )


def _ranks(paper: Mapping) -> list[list[str]]:
    """Where Ours stands among all methods, and among the networks without pre-registration."""
    raw = {entry["label"] for entry in paper["methods"] if entry["arm"] == "raw"} - set(paper["iterative"])
    lines = []
    for name, metrics in paper["table1"].items():
        means = {label: cell["mean"] for label, cell in metrics["dice"].items()}
        for group, labels in (("all", means), ("networks without pre-registration", [x for x in means if x in raw])):
            others = [label for label in labels if label != OURS]
            best = max(others, key=means.__getitem__)
            rank = 1 + sum(means[label] > means[OURS] for label in others)
            difference = signed(means[OURS] - means[best])
            lines.append([name, group, f"{rank} of {len(others) + 1}", f"{difference} ({best})"])
    return lines


def _contradictions(paper: Mapping) -> list[str]:
    """Claims of which one puts a method above another, and the other the reverse."""
    above = {
        (name, claim["higher"], other): claim["place"]
        for claim in paper["claims"]
        for name in claim["datasets"]
        for other in claim["than"]
    }
    return [
        f"On {name}, {place} puts {high} above {low}, {above[name, low, high]} the reverse."
        for (name, high, low), place in above.items()
        if high < low and (name, low, high) in above
    ]


READINGS = {  # what an epoch could be, as a number of iterations with one pair each, for n training subjects
    "ordered pairs": lambda n: n * (n - 1),
    "unordered pairs": lambda n: math.comb(n, 2),
    "subjects": lambda n: n,
}


def halvings(iterations: int, decay: Mapping) -> tuple[int, int]:
    """Return how often the rate is reduced in so many iterations, if first at ``after`` and if first a step later."""
    later = max(0, math.ceil((iterations - decay["after"]) / decay["every"]) - 1)
    return later + (iterations > decay["after"]), later


def _reductions(paper: Mapping) -> tuple[list[list[str]], dict[str, float]]:
    """A line for each dataset and number of epochs; by reading, the fewest reductions of the rate in any level."""
    training, lines, fewest = paper["training"], [], dict.fromkeys(READINGS, math.inf)
    batch = training["batch_size"] or 1
    for name, count in paper["counts"].items():
        for epochs in dict.fromkeys(training["epochs"]):
            levels = [str(level) for level, number in enumerate(training["epochs"], start=1) if number == epochs]
            line = [name, ", ".join(levels), str(epochs)]
            for reading, size in READINGS.items():
                iterations = math.ceil(size(count["train"]) / batch) * epochs
                early, late = halvings(iterations, training["decay"])
                fewest[reading] = min(fewest[reading], late)
                line += [f"{iterations:,}", str(early) if early == late else f"{late} or {early}"]
            lines.append(line)
    return lines, fewest


def schedule_section(paper: Mapping) -> Section:
    """Check whether the rate's schedule takes effect within the epochs (Section 4.2)."""
    training = paper["training"]
    batch = training["batch_size"] or 1
    lines, fewest = _reductions(paper)
    working = [reading for reading, number in fewest.items() if number]
    idle = [reading for reading in READINGS if reading not in working]
    text = (
        f"the rate falls in every level if an epoch is a pass over {' or '.join(working)}"
        if working
        else ("the rate does not fall in every level, whatever an epoch is")
    )
    headers = ["Dataset", "Levels", "Epochs", *(x for r in READINGS for x in (f"Iterations, {r}", "Reductions"))]
    decay = training["decay"]
    return Section(
        "Epochs and the learning rate",
        (Finding("Epochs and rate", text, IN_ORDER if working else DISAGREES),),
        (
            paragraph(
                f"Section 4.2: the rate starts at {training['learning_rate']:g} and is multiplied by",
                f"{decay['factor']:g} every {decay['every']:,} iterations after the first {decay['after']:,} of each",
                f"level, for the first time at {decay['after']:,} or at {decay['after'] + decay['every']:,}. An epoch",
                "may be a pass over the ordered or the unordered pairs of training subjects, or over the subjects. An",
                f"iteration takes {batch} {verb(batch, 'pair', 'pairs')}"
                + ("." if training["batch_size"] else " here; no batch size is printed."),
            ),
            table(headers, lines, "lrr" + "rr" * len(READINGS)),
            paragraph(
                sentence(text),
                f"If it is a pass over {' or '.join(idle)}, there are levels with one rate throughout."
                if working and idle
                else "",
            ),
        ),
    )
