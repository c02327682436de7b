"""The paper's Table 1 with measured values beside the printed ones, as Markdown, CSV and LaTeX."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from tabulate import tabulate

from smgicnet.errors import InputError

MISSING = "–"
BEYOND_HEADING = "beyond the paper"
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
class Metric:
    """A row of the table: ``name`` in the metrics, ``paper_name`` in config/paper.yaml (None: not in the paper)."""

    name: str
    label: str
    decimals: int
    paper_name: str | None = None
    paper_unit: str = ""


PAPER_METRICS = (
    Metric("dice", "DSC", 3, "dice"),
    Metric("folds_percent", "|J| ≤ 0 (%)", 3, "folds_fraction", " (fraction)"),
    Metric("seconds", "Time (s)", 3, "seconds"),
)
FURTHER_METRICS = (
    Metric("hd95_mm", "HD95 (mm)", 2),
    Metric("endpoint_error_mm", "Endpoint error (mm)", 2),
    Metric("inverse_consistency_mm", "Inverse consistency (mm)", 3),
    Metric("ndv_percent", "NDV (%)", 3),
    Metric("sd_log_jacobian", "SD log J", 3),
    Metric("peak_memory_mib", "Peak memory (MiB)", 0),
    Metric("rois", "ROIs scored", 1),
)


@dataclass(frozen=True)
class Cell:
    """One value: ``source`` is ``"measured"`` or ``"paper ..."``; ``sd`` is NaN and ``n`` None where there is none."""

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
    """A label and one cell a column of the table; None where there is no value."""

    label: str
    cells: tuple[Cell | None, ...]

    @property
    def texts(self) -> list[str]:
        """Label and cells as text."""
        return [self.label, *(MISSING if cell is None else cell.text for cell in self.cells)]


@dataclass(frozen=True)
class Table:
    """Columns are methods; ``blocks`` of rows, each with a heading (empty for the first); notes below."""

    caption: str
    columns: tuple[str, ...]
    blocks: tuple[tuple[str, tuple[Row, ...]], ...]
    notes: tuple[str, ...]

    def to_markdown(self) -> str:
        """A pipe table and its notes as a list."""
        lines = []
        for heading, rows in self.blocks:
            if heading:
                lines.append([f"**{heading}**", *[""] * len(self.columns)])
            lines += [row.texts for row in rows]
        escaped = [[text.replace("|", r"\|") for text in line] for line in lines]
        headers = ["", *(column.replace("|", r"\|") for column in self.columns)]
        align = ("left", *["right"] * len(self.columns))
        table = tabulate(escaped, headers, tablefmt="pipe", colalign=align, disable_numparse=True)
        notes = "\n".join(f"- {note}".replace("|", r"\|") for note in self.notes)
        return f"{self.caption}\n\n{table}\n\n{notes}\n"

    def to_csv(self) -> str:
        """One line a value: metric, method, arm, source, mean, sd, n. Units are in the metric's name."""
        cells = [cell for _, rows in self.blocks for row in rows for cell in row.cells if cell is not None]
        columns = ["metric", "method", "arm", "source", "mean", "sd", "n"]
        frame = pd.DataFrame([[getattr(cell, column) for column in columns] for cell in cells], columns=columns)
        return frame.astype({"n": "Int64"}).to_csv(index=False, float_format="%.6g", lineterminator="\n")

    def to_latex(self) -> str:
        """A ``table`` environment; needs the package booktabs."""
        lines = [r"\toprule", _tex_line(["", *self.columns])]
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


def _tex_line(texts: Sequence[str]) -> str:
    return " & ".join(map(_tex, texts)) + r" \\"


def _cell_text(mean: float, sd: float, decimals: int) -> str:
    """``mean (±sd)``. A hundred and more needs no decimals; what is not zero is not printed as zero."""
    if abs(mean) >= 100:
        decimals = 0
    step = 10.0**-decimals
    text = f"<{step:.{decimals}f}" if 0 < mean < step / 2 else f"{mean:.{decimals}f}"
    return text if math.isnan(sd) else f"{text} (±{sd:.{decimals}f})"


def _measured_row(metric: Metric, values: pd.DataFrame, columns: Sequence[tuple[str, str]]) -> Row:
    """``values`` has the index (method, arm, metric) and the columns mean, sd, n."""
    cells = []
    for method, arm in columns:
        key = (method, arm, metric.name)
        if key not in values.index or math.isnan(values.at[key, "mean"]):
            cells.append(None)
            continue
        mean, sd, n = (values.at[key, column] for column in ("mean", "sd", "n"))
        text = _cell_text(mean, sd, metric.decimals)
        cells.append(Cell(metric.name, method, arm, "measured", mean, sd, int(n), text))
    return Row(metric.label, tuple(cells))


def _paper_row(metric: Metric, paper: Mapping, dataset: str, columns: Sequence[tuple[str, str]]) -> Row:
    """What the paper prints for ``dataset`` in Table 1 or, for the methods of its appendix, in Table 3."""
    labels = {(entry["method"], entry["arm"]): entry["label"] for entry in paper["methods"]}
    printed = {**paper["table3"][dataset].get(metric.paper_name, {}), **paper["table1"][dataset][metric.paper_name]}
    cells = []
    for method, arm in columns:
        value = printed.get(labels.get((method, arm)))
        if value is None:
            cells.append(None)
            continue
        mean, sd = value["mean"], math.nan if value["sd"] is None else value["sd"]
        text = value.get("printed") or _cell_text(mean, sd, 3)
        cells.append(Cell(metric.paper_name, method, arm, f"paper {dataset}", mean, sd, None, text))
    return Row(f"paper, {dataset}{metric.paper_unit}", tuple(cells))


def _rows(
    metrics: Sequence[Metric], values: pd.DataFrame, paper: Mapping, columns: Sequence[tuple[str, str]]
) -> list[Row]:
    """Each metric that any method has, followed by the paper's rows for it."""
    rows = []
    for metric in metrics:
        measured = _measured_row(metric, values, columns)
        if any(measured.cells):
            printed = [_paper_row(metric, paper, name, columns) for name in paper["table1"] if metric.paper_name]
            rows += [measured, *(row for row in printed if any(row.cells))]
    return rows


def _notes(rows: Sequence[Row], labels: Sequence[str], paper: Mapping, context: Mapping) -> list[str]:
    """What a reader has to know; ``labels`` name the columns of ``rows``."""
    subjects, pairs = context["subjects"], context["pairs"]
    metrics = {cell.metric for row in rows for cell in row.cells if cell}
    sources = {cell.source for row in rows for cell in row.cells if cell}
    notes = [
        f"{subjects} test subjects, {pairs:,} unordered pairs. Each pair is registered in both directions; "
        f"mean (±SD) are over the {2 * pairs:,} ordered pairs, of values averaged over seeds."
    ]
    for label, cell in zip(labels, rows[0].cells, strict=True) if rows else ():
        if cell and cell.n != 2 * pairs:
            notes.append(f"{label} is scored on {cell.n:,} of the {2 * pairs:,} ordered pairs only.")
    for name, counts in paper["counts"].items():
        if subjects == counts["test"] and math.comb(subjects, 2) != counts["test_pairs"]:
            notes.append(
                f"{subjects} subjects make C({subjects}, 2) = {math.comb(subjects, 2):,} pairs; "
                f"the paper prints {counts['test_pairs']:,} for {name}."
            )
    if "folds_percent" in metrics:
        text = "|J| is the determinant of the gradient of the deformation, det(I + Du), over the fixed image's brain"
        if "folds_fraction" in metrics:
            text += "; the paper's fractions near 0.49 cannot be of this quantity and are not comparable with it"
        notes.append(f"{text}.")
    if "seconds" in metrics:
        notes.append(f"Times are of the registration alone, measured on {context['hardware']}.")
    if "hd95_mm" in metrics:
        notes.append(
            "HD95 is the larger of the two directed 95th percentiles, over the ROIs that warping has not removed."
        )
    if sources - {"measured"}:
        notes.append("Rows of the paper: its Table 1 (ICON and SynthMorph: Table 3), on its own data and hardware.")
    return notes


def table1(
    summary: pd.DataFrame, paper: Mapping, dataset: str, methods: Sequence[tuple[str, str, str]], context: Mapping
) -> Table:
    """The paper's Table 1 for ``dataset``.

    Parameters
    ----------
    summary : as `smgicnet.statistics.summarise` returns it
    paper : config/paper.yaml
    methods : (method, arm, label) of each column; the paper's come first and in its order, the others follow as given
    context : ``subjects`` (in the test set), ``pairs`` (unordered), ``hardware`` (of the times, as text)

    A metric that no method has is left out. Raises `InputError` when the summary has no row of ``dataset``.
    """
    values = summary[summary["dataset"] == dataset].set_index(["method", "arm", "metric"])
    if values.empty:
        raise InputError("summary", f"it has no row of dataset {dataset!r}", "Score this dataset's pairs first")
    order = {(entry["method"], entry["arm"]): place for place, entry in enumerate(paper["methods"])}
    ordered = sorted(methods, key=lambda entry: order.get(entry[:2], len(order)))
    columns, labels = [entry[:2] for entry in ordered], [entry[2] for entry in ordered]
    blocks = [
        ("", _rows(PAPER_METRICS, values, paper, columns)),
        (BEYOND_HEADING, _rows(FURTHER_METRICS, values, paper, columns)),
    ]
    return Table(
        caption=f"Registration of the {dataset} test pairs: mean (±SD).",
        columns=tuple(labels),
        blocks=tuple((heading, tuple(rows)) for heading, rows in blocks if rows),
        notes=tuple(_notes([row for _, rows in blocks for row in rows], labels, paper, context)),
    )
