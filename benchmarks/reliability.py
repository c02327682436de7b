"""A verdict on registrations, fitted to those of ``benchmarks.verdict``, and how often it is wrong.

``python -m benchmarks.reliability ROWS OUT --test PERSON...`` judges every person by a model that was fitted to the
others, and writes a table and a reliability diagram; the thresholds are those of the people who do not test.
``OUT/verdict.json`` is fitted to all.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.optimize import minimize
from scipy.stats import binomtest

from smgicnet.methods.verdict import DOUBTFUL, FAILED, GOOD, VERDICTS, judge
from smgicnet.publication.figures.canvas import save
from smgicnet.publication.figures.plotting import style

FEATURES = (
    *("likeness", "likeness_worst", "likeness_least", "before", "overlap"),
    *("tissues", "tissues_low", "tissues_worst", "tissues_least", "certainty", "usual"),
    *("bending", "size", "stretch", "pose", "pose_margin", "refined"),
)
FAILED_MM, FAILED_DICE = 5.0, 0.45  # the error of twins above which, and the Dice of two people below which it failed
RANGE = 0.01, 0.99  # quantiles of a feature, beyond which it counts no more
RIDGE = 1.0
PASSED, BLAMED = 0.005, 0.01  # of the failures that may pass, and of the others that may be said to have failed
MIRRORED = "mirrored"  # judged apart: the images do not show it
# the chances of failure of the registrations by which error and Dice are guessed where the verdict is this one
NEAR = {GOOD: (0, 0.2), DOUBTFUL: (0.02, 0.98), FAILED: (0.8, 1)}
NINE_IN_TEN = 0.05, 0.95
BINS = np.array([0, 0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99, 1])


def read_rows(folder: Path) -> pd.DataFrame:
    """All registrations that were made, with whether each failed."""
    rows = pd.concat([pd.read_csv(path) for path in sorted(folder.glob("*.csv"))], ignore_index=True)
    rows["refined"] = (rows["quality"] != "fast").astype(float)
    known = rows["error_mm"].notna()
    rows["failed"] = np.where(known, rows["error_mm"] > FAILED_MM, rows["dice"] < FAILED_DICE) | rows["refused"].notna()
    return rows


def fitted(rows: pd.DataFrame) -> dict[str, Any]:
    """A model of `judge`, fitted to rows but for its thresholds and intervals."""
    limits = rows[[*FEATURES]].quantile(RANGE)
    seen = _seen(rows, limits)
    twins = rows["error_mm"].notna().to_numpy()
    chance = _logistic(seen, rows["failed"].to_numpy(float))
    dice, error = rows["dice"].to_numpy(), np.log(rows["error_mm"].to_numpy())
    near = seen @ chance[1:] + chance[0]
    near = 1 / (1 + np.exp(-near))
    heads: dict[str, Any] = {"log_error": {}, "dice": {}}
    for word, (low, high) in NEAR.items():
        part = (near >= low) & (near <= high)
        of = part & twins
        heads["log_error"][word] = {**_head(_ridge(seen[of], error[of], _alike(rows[of]))), "spread": [0.0, 0.0]}
        heads["dice"][word] = {**_head(_ridge(seen[part], dice[part], _alike(rows[part]))), "spread": [0.0, 0.0]}
    return {
        "features": {name: limits[name].round(6).tolist() for name in FEATURES},
        "failed": _head(chance),
        **heads,
        "good_below": 0.05,
        "failed_above": 0.95,
    }


def _seen(rows: pd.DataFrame, limits: pd.DataFrame) -> np.ndarray:
    low, high = limits.to_numpy()
    return 2 * np.clip((rows[[*FEATURES]].to_numpy() - low) / (high - low), 0, 1) - 1


def _logistic(seen: np.ndarray, failed: np.ndarray) -> np.ndarray:
    """The weights, the intercept first, of a logistic regression with a ridge."""

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        logits = seen @ weights[1:] + weights[0]
        off = 1 / (1 + np.exp(-logits)) - failed
        ridge = RIDGE * weights[1:]
        value = (np.logaddexp(0, logits) - failed * logits).sum() + 0.5 * ridge @ weights[1:]
        return value, np.concatenate([[off.sum()], seen.T @ off + ridge])

    return minimize(loss, np.zeros(seen.shape[1] + 1), jac=True, method="L-BFGS-B").x


def _ridge(seen: np.ndarray, values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The weights, the intercept first, of a linear regression with a ridge, of rows that each count so much."""
    mean, centre = np.average(values, weights=counts), np.average(seen, axis=0, weights=counts)
    x, held = seen - centre, counts[:, None] / counts.mean()
    weights = np.linalg.solve(x.T @ (held * x) + RIDGE * np.eye(x.shape[1]), x.T @ (held[:, 0] * (values - mean)))
    return np.concatenate([[mean - centre @ weights], weights])


def _alike(rows: pd.DataFrame) -> np.ndarray:
    """How much each row counts, so that both qualities count alike."""
    return (1 / rows.groupby("quality")["quality"].transform("size")).to_numpy()


def _head(weights: np.ndarray) -> dict[str, Any]:
    named = dict(zip(FEATURES, weights[1:].round(6).tolist(), strict=True))
    return {"intercept": round(float(weights[0]), 6), "weights": named}


def judged(rows: pd.DataFrame, model: dict[str, Any]) -> pd.DataFrame:
    """Rows with the verdict of a model; what the program refused has failed."""
    found = rows.copy()
    seen = rows["refused"].isna()
    verdicts = [judge(row, model) for row in rows.loc[seen, [*FEATURES]].to_dict("records")]
    found.loc[seen, "verdict"] = [one.word for one in verdicts]
    found.loc[seen, "chance"] = [one.failure for one in verdicts]
    found.loc[seen, "log_error"] = [np.log(one.error_mm[0]) for one in verdicts]
    found.loc[seen, "guessed_dice"] = [one.dice[0] for one in verdicts]
    found.loc[~seen, ["verdict", "chance"]] = FAILED, 1.0
    return found


def by_others(rows: pd.DataFrame, thresholds: dict[str, float]) -> pd.DataFrame:
    """Rows with the verdict of a model that was fitted to all people but those of the row."""
    parts = []
    for person in rows["person"].unique():
        own = rows["person"] == person
        learnt = rows[~own & (rows["moving"] != person) & rows["refused"].isna() & (rows["kind"] != MIRRORED)]
        parts.append(judged(rows[own], {**fitted(learnt), **thresholds}))
    return pd.concat(parts)


def thresholds_of(rows: pd.DataFrame) -> dict[str, float]:
    """The chances of failure below which a registration is good, and above which it failed."""
    seen = rows[rows["refused"].isna() & (rows["kind"] != MIRRORED)]
    failures, others = (np.sort(seen.loc[seen["failed"] == is_so, "chance"]) for is_so in (True, False))
    good, bad = failures[int(PASSED * len(failures))], others[::-1][int(BLAMED * len(others))]
    return {"good_below": round(float(good), 4), "failed_above": round(float(max(bad, good)), 4)}


def with_spread(model: dict[str, Any], rows: pd.DataFrame) -> dict[str, Any]:
    """A model with the intervals that hold nine in ten of what others' models missed."""
    for head, true, guessed in (
        ("log_error", np.log(rows["error_mm"]), "log_error"),
        ("dice", rows["dice"], "guessed_dice"),
    ):
        missed = (true - rows[guessed])[rows["kind"] != MIRRORED]
        for word in VERDICTS:
            of_word = missed[rows["verdict"] == word].dropna()
            model[head][word]["spread"] = np.quantile(of_word, NINE_IN_TEN).round(4).tolist()
    return model


def rate(count: int, of: int) -> str:
    """A share with its interval of 95 %."""
    ends = binomtest(count, of).proportion_ci(method="exact")
    return f"{count} of {of}: {100 * count / of:.2f} % ({100 * ends.low:.2f} to {100 * ends.high:.2f})"


def table_of(rows: pd.DataFrame) -> str:
    """How registrations of each kind ended, and what the verdict was."""
    table = []
    for kind, group in rows.groupby("kind", sort=False):
        row = {"what was done": kind, "registrations": len(group), "refused": int(group["refused"].notna().sum())}
        for name, part in (("failed", group[group["failed"]]), ("went well", group[~group["failed"]])):
            counts = part["verdict"].value_counts()
            row[name] = len(part)
            row |= {f"{name}: {word}": int(counts.get(word, 0)) for word in VERDICTS}
        table.append(row)
    return pd.DataFrame(table).to_markdown(index=False)


def draw(rows: pd.DataFrame, model: dict[str, Any], path: Path) -> None:
    """The reliability diagram, and the guessed beside the true error of twins."""
    style()
    figure = Figure(figsize=(7.2, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    seen = rows[rows["refused"].isna()]
    places = np.clip(np.digitize(seen["chance"], BINS) - 1, 0, len(BINS) - 2)
    for _, group in seen.groupby(places):
        count, of = int(group["failed"].sum()), len(group)
        ends = binomtest(count, of).proportion_ci(method="exact")
        share = count / of
        bar = [[share - ends.low], [ends.high - share]]
        left.errorbar(group["chance"].mean(), share, bar, fmt="o", color="C0")
        left.annotate(str(of), (group["chance"].mean(), share), (4, -10), textcoords="offset points", fontsize=7)
    left.plot([0, 1], [0, 1], color="0.6", linewidth=0.8, zorder=0)
    left.set(
        xlabel="probability of failure, as judged", ylabel="share that failed", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03)
    )
    twins = seen[seen["error_mm"].notna()]
    for word, colour in zip((GOOD, DOUBTFUL, FAILED), ("C2", "C1", "C3"), strict=True):
        group = twins[twins["verdict"] == word]
        right.scatter(
            np.exp(group["log_error"]), group["error_mm"], s=7, alpha=0.6, color=colour, label=word, linewidths=0
        )
    right.plot([0.5, 150], [0.5, 150], color="0.6", linewidth=0.8, zorder=0)
    right.axhline(FAILED_MM, color="0.6", linewidth=0.8, linestyle=":")
    right.set(xscale="log", yscale="log", xlabel="error, as judged (mm)", ylabel="true error (mm)")
    right.legend(title="verdict", loc="upper left")
    save(figure, [path])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--test", nargs="+", default=[], metavar="PERSON", help="whose rows choose no threshold")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows = read_rows(arguments.rows)
    first = by_others(rows, {})
    thresholds = thresholds_of(first[~first["person"].isin(arguments.test)])
    found = by_others(rows, thresholds)
    usual = found[found["kind"] != MIRRORED]
    model = fitted(usual[usual["refused"].isna()]) | thresholds
    model = with_spread(model, usual)
    model["people"] = sorted(rows["person"].unique())
    model["registrations"] = len(usual)
    (arguments.out / "verdict.json").write_text(json.dumps(model, indent=2) + "\n")
    draw(usual, model, arguments.out / "reliability.png")
    lines = [table_of(found), "", f"thresholds: {thresholds}"]
    for name, part in (("all people", usual), ("people that test", usual[usual["person"].isin(arguments.test)])):
        failed, well = part[part["failed"]], part[~part["failed"]]
        if len(failed) and len(well):
            lines += [
                f"{name}, good though it failed: {rate(int((failed['verdict'] == GOOD).sum()), len(failed))}",
                f"{name}, good, and it went well: {rate(int((well['verdict'] == GOOD).sum()), len(well))}",
                f"{name}, failed though it went well: {rate(int((well['verdict'] == FAILED).sum()), len(well))}",
            ]
    text = "\n".join(lines)
    (arguments.out / "table.md").write_text(text + "\n")
    print(f"{text}\n\nIn {arguments.out}: verdict.json, table.md, reliability.png")


if __name__ == "__main__":
    main()
