"""Figures of runs: curves, points and counts are those of the tables, all of it legible and on the page."""

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import same_color

from smgicnet.publication.figures.ablation_figures import ablation_figure
from smgicnet.publication.figures.canvas import save
from smgicnet.publication.figures.run_figures import initial_scatter
from smgicnet.publication.figures.time_figure import time_figure
from smgicnet.publication.figures.training_figures import POINTS, training_figure
from smgicnet.scoring.statistics import COLUMNS
from tests.support.figures import assert_legible

TERMS = ("similarity", "energy_similarity", "symmetric", "inverse", "multi_level", "gradient_inverse", "smoothness")
RUNS = [("initial", "raw"), ("initial", "affine"), ("syn", "raw"), ("icnet", "raw"), ("icnet", "affine"),
        ("lapirn", "raw"), ("lapirn", "affine"), ("smgicnet", "raw"), ("synthmorph", "affine")]  # fmt: skip
SECONDS = (2e-4, 8.4, 95, 0.2, 8.6, 0.35, 8.8, 0.42, 9.1)
INITIAL = RUNS[0]
NAMES = {"syn": "SyN", "icnet": "ICNet", "lapirn": "LapIRN", "smgicnet": "SM-GICNet", "synthmorph": "SynthMorph"}
LABELS = {"/".join(r): NAMES.get(r[0], r[0].title()) + (" w.affine" if r[1] == "affine" else "") for r in RUNS}


def level(length, terms=TERMS, every=None, seed=0):
    """A history as `smgicnet.training.loop.train` makes it: the similarity negative, the other terms over decades."""
    random, part = np.random.default_rng(seed), np.linspace(0, 1, length)
    history = pd.DataFrame({"step": np.arange(length)})
    for index, term in enumerate(terms):
        small = 10.0 ** (-5 + index / 2 + 2 * part + 0.1 * random.standard_normal(length))
        history[term] = -0.3 - 0.5 * part + 0.02 * random.standard_normal(length) if "similarity" in term else small
    history.insert(1, "total", history[list(terms)].sum(axis=1))
    history["learning_rate"], history["seconds"], history["validation_dice"] = 1e-4, 0.1, np.nan
    if every:
        history.loc[every - 1 :: every, "validation_dice"] = 0.4 + 0.3 * part[every - 1 :: every]
    return history


def scores(subjects="abcd", seeds=(0,), runs=RUNS):
    random = np.random.default_rng(1)
    rows = []
    for (method, arm), seconds in zip(RUNS, SECONDS):
        for seed, (fixed, moving) in itertools.product(seeds, itertools.permutations(subjects, 2)):
            if (method, arm) in runs:
                start = ("ixi", arm, method, seed, fixed, moving)
                rows.append((*start, "dice", "mean", random.beta(4, 4)))
                rows += [(*start, "dice", "CSF", 5.0), (*start, "seconds", "", seconds * random.uniform(0.8, 1.2))]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def by_pair(metrics, run, metric, roi):
    rows = metrics[(metrics["method"] == run[0]) & (metrics["arm"] == run[1])]
    rows = rows[(rows["metric"] == metric) & (rows["roi"] == roi)]
    return rows.groupby(["fixed", "moving"])["value"].mean()


def ablations():
    rows = []
    components = ("SM-GICNet", "no gradient inverse consistency", "no attention gate")
    studies = {"components": components, "channels": ("4 channels", "SM-GICNet"), "depth": ("SM-GICNet", "2 levels")}
    for study, labels in studies.items():
        for index, label in enumerate(labels):
            full = label == "SM-GICNet"
            difference = 0.0 if full else -0.02 * (index + 1)
            interval = (np.nan, np.nan) if full else (difference - 0.01, difference + 0.03)
            rows.append(
                (study, label, 0.7 + difference, 0.08, difference, *interval, 0.02 * index, 0.01, 1.5e6, 7200.0)
            )
    names = "study label dice dice_sd difference low high folds_percent folds_sd parameters train_seconds"
    return pd.DataFrame(rows, columns=names.split())


def named(figure):
    return {axis.get_title(): axis for axis in figure.axes}


def test_a_curve_is_the_history_level_after_level():
    levels = [level(90, every=30), level(60, every=30, seed=1), level(150, seed=2)]
    figure = training_figure(levels, "SM-GICNet, seed 1")
    axes = named(figure)
    terms = ["Similarity", "Energy similarity", "Symmetric", "Inverse", "Multi-level", "Gradient inverse", "Smoothness"]
    assert list(axes) == ["Total (weighted)", *terms, "Validation Dice"]
    raw, smooth = axes["Similarity"].lines[2:4]  # of the second level
    np.testing.assert_array_equal(raw.get_xdata(), np.arange(91, 151))
    np.testing.assert_array_equal(raw.get_ydata(), levels[1]["similarity"])
    expected = levels[1]["similarity"].rolling(3, center=True, min_periods=1).median()
    np.testing.assert_array_equal(smooth.get_ydata(), expected)
    assert raw.get_alpha() < 0.5
    assert {axis.get_xlim() for axis in figure.axes} == {(0, 300)}
    assert {tuple(text.get_text() for text in axis.texts) for axis in figure.axes} == {("1", "2", "Stage 3")}
    shaded = [patch.get_bbox().intervalx for axis in figure.axes for patch in axis.patches]
    np.testing.assert_array_equal(np.unique(shaded, axis=0), [[90, 150]])
    first, second = axes["Validation Dice"].lines
    np.testing.assert_array_equal(first.get_xdata(), [30, 60, 90])
    np.testing.assert_array_equal(second.get_xdata(), [120, 150])
    assert figure.get_suptitle() == "SM-GICNet, seed 1"


def test_terms_over_decades_get_a_logarithmic_axis_and_zeros_do_no_harm():
    early, late = level(100), level(100, seed=1)
    early["multi_level"] = 0.0
    early["symmetric"] = late["symmetric"] = 0.0
    axes = named(training_figure([early, late]))
    scales = {name: axis.get_yscale() for name, axis in axes.items()}
    assert scales["Inverse"] == scales["Multi-level"] == "log"
    assert scales["Total (weighted)"] == scales["Similarity"] == scales["Symmetric"] == "linear"


def test_long_histories_keep_their_extremes_in_few_points():
    history = level(20000, TERMS[:1])
    history.loc[12345, "similarity"] = 9.0
    figure = training_figure([history])
    raw, smooth = named(figure)["Similarity"].lines
    assert len(raw.get_xdata()) == POINTS
    assert len(smooth.get_xdata()) <= POINTS
    assert raw.get_ydata().max() == 9
    assert raw.get_xdata()[np.argmax(raw.get_ydata())] == pytest.approx(12.346)
    assert named(figure)["Similarity"].get_ylim()[1] < 1
    assert figure.axes[-1].get_xlabel() == "Iteration (thousands)"


@pytest.mark.parametrize("width", [85, 180])
@pytest.mark.parametrize(("lengths", "terms"), [((30, 30, 60, 100), 7), ((1, 2), 2), ((40,), 4), ((9000,) * 3, 3)])
def test_training_curves_are_legible_whatever_the_levels(lengths, terms, width):
    levels = [level(length, TERMS[:terms], every=1 if length < 10 else 10) for length in lengths]
    assert_legible(training_figure(levels, "A run, seed 1", width), width)


def test_levels_may_differ_in_terms_and_lack_validation():
    levels = [level(30, TERMS[:2]).drop(columns="validation_dice"), level(30, TERMS[:3]), level(0)]
    axes = named(training_figure(levels))
    assert list(axes) == ["Total (weighted)", "Similarity", "Energy similarity", "Symmetric"]
    assert [len(axis.lines) for axis in axes.values()] == [4, 4, 4, 2]
    for wrong in ([], [level(0)], [level(5).drop(columns="total")]):
        with pytest.raises(ValueError, match="training curves need"):
            training_figure(wrong)


def test_a_point_is_a_pair_averaged_over_seeds_and_crosses_got_worse():
    metrics = scores(seeds=(0, 1, 2)).sample(frac=1, random_state=0)
    figure = initial_scatter(metrics, RUNS, LABELS, INITIAL)
    before = by_pair(metrics, INITIAL, "dice", "mean")
    assert len(figure.axes) == len(RUNS) - 1
    assert len({axis.get_xlim() + axis.get_ylim() for axis in figure.axes}) == 1
    for run, axis in zip(RUNS[1:], figure.axes, strict=True):
        after = by_pair(metrics, run, "dice", "mean")
        worse = after < before
        line, better_points, worse_points = axis.lines
        assert tuple(line.get_xdata()) == tuple(line.get_ydata()) == axis.get_xlim()
        np.testing.assert_allclose(np.transpose(worse_points.get_data()), np.c_[before, after][worse])
        np.testing.assert_allclose(np.transpose(better_points.get_data()), np.c_[before, after][~worse])
        name, count = axis.get_title().rsplit("\n", 1)
        assert name.replace("\n", " ") == LABELS["/".join(run)]
        assert count == f"worse: {worse.sum()} of 12"
    assert_legible(figure)


def with_errors(metrics, without=()):
    """The same pairs with random endpoint errors besides, but for some runs."""
    pairs = metrics[metrics["metric"].eq("seconds") & ~metrics["method"].isin(without)]
    errors = np.random.default_rng(2).uniform(1, 40, len(pairs))
    return pd.concat([metrics, pairs.assign(metric="endpoint_error_mm", value=errors)])


def test_endpoint_errors_stand_beside_dice_and_crosses_are_farther_off():
    metrics = with_errors(scores(seeds=(0, 1)), without=["syn"])
    figure = initial_scatter(metrics, RUNS, LABELS, INITIAL)
    dice, errors = figure.axes[: len(RUNS) - 1], figure.axes[len(RUNS) - 1 :]
    alone = initial_scatter(scores(seeds=(0, 1)), RUNS, LABELS, INITIAL)
    for one, other in zip(dice, alone.axes, strict=True):
        assert one.get_xlim() == other.get_xlim()
        for line, expected in zip(one.lines, other.lines, strict=True):
            np.testing.assert_array_equal(line.get_data(), expected.get_data())
    before = by_pair(metrics, INITIAL, "endpoint_error_mm", "")
    assert {axis.get_xlim() + axis.get_ylim() for axis in errors} == {errors[0].get_xlim() * 2}
    assert errors[0].get_xlim()[0] == 0
    for run, axis in zip([run for run in RUNS[1:] if run[0] != "syn"], errors, strict=True):
        after = by_pair(metrics, run, "endpoint_error_mm", "")
        worse = after > before
        np.testing.assert_allclose(np.transpose(axis.lines[2].get_data()), np.c_[before, after][worse])
        assert axis.get_title().endswith(f"\nworse: {worse.sum()} of 12")
    assert errors[0].get_ylabel().replace("\n", " ") == "Endpoint error (mm)"
    assert errors[-1].get_xlabel().replace("\n", " ") == "Initial endpoint error (mm)"
    assert min(axis.get_position().x0 for axis in errors) > max(axis.get_position().x1 for axis in dice)
    assert_legible(figure, 180)


@pytest.mark.parametrize("count", [2, 3, 5, 9])
def test_scatter_plots_of_both_metrics_are_legible(count):
    assert_legible(initial_scatter(with_errors(scores("abcdefghijkl")), RUNS[:count], LABELS, INITIAL), 180)


@pytest.mark.parametrize(("count", "width"), [(2, 85), (5, 180), (9, 180)])
def test_scatter_plots_are_legible_at_other_sizes(count, width):
    assert_legible(initial_scatter(scores("abcdefghijkl"), RUNS[:count], LABELS, INITIAL, width), width)


def test_one_pair_and_missing_values_in_a_scatter_plot():
    metrics = scores("ab", runs=RUNS[:4])
    metrics = metrics[metrics["fixed"] == "a"]
    metrics.loc[metrics["method"] == "syn", "value"] = np.nan
    figure = initial_scatter(metrics, RUNS, LABELS, INITIAL)
    assert [axis.get_title().split("\n")[0] for axis in figure.axes] == ["Initial w.affine", "ICNet"]
    assert all(axis.get_title().endswith("of 1") for axis in figure.axes)
    with pytest.raises(ValueError, match="no pair has a Dice"):
        initial_scatter(metrics, RUNS[2:3], LABELS, INITIAL)


def test_times_and_dice_are_means_with_standard_deviations_over_pairs():
    metrics = scores(seeds=(0, 1))
    metrics.loc[metrics["roi"] == "", "roi"] = np.nan  # as a reader of CSV may make of it
    figure = time_figure(metrics, RUNS, LABELS, INITIAL)
    [axis] = figure.axes
    assert axis.get_xscale() == "log"
    metrics["roi"] = metrics["roi"].fillna("")
    assert len(axis.containers) == len(RUNS) - 1
    for run, container in zip(RUNS[1:], axis.containers, strict=True):
        dice, seconds = by_pair(metrics, run, "dice", "mean"), by_pair(metrics, run, "seconds", "")
        point, _, (across, up) = container
        assert (point.get_xdata()[0], point.get_ydata()[0]) == pytest.approx((seconds.mean(), dice.mean()))
        assert np.ptp(up.get_segments()[0][:, 1]) == pytest.approx(2 * dice.std())
        assert np.ptp(across.get_segments()[0][:, 0]) == pytest.approx(2 * seconds.std())
        assert same_color(point.get_markerfacecolor(), "white") == (run[1] != "raw")
    hues = [container[0].get_markeredgecolor() for container in axis.containers]
    assert hues[2] == hues[3]  # ICNet in both arms
    assert len(set(map(tuple, hues))) == 6
    assert [text.get_text() for text in axis.texts] == [*[LABELS["/".join(run)] for run in RUNS[1:]], "Initial"]
    dashed = [line for line in axis.lines if line.get_linestyle() == "--"]
    assert dashed[0].get_ydata()[0] == pytest.approx(by_pair(metrics, INITIAL, "dice", "mean").mean())
    assert "(s)" in axis.get_xlabel()
    assert_legible(figure)


@pytest.mark.parametrize("width", [85, 180])
def test_names_of_points_do_not_overlap_even_when_points_do(width):
    metrics = scores()
    metrics.loc[metrics["metric"] == "seconds", "value"] = 1.0
    metrics.loc[metrics["metric"] == "dice", "value"] = 0.5
    assert_legible(time_figure(metrics, RUNS, LABELS, INITIAL, width), width)


def test_one_method_one_pair_and_no_time_in_a_figure_of_times():
    metrics = scores("ab", runs=RUNS[2:4])
    metrics = metrics[metrics["fixed"] == "a"]
    figure = time_figure(metrics, RUNS[2:3], LABELS)
    assert_legible(figure)
    assert not figure.legends
    assert [text.get_text() for text in figure.axes[0].texts] == ["SyN"]
    metrics = metrics[(metrics["metric"] == "dice") | (metrics["method"] == "icnet")]
    assert [text.get_text() for text in time_figure(metrics, RUNS[2:4], LABELS).axes[0].texts] == ["ICNet"]
    with pytest.raises(ValueError, match="no run has both"):
        time_figure(metrics, RUNS[2:3], LABELS)


def drawn(axis):
    """Points and bars of a panel of ablations by height: ``{y: x}`` and ``{y: (low, high)}``."""
    points = {line.get_ydata()[0]: line for line in axis.lines if line.get_marker() in "oD"}
    bars = {line.get_ydata()[0]: line.get_xdata() for line in axis.lines if line.get_linewidth() == 0.8}
    return points, bars


def test_ablations_show_dice_difference_and_folds_of_each_row():
    table = ablations()
    figure = ablation_figure(table, "SM-GICNet")
    dice, difference, folds = figure.axes
    for axis, name in ((dice, "dice"), (difference, "difference"), (folds, "folds_percent")):
        points, bars = drawn(axis)
        heights = sorted(points)
        assert len(heights) == len(table)
        np.testing.assert_allclose([points[y].get_xdata()[0] for y in heights], table[name])
        assert [points[y].get_marker() == "D" for y in heights] == list(table["label"] == "SM-GICNet")
        if name == "dice":
            np.testing.assert_allclose([bars[y] for y in heights], np.c_[table["dice"] - 0.08, table["dice"] + 0.08])
        if name == "difference":
            shown = table["low"].notna()
            assert sorted(bars) == [y for y, kept in zip(heights, shown) if kept]
            np.testing.assert_allclose([bars[y] for y in sorted(bars)], table.loc[shown, ["low", "high"]])
        if name == "folds_percent":
            assert min(bar[0] for bar in bars.values()) == 0  # not below
    names = [tick.get_text().replace("\n", " ") for tick in dice.get_yticklabels()]
    assert names == [*table["label"], "Components", "Channels", "Depth"]
    assert "SM-GICNet" in difference.get_xlabel().replace("\n", " ")
    assert_legible(figure)


def test_a_page_has_room_for_parameters_and_time():
    table = ablations()
    table.loc[1, ["parameters", "train_seconds"]] = np.nan
    figure = ablation_figure(table, "SM-GICNet", 180)
    texts = [text.get_text() for text in figure.axes[-1].texts]
    assert [texts.count(one) for one in ("Parameters", "1.50 M", "Training", "2.0 h")] == [1, 6, 1, 6]
    assert_legible(figure, 180)


def test_what_is_unknown_in_an_ablation_is_left_out():
    table = ablations()
    table.loc[1, ["dice", "dice_sd", "difference", "low", "high", "folds_percent", "folds_sd"]] = np.nan
    table.loc[2, ["low", "high"]] = np.nan
    figure = ablation_figure(table, "SM-GICNet")
    points, bars = drawn(figure.axes[1])
    assert len(bars) == 2
    assert [points[y].get_marker() for y in sorted(points)][2] == "o"  # a point alone, not the full model
    assert_legible(figure)
    other = table.replace({"label": {"SM-GICNet": "full"}})
    points, _ = drawn(ablation_figure(other, "SM-GICNet").axes[1])
    assert sum(point.get_marker() == "D" for point in points.values()) == 3
    assert_legible(ablation_figure(table[:1], "SM-GICNet"))
    with pytest.raises(ValueError, match="at least one row"):
        ablation_figure(table[:0], "SM-GICNet")


@pytest.mark.parametrize("suffix", [".png", ".pdf"])
def test_the_same_runs_give_the_same_bytes(tmp_path, suffix):
    metrics, table, levels = scores(), ablations(), [level(30, TERMS[:2], 10), level(50, TERMS[:2], 10)]
    for draw in (
        lambda: training_figure(levels, "A run"),
        lambda: initial_scatter(metrics, RUNS[:4], LABELS, INITIAL),
        lambda: time_figure(metrics, RUNS, LABELS, INITIAL),
        lambda: ablation_figure(table, "SM-GICNet"),
    ):
        [first] = save(draw(), [tmp_path / f"first{suffix}"])
        [second] = save(draw(), [tmp_path / f"second{suffix}"])
        assert first.read_bytes() == second.read_bytes()
