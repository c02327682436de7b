"""The figure of turned heads: its lines are the means of pairs, and it can be read."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from smgicnet.preparation.changes import CHANGES
from smgicnet.publication.figures.breaking_figure import breaking_figure, breaking_point
from smgicnet.publication.figures.canvas import save
from smgicnet.publication.figures.change_figures import changes_figure
from smgicnet.scoring.resampling import bootstrap_interval, pair_matrix
from smgicnet.scoring.rows import NO_RESULT
from smgicnet.scoring.statistics import COLUMNS
from tests.support.figures import assert_legible

RUNS = [("initial", "raw"), ("initial", "affine"), ("syn", "raw"), ("icnet", "raw"), ("icnet", "affine")]
LABELS = {"/".join(run): " w.".join(run) for run in RUNS}
ANGLES = (0, 30, 60, 90, 120, 150, 180)
METRICS = ("dice", "endpoint_error_mm", "pose_consistency_mm", "pose_consistency_p95_mm")


def changed(runs=RUNS, metrics=METRICS, seeds=(1, 2), change="rotation"):
    random, rows = np.random.default_rng(0), []
    for method, arm in runs:
        for seed in seeds:
            for pair in (("a", "b"), ("c", "d"), ("b", "c")):
                for angle in ANGLES:
                    for metric in metrics:
                        if metric.startswith("pose") and not angle:
                            continue
                        value = random.beta(4, 4) if metric == "dice" else 10 ** random.uniform(-1, 2)
                        start = ("ixi", arm, method, seed, *pair, metric)
                        rows.append((*start, "mean" if metric == "dice" else "", value, change, angle))
                        if metric == "dice":
                            rows.append((*start, "Left-Thalamus", 5.0, change, angle))
    return pd.DataFrame(rows, columns=[*COLUMNS, "change", "severity"])


def turned_figure(rows, runs=RUNS):
    return changes_figure(rows, runs, LABELS, ["rotation"])


def test_lines_are_means_over_pairs_and_bands_their_intervals_over_people():
    rows = changed()
    axes = turned_figure(rows).axes
    assert [axis.get_ylabel() for axis in axes] == ["Dice", "Endpoint error (mm)", "Pose consistency (mm)"]
    for axis, metric in zip(axes, METRICS[:3], strict=True):
        for line, band, (method, arm) in zip(axis.get_lines(), axis.collections, RUNS, strict=True):
            of = rows[(rows["method"] == method) & (rows["arm"] == arm) & (rows["metric"] == metric)]
            of = of[of["roi"].isin(["mean", ""])]
            pairs = of.groupby(["severity", "fixed", "moving"])["value"].mean().groupby("severity")
            np.testing.assert_allclose(line.get_xdata(), ANGLES if metric[0] != "p" else ANGLES[1:])
            np.testing.assert_allclose(line.get_ydata(), pairs.mean())
            points = band.get_paths()[0].vertices
            at_sixty = points[points[:, 0] == 60, 1]
            values = of[of["severity"] == 60].groupby(["fixed", "moving"])["value"].mean()
            low, high = bootstrap_interval(*pair_matrix(values), resamples=2000, seed=0)
            assert at_sixty.min() == pytest.approx(max(low, 0 if metric == "dice" else 0.01))
            assert at_sixty.max() == pytest.approx(min(high, 1) if metric == "dice" else high)


def test_two_people_have_no_interval():
    rows = changed()
    axes = turned_figure(rows[rows["fixed"] == "a"]).axes
    assert all(len(axis.get_lines()) == len(RUNS) for axis in axes)
    assert not any(
        np.isfinite(path.vertices).any() for axis in axes for band in axis.collections for path in band.get_paths()
    )


def test_a_method_has_one_hue_and_the_affine_arm_is_paler_and_dashed():
    initial, affine, syn, *_ = turned_figure(changed()).axes[0].get_lines()
    assert (initial.get_linestyle(), affine.get_linestyle()) == ("-", "--")
    colours = [np.array(to_rgb(line.get_color())) for line in (initial, affine, syn)]
    assert (colours[1] >= colours[0]).all()
    np.testing.assert_allclose((1 - colours[1]) / (1 - colours[0]), 0.65)
    assert np.abs(colours[2] - colours[0]).max() > 0.3


def test_many_methods_can_be_told_apart():
    runs = [(f"method-{number}", "raw") for number in range(14)]
    labels = {"/".join(run): run[0] for run in runs}
    lines = changes_figure(changed(runs, seeds=(1,)), runs, labels, ["rotation"]).axes[0].get_lines()
    looks = {(to_rgb(line.get_color()), line.get_marker(), line.get_linestyle()) for line in lines}
    assert len(looks) == len(lines) == 14


@pytest.mark.parametrize(
    ("runs", "metrics", "panels"),
    [
        (RUNS, METRICS, 3),
        (RUNS[:1], ("dice",), 1),
        (RUNS[2:4], ("dice", METRICS[2]), 2),
        (RUNS, (*METRICS, "seconds", NO_RESULT), 5),
    ],
)
def test_it_can_be_read(runs, metrics, panels):
    figure = turned_figure(changed(runs, metrics))
    assert len(figure.axes) == panels
    assert_legible(figure, 180)
    named = {text.get_text() for text in figure.legends[0].get_texts()}
    assert named == {LABELS["/".join(run)] for run in runs}


@pytest.mark.parametrize("rows", [changed(change="scale"), changed(RUNS[:1]), changed(RUNS[1:])[:0]])
def test_without_a_turned_head_the_page_says_so(rows):
    figure = turned_figure(rows, RUNS[1:])
    assert not figure.axes
    assert [text.get_text() for text in figure.texts] == ["No changed head has a score."]
    assert_legible(figure, 180)


def test_the_same_bytes_every_time(tmp_path):
    for name in ("one", "two"):
        save(turned_figure(changed()), tmp_path / name)
    for suffix in (".png", ".pdf"):
        assert (tmp_path / f"one{suffix}").read_bytes() == (tmp_path / f"two{suffix}").read_bytes()


def test_each_kind_of_change_has_a_row_of_panels():
    rows = pd.concat([changed(change="noise"), changed(change="crop-top")])
    figure = changes_figure(rows, RUNS, LABELS, [kind for kind in CHANGES if kind != "rotation"])
    assert len(figure.axes) == 6
    assert [axis.get_xlabel() for axis in figure.axes[::3]] == [CHANGES[one].label for one in ("crop-top", "noise")]
    assert_legible(figure, 180)


@pytest.mark.parametrize(
    ("means", "point"),
    [
        ({0: 0.8, 10: 0.8, 20: 0.64, 30: 0.1}, (15.0, True)),  # 0.72 is halfway between 10 and 20
        ({20: 0.1, 0: 0.8}, (0.08 / 0.7 * 20, True)),
        ({0: 0.8, 10: 0.79, 20: 0.75}, (20.0, False)),
        ({0: 0.5, 10: 0.8, 20: 0.1}, (0.0, True)),  # heads as they lie have more than a tenth less than the best
        ({0: 0.75, 10: 0.8, 20: 0.64, 30: 0.1}, (15.0, True)),
        ({0: 0.0, 10: 0.0}, (0.0, True)),
    ],
)
def test_a_method_breaks_where_it_loses_a_tenth_of_its_own_best(means, point):
    found = breaking_point(pd.Series(means))
    assert found == (pytest.approx(point[0]), point[1])


def test_the_summary_has_a_cell_for_each_run_and_change():
    rows = pd.concat([changed(change="noise"), changed(change="rotation"), changed(RUNS[:2], change="scale")])
    figure = breaking_figure(rows, RUNS, LABELS)
    (axis,) = figure.axes
    assert [text.get_text() for text in axis.get_yticklabels()] == list(LABELS.values())
    labels = [CHANGES[one].name for one in ("rotation", "scale", "noise")]
    assert [text.get_text() for text in axis.get_xticklabels()] == labels
    assert len(axis.texts) == 5 * 2 + 2
    assert_legible(figure, 180)


def test_pairs_without_a_result_have_a_panel_and_break_a_method():
    rows = changed(RUNS[:1], ("dice", "no_result_percent"), change="noise")
    rows["value"] = np.where(rows["metric"] == "no_result_percent", 0.0, 0.8)
    fallen = rows["severity"] == 90
    rows.loc[fallen & (rows["metric"] == "no_result_percent"), "value"] = 100.0
    rows = rows[~(fallen & (rows["metric"] == "dice"))]
    figure = changes_figure(rows, RUNS, LABELS, ["noise"])
    assert [axis.get_ylabel() for axis in figure.axes] == ["Dice", "Without a result (%)"]
    assert_legible(figure, 180)
    (axis,) = breaking_figure(rows, RUNS, LABELS).axes
    assert [text.get_text() for text in axis.texts] == ["63"]  # a tenth of the way from 60 to 90


def test_a_run_without_a_line_is_not_in_the_legend():
    rows = pd.concat([changed(RUNS[:1]), changed(RUNS[1:2], ("peak_memory_mib",))])
    named = {text.get_text() for text in turned_figure(rows).legends[0].get_texts()}
    assert named == {LABELS["initial/raw"]}
