"""Variants of a method against the full model: accuracy, folds, and what their training cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from pandas import DataFrame

from smgicnet.publication.tables.table import Row, Table, cell_text
from smgicnet.scoring.comparisons import compare
from smgicnet.scoring.resampling import EACH
from smgicnet.scoring.statistics import summarise

STUDIES = {"components": "Components", "channels": "Channels", "depth": "Depth of the last level"}
COLUMNS = ("DSC", "Difference", "95 % interval", "|J| ≤ 0 (%)", "Parameters", "Training (min)", "Memory (MiB)")


def ablation_rows(
    metrics: DataFrame,
    runs: Sequence[tuple[str, str]],
    labels: Mapping[str, str],
    studies: Mapping[str, str],
    trainings: Mapping[str, Sequence[Mapping]],
    *,
    resamples: int,
    people: Mapping[str, str] = EACH,
) -> DataFrame:
    """Return one row a model, the full one first in each study.

    Parameters
    ----------
    metrics : with the columns of `smgicnet.scoring.statistics.COLUMNS`, of one dataset
    runs : (method, arm) of the full model, then of each variant
    labels : by method; ``studies``: of each variant, a key of ``STUDIES``
    trainings : by method the records of all its stages and seeds, as `smgicnet.jobs.train` writes them
    resamples, people : of the bootstrap over people, as in `smgicnet.scoring.comparisons.compare`

    Returns columns study, method, label, seeds, dice, dice_sd, difference (variant minus full), low, high (its 95 %
    interval), p_holm, folds_percent, folds_sd, parameters, train_seconds and train_memory_mib (all stages of one seed
    together, and the largest).
    """
    full, *variants = runs
    summary = summarise(metrics).set_index(["method", "metric"])
    compared = compare(metrics, full, variants, resamples=resamples, seed=0, rois=False, people=people)
    compared = compared.set_index("method")
    rows = []
    for method, _ in runs:
        records = trainings[method]
        seeds = len({record["seed"] for record in records})
        row = {"method": method, "label": labels[method], "seeds": seeds}
        row |= _moments(summary, method, "dice", "dice", "dice_sd")
        row |= {"difference": 0.0, "low": math.nan, "high": math.nan, "p_holm": math.nan}
        if method in compared.index:
            found = compared.loc[method]
            row |= {"difference": -found["difference"], "low": -found["high"], "high": -found["low"]}
            row["p_holm"] = found["p_holm"]
        row |= _moments(summary, method, "folds_percent", "folds_percent", "folds_sd")
        row["parameters"] = max(record["parameters"] for record in records)
        row["train_seconds"] = sum(record["seconds"] for record in records) / seeds
        row["train_memory_mib"] = max(record["peak_memory_mib"] for record in records)
        rows.append(row)
    first, *rest = rows
    ordered = []
    for study in STUDIES:
        members = [row for row in rest if studies[row["method"]] == study]
        ordered += [{"study": study, **row} for row in [first, *members]] if members else []
    return DataFrame(ordered)


def _moments(summary: DataFrame, method: str, metric: str, mean: str, sd: str) -> dict[str, float]:
    return {mean: summary.at[(method, metric), "mean"], sd: summary.at[(method, metric), "sd"]}


def ablation_table(rows: DataFrame, dataset: str, context: Mapping) -> Table:
    """Return the table of `ablation_rows`.

    ``context``: ``subjects``, ``people``, ``pairs`` (unordered), ``resamples``, ``hardware``.
    """
    blocks = []
    for study, members in rows.groupby("study", sort=False):
        blocks.append((STUDIES[study], tuple(_row(row) for row in members.itertuples())))
    seeds = int(rows["seeds"].max())
    full = rows["label"].iloc[0]
    notes = [
        f"{context['subjects']} test subjects, {context['pairs']:,} unordered pairs, each in both directions; "
        f"{seeds} training{'s' if seeds > 1 else ''} of each model, with the same seed{'s' if seeds > 1 else ''}.",
        f"Difference: Dice of the variant minus that of {full}, and its 95 % interval from the same bootstrap over "
        f"people as in the table of comparisons ({context['resamples']:,} resamples)"
        + (": too few people for one." if context["people"] < 3 else "."),
        f"Training: time and peak memory on {context['hardware']}, summed over the levels that a model is made of. A "
        "level that it shares with another model is trained once and counted in full here.",
    ]
    if seeds == 1:
        notes.append(
            "One seed: the interval covers the choice of test subjects, not the chance in training, over which "
            "`seeds: [1, 2, 3]` in the config would average."
        )
    caption = f"Ablations of {full} on the {dataset} test pairs."
    return Table(caption, COLUMNS, tuple(blocks), tuple(notes), corner="model")


def _row(row: object) -> Row:
    known = not math.isnan(row.low)
    return Row(
        row.label,
        (
            cell_text(row.dice, row.dice_sd, 3),
            f"{row.difference:+.3f}" if row.difference else None,
            f"{row.low:+.3f} to {row.high:+.3f}" if known else None,
            cell_text(row.folds_percent, row.folds_sd, 3),
            f"{row.parameters:,}",
            f"{row.train_seconds / 60:.1f}",
            f"{row.train_memory_mib:,.0f}",
        ),
    )
