"""Pairs share people: intervals that draw pairs miss the truth too often, those that draw people do not."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from docs.drawings.style import BLUE, DARK, GREY, ORANGE, RED, figure
from smgicnet.scoring.resampling import bootstrap_interval, pair_values

PEOPLE, TRUTH = 8, 0.02  # of each cohort that is made up, and the mean difference over everybody
OF_PEOPLE, OF_PAIRS = 0.03, 0.02  # SDs of a person's and of a pair's own part of a difference
COHORTS, SHOWN, RESAMPLES = 1000, 40, 1000
PERSON = 2  # whose pairs are marked


def draw() -> Figure:
    """Return the drawing."""
    drawing = figure(10, 5.4)
    random = np.random.default_rng(5)
    cohorts = [cohort(random) for _ in range(COHORTS)]
    _pairs(drawing.add_axes((0.03, 0.13, 0.33, 0.72)), cohorts[0])
    ways = (("draw pairs", pairs_interval), ("draw people", people_interval))
    for number, (name, interval) in enumerate(ways):
        ends = np.array([interval(one) for one in cohorts])
        _intervals(drawing.add_axes((0.43 + 0.29 * number, 0.1, 0.265, 0.7)), name, ends)
    drawing.text(
        0.705, 0.93, f"95 % intervals of the mean difference, in {SHOWN} made-up cohorts", ha="center", size=11.5
    )
    return drawing


def cohort(random: np.random.Generator) -> np.ndarray:
    """Return the differences between two methods on all pairs of some people, symmetric, NaN on the diagonal."""
    person = random.normal(0, OF_PEOPLE, PEOPLE)
    pair = np.triu(random.normal(0, OF_PAIRS, (PEOPLE, PEOPLE)), 1)
    differences = TRUTH + person[:, None] + person + pair + pair.T
    np.fill_diagonal(differences, np.nan)
    return differences


def people_interval(differences: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of this project, whose bootstrap draws people."""
    return bootstrap_interval(differences, resamples=RESAMPLES, seed=0)


def pairs_interval(differences: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval by a bootstrap that draws pairs, as if each were of two people of its own."""
    values = pair_values(differences)
    draws = np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.quantile(values[draws].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def _pairs(axes: Axes, differences: np.ndarray) -> None:
    """Draw the differences of all pairs of a cohort, those of one person framed."""
    shown = axes.imshow(differences, cmap="RdBu", vmin=-0.15, vmax=0.15)
    for at in ((-0.5, PERSON - 0.5, PEOPLE, 1), (PERSON - 0.5, -0.5, 1, PEOPLE)):
        axes.add_patch(Rectangle(at[:2], *at[2:], fill=False, edgecolor=ORANGE, linewidth=2.5, zorder=4))
    names = [f"{chr(65 + number)}" for number in range(PEOPLE)]
    axes.set(xticks=range(PEOPLE), yticks=range(PEOPLE), xticklabels=names, yticklabels=names)
    axes.tick_params(length=0)
    axes.xaxis.tick_top()
    axes.spines[:].set_visible(False)
    count = PEOPLE * (PEOPLE - 1) // 2
    axes.set_title(f"{PEOPLE} people make {count} pairs;\nperson {names[PERSON]} is in {PEOPLE - 1} of them", pad=8)
    bar = axes.figure.colorbar(shown, ax=axes, orientation="horizontal", fraction=0.045, pad=0.05, ticks=[-0.1, 0, 0.1])
    bar.set_label("difference of two methods on a pair", size=10)
    bar.outline.set_visible(False)


def _intervals(axes: Axes, name: str, ends: np.ndarray) -> None:
    """Draw the intervals of some cohorts, and say how many of all hold the truth."""
    holds = (ends[:, 0] <= TRUTH) & (ends[:, 1] >= TRUTH)
    for place, ((low, high), good) in enumerate(zip(ends[:SHOWN], holds, strict=False)):
        axes.plot([low, high], [place, place], color=BLUE if good else RED, linewidth=2.4, solid_capstyle="butt")
    axes.axvline(TRUTH, color=DARK, linewidth=1, zorder=0)
    axes.axvline(0, color=GREY, linewidth=0.8, linestyle=":", zorder=0)
    axes.set(yticks=[], xlim=(-0.12, 0.16), xticks=[-0.1, 0, TRUTH, 0.1], xticklabels=["−0.1", "0", "truth", "0.1"])
    axes.get_xticklabels()[1].set_horizontalalignment("right")
    axes.get_xticklabels()[2].set_horizontalalignment("left")
    axes.spines["left"].set_visible(False)
    colour = BLUE if holds.mean() > 0.9 else RED
    said = f"{name}\n{100 * holds.mean():.0f} % hold the truth"
    axes.set_title(said, color=colour, weight="bold", size=11)
