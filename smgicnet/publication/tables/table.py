"""A table with a number's origin in every cell, as Markdown, CSV and LaTeX."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from tabulate import tabulate

MISSING = "–"
HEADING = 24  # characters in a line of a column's heading in LaTeX
_TEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "|": "$|$",
    "<": "$<$",
    ">": "$>$",
    "≤": r"$\leq$",
    "±": r"$\pm$",
    "–": "--",
}


@dataclass(frozen=True)
class Cell:
    """One value: ``source`` says where it is from (``"measured"``, ``"paper ..."``); ``sd`` is NaN and ``n`` None where
    there is none."""

    metric: str
    method: str
    arm: str
    source: str
    mean: float
    sd: float
    n: int | None
    text: str


@dataclass(frozen=True)
class Row:
    """A label and one cell a column of the table; None where there is no value. Bare text is not in the CSV."""

    label: str
    cells: tuple[Cell | str | None, ...]

    @property
    def texts(self) -> list[str]:
        """Label and cells as text."""
        return [self.label, *(cell.text if isinstance(cell, Cell) else cell or MISSING for cell in self.cells)]


@dataclass(frozen=True)
class Table:
    """``blocks`` of rows, each with a heading (empty for the first); ``corner`` heads their labels; notes below."""

    caption: str
    columns: tuple[str, ...]
    blocks: tuple[tuple[str, tuple[Row, ...]], ...]
    notes: tuple[str, ...]
    corner: str = ""

    def to_markdown(self) -> str:
        """Return a pipe table and its notes as a list."""
        lines = []
        for heading, rows in self.blocks:
            if heading:
                lines.append([f"**{heading}**", *[""] * len(self.columns)])
            lines += [row.texts for row in rows]
        escaped = [[text.replace("|", r"\|") for text in line] for line in lines]
        headers = [text.replace("|", r"\|") for text in (self.corner, *self.columns)]
        align = ("left", *["right"] * len(self.columns))
        table = tabulate(escaped, headers, tablefmt="pipe", colalign=align, disable_numparse=True)
        notes = "\n".join(f"- {note}".replace("|", r"\|") for note in self.notes)
        return f"{self.caption}\n\n{table}\n\n{notes}\n"

    def to_data(self) -> dict:
        """Return all of it as JSON has it, cells as text: the page shows this."""
        blocks = [{"heading": heading, "rows": [row.texts for row in rows]} for heading, rows in self.blocks]
        columns, notes = list(self.columns), list(self.notes)
        return {"caption": self.caption, "corner": self.corner, "columns": columns, "blocks": blocks, "notes": notes}

    def to_csv(self) -> str:
        """Return one line a value: metric, method, arm, source, mean, sd, n. Units are in the metric's name."""
        cells = [cell for _, rows in self.blocks for row in rows for cell in row.cells if isinstance(cell, Cell)]
        columns = ["metric", "method", "arm", "source", "mean", "sd", "n"]
        frame = pd.DataFrame([[getattr(cell, column) for column in columns] for cell in cells], columns=columns)
        return frame.astype({"n": "Int64"}).to_csv(index=False, float_format="%.6g", lineterminator="\n")

    def to_latex(self) -> str:
        """Return a ``table`` environment; needs the package booktabs."""
        lines = [r"\toprule", " & ".join([_tex(self.corner), *map(_tex_heading, self.columns)]) + r" \\"]
        for heading, rows in self.blocks:
            lines.append(r"\midrule")
            if heading:
                lines.append(rf"\multicolumn{{{len(self.columns) + 1}}}{{l}}{{\emph{{{_tex(heading)}}}}} \\")
            lines += [_tex_line(row.texts) for row in rows]
        return "\n".join(
            [
                r"\begin{table}",
                r"\centering",
                rf"\caption{{{_tex(self.caption)}}}",
                r"\footnotesize\setlength{\tabcolsep}{3pt}",
                rf"\begin{{tabular}}{{l{'r' * len(self.columns)}}}",
                *lines,
                r"\bottomrule",
                r"\end{tabular}",
                *(rf"\par\smallskip\raggedright {_tex(note)}" for note in self.notes),
                r"\end{table}",
                "",
            ]
        )


def _tex(text: str) -> str:
    return "".join(_TEX.get(character, character) for character in text)


def _tex_heading(text: str) -> str:
    """Return the heading of a column, in several lines where it is long."""
    lines = textwrap.wrap(text, HEADING, break_on_hyphens=False)
    stack = r" \\ ".join(map(_tex, lines))
    return rf"\shortstack[r]{{{stack}}}" if len(lines) > 1 else stack


def _tex_line(texts: Sequence[str]) -> str:
    return " & ".join(map(_tex, texts)) + r" \\"


def cell_text(mean: float, sd: float, decimals: int) -> str:
    """Return ``mean (±sd)``. A hundred and more needs no decimals; what is not zero is not printed as zero."""
    if abs(mean) >= 100:
        decimals = 0
    step = 10.0**-decimals
    text = f"<{step:.{decimals}f}" if 0 < mean < step / 2 else f"{mean:.{decimals}f}"
    return text if math.isnan(sd) else f"{text} (±{sd:.{decimals}f})"


def listed(words: Sequence[str]) -> str:
    """Join words as a sentence lists them: "a, b and c"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
