"""The figures: what each is called, what it is drawn from, and by which function.

To add one, write a function that takes a `smgicnet.publication.figures.material.Material` and returns a matplotlib
figure, and an entry here. Rules, targets, Snakemake's report and the page take it from there, in the order of entries.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from smgicnet.core.registry import Registry


@dataclass(frozen=True)
class FigureEntry:
    """A figure of a dataset; ``study`` is a `smgicnet.jobs.study.Study`."""

    title: str  # above it on the page; {run} stands for the name of its run
    caption: str  # plain text; {dataset} stands for the dataset's name
    function: str  # what draws it, "module:function", imported when it is drawn
    inputs: tuple[str, ...]  # what it is drawn from: kinds of input of `smgicnet.jobs.figure_inputs.FigureInputs`
    runs: Callable[[Any], Sequence[tuple[str, str]]] = lambda study: study.runs  # in it; without any there is no figure
    each_run: bool = False  # whether each run has a figure of its own, NAME-ARM-METHOD; by default one shows them all
    by_default: bool = True  # whether the default target draws it; else the page shows it once it has been drawn
    category: str = "Figures"  # under which Snakemake's report lists it


def _published(study: Any) -> list[tuple[str, str]]:
    """Runs with their authors' weights, and beside them the one that is looked at first."""
    present = [run for run in study.published_runs if run in study.runs]
    return [*present, *study.viewed[:1]] if present else []


_SIDE_BY_SIDE = (
    "The test pairs of {dataset} with the median, the worst and the best overlap before registration (the paper's "
    "Figures 2 and 5): fixed and moving image, the moving image warped by each method, and below it the absolute "
    "difference from the fixed image. Numbers are mean Dice."
)
# in the page's order
FIGURES = {
    "methods": FigureEntry(
        title="Methods side by side (Figure 2)",
        caption=_SIDE_BY_SIDE,
        function="smgicnet.publication.figures.pair_figures:methods",
        inputs=("shown_pairs",),
        runs=lambda study: [run for run in study.registering if run not in study.published_runs],
    ),
    "published": FigureEntry(
        title="With their authors' weights (Figure 5)",
        caption=_SIDE_BY_SIDE,
        function="smgicnet.publication.figures.pair_figures:methods",
        inputs=("shown_pairs",),
        runs=_published,
    ),
    "reciprocal": FigureEntry(
        title="Both directions of a pair (Figure 3a)",
        caption="Both directions of one test pair of {dataset} (the paper's Figure 3a): the images, each warped to the "
        "other, their two displacement fields, and what is left of their composition.",
        function="smgicnet.publication.figures.reciprocal_figures:reciprocal",
        inputs=("shown_pairs",),
        runs=lambda study: study.viewed[:1],
    ),
    "registrations": FigureEntry(
        title="The reference method",
        caption="Test pairs of {dataset} registered by the reference method: fixed, moving and warped image, the "
        "absolute difference before and after, and the warped grid over the moving image.",
        function="smgicnet.publication.figures.registration_figures:registrations",
        inputs=("shown_pairs",),
        runs=lambda study: study.viewed[:1],
    ),
    "dice": FigureEntry(
        title="Dice by region",
        caption="Dice by region of interest on the dataset {dataset}, over the ordered test pairs, each averaged over "
        "its seeds: median, quartiles, whiskers to 1.5 interquartile ranges, outliers as dots.\n"
        "Pale, hatched boxes are the same method after affine pre-registration.",
        function="smgicnet.publication.figures.score_figures:dice",
        inputs=("metrics",),
    ),
    "robustness": FigureEntry(
        title="Before and after: who fails where",
        caption="Dice after registration against Dice before it, pair by pair, on {dataset}, and where the true "
        "transforms are known, the endpoint error likewise: crosses, below the line in Dice and above it in mm, are "
        "pairs that registration made worse. Means hide who fails where.",
        function="smgicnet.publication.figures.run_figures:robustness",
        inputs=("metrics",),
        runs=lambda study: study.runs if study.initial else [],
    ),
    "angles": FigureEntry(
        title="Turned heads",
        caption="How far a head may be turned, on {dataset}: the moving head of some test pairs is turned by an angle "
        "about a random axis through its brain's centre, shifted a little, and registered again. Lines are means over "
        "these pairs, each averaged over its seeds, and bands are 95 % intervals over people. The endpoint "
        "error is known where the cohort has the true deformations. Pose consistency is the mean distance, in the "
        "moving head, between where a point is sent with the head as it lies and where it is sent with the head "
        "turned.\n"
        "Dashed lines in a paler colour are the same method after affine pre-registration.",
        function="smgicnet.publication.figures.change_figures:angles",
        inputs=("changes",),
        runs=lambda study: study.robustness.runs,
    ),
    "changes": FigureEntry(
        title="What breaks a method",
        caption="How far a head may be changed otherwise, on {dataset}: each row is a kind of change, made of the "
        "moving head of some test pairs; 0 is the head as it lies. Lines are means over these pairs, each averaged "
        "over its seeds, and bands are 95 % intervals over people. Pairs without a result are in no line.\n"
        "Dashed lines in a paler colour are the same method after affine pre-registration.",
        function="smgicnet.publication.figures.change_figures:changes",
        inputs=("changes",),
        runs=lambda study: study.robustness.runs if study.robustness.kinds - {"rotation"} else [],
    ),
    "breaking": FigureEntry(
        title="Where each method breaks",
        caption="The least severity of each change at which the mean Dice of a method falls below 90 % of its own "
        "best, on {dataset}, linear in between. What a method holds up to the largest severity that was tried is "
        "printed pale, with a sign that it is more.",
        function="smgicnet.publication.figures.breaking_figure:breaking",
        inputs=("changes",),
        runs=lambda study: study.robustness.runs,
    ),
    "time": FigureEntry(
        title="Time and accuracy",
        caption="Time of a registration against mean Dice on {dataset}, both measured. Times of the affine arm include "
        "the affine registration.",
        function="smgicnet.publication.figures.time_figure:time",
        inputs=("metrics",),
    ),
    "comparisons": FigureEntry(
        title="Differences by region",
        caption="Differences in Dice on the dataset {dataset}, the reference minus the method named above each panel, "
        "with 95 % intervals over subjects: positive values favour the reference.\n"
        "A filled marker means p < 0.05 after Holm's correction, in which the overall results are one family and the "
        "regions another.",
        function="smgicnet.publication.figures.comparison_figures:comparisons",
        inputs=("comparisons",),
        runs=lambda study: study.runs if study.compared else [],
    ),
    "ablations": FigureEntry(
        title="Ablations (Figure 3b)",
        caption="Ablations on {dataset} (the paper's Figure 3b and Appendix A): each variant is trained and scored as "
        "the full model is. Differences are paired, their 95 % intervals over subjects.",
        function="smgicnet.publication.figures.ablation_figures:ablations",
        inputs=("ablations",),
        runs=lambda study: study.ablated,
        by_default=False,
    ),
    "training": FigureEntry(
        title="Training of {run}",
        caption="Training on {dataset}, stage by stage: every term of the objective, unweighted, and the Dice of the "
        "validation pairs.",
        function="smgicnet.publication.figures.training_figures:training",
        inputs=("histories",),
        runs=lambda study: study.trained_runs,
        each_run=True,
        category="Training",
    ),
}
DRAWING = Registry({name: entry.function for name, entry in FIGURES.items()})
