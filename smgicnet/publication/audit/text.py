"""The parts that the sections of the audit are made of: findings, paragraphs, tables, and numbers in words."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from tabulate import tabulate

IN_ORDER, DISAGREES, UNEXPLAINED = "in order", "disagrees", "needs explanation"
OURS = "Ours"
METRICS = {"dice": "DSC", "folds_fraction": "|JD| ≤ 0", "seconds": "Time"}  # as Table 1 heads its rows
TABLES = {"table1": "Table 1", "table3": "Table 3"}
WIDTH = 110

DIGIT = 0.001  # the last that the tables print
MARGIN = DIGIT / 2  # a printed number stands for everything that rounds to it
EPSILON = 1e-9  # of floating point; printed numbers differ by multiples of a digit


@dataclass(frozen=True)
class Finding:
    """A line of the summary."""

    check: str
    finding: str
    verdict: str


@dataclass(frozen=True)
class Section:
    """A chapter: ``blocks`` are paragraphs and tables in Markdown; empty ones are left out."""

    title: str
    findings: tuple[Finding, ...]
    blocks: tuple[str, ...]


def paragraph(*sentences: str) -> str:
    """Return the sentences that are not empty, as lines of at most `WIDTH`."""
    text = " ".join(filter(None, sentences))
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], align: str) -> str:
    """Return a pipe table, empty without rows; ``align`` has one letter a column, ``l`` or ``r``."""
    if not rows:
        return ""
    escaped = [[text.replace("|", r"\|") for text in row] for row in (headers, *rows)]
    sides = [{"l": "left", "r": "right"}[letter] for letter in align]
    return tabulate(escaped[1:], escaped[0], tablefmt="pipe", colalign=sides, disable_numparse=True)


def share(part: int, whole: int) -> str:
    """Return ``part`` of ``whole`` in words."""
    if part == whole > 1:
        return "both" if whole == 2 else f"all {whole}"
    return f"{part or 'none'} of the {whole}"


def verb(number: int, one: str, many: str) -> str:
    """Return the form of a verb that goes with ``number``."""
    return one if number == 1 else many


def signed(value: float) -> str:
    """Return a number with three decimals and a sign."""
    return f"{value:+.3f}".replace("-", "−") if abs(value) >= DIGIT / 2 else "0.000"


def yes(condition: bool) -> str:
    """Return ``yes`` or ``no``."""
    return "yes" if condition else "no"


def sentence(text: str) -> str:
    """Return ``text`` with its first letter large and a full stop."""
    return f"{text[:1].upper()}{text[1:]}."


def listed(head: str, names: Sequence[str]) -> str:
    """Return ``head: first; second``, or ``head`` alone."""
    return f"{head}: {'; '.join(names)}" if names else head
