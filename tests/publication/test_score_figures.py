"""Figures of scores: what is drawn is what the tables say, all of it legible and on the page."""

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import same_color

from smgicnet.preparation.label_protocols import roi_names
from smgicnet.publication.figures.canvas import save
from smgicnet.publication.figures.comparison_figures import comparison_figure, comparisons
from smgicnet.publication.figures.material import Material
from smgicnet.publication.figures.regions import readable_roi, without_sides
from smgicnet.publication.figures.score_figures import dice_boxplot
from smgicnet.scoring.statistics import COLUMNS

ROIS = list(roi_names().values())
BASES = ("syn", "icnet", "lapirn", "gradicon", "synthmorph")
TEN = [(method, arm) for method in BASES for arm in ("raw", "affine")]
LABELS = {"/".join(run): f"{run[0].title()} w.affine" if run[1] == "affine" else run[0].title() for run in TEN}
SUBJECTS = ("a", "b", "c", "d")


def dice_rows(runs, rois, subjects=SUBJECTS, seeds=(0,)):
    """Random Dice of all ordered pairs, and rows of other metrics that must not show."""
    random = np.random.default_rng(1)
    rows = [
        ("ixi", arm, method, seed, fixed, moving, metric, roi, 100.0 if metric == "hd95_mm" else random.beta(8, 3))
        for (method, arm), roi, seed in itertools.product(runs, ["mean", *rois], seeds)
        for fixed, moving in itertools.permutations(subjects, 2)
        for metric in ("dice", "hd95_mm")
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def boxplot(metrics, runs, rois, **options):
    return dice_boxplot(metrics, runs, [LABELS["/".join(run)] for run in runs], rois, **options)


def comparison_rows(runs, rois, scale=0.05):
    random = np.random.default_rng(2)
    rows = []
    for (method, arm), roi in itertools.product(runs, ["mean", *rois]):
        difference, half, p = random.normal(0, scale), random.uniform(0.2, 1) * scale, random.uniform(0, 0.1)
        rows.append((arm, method, roi, 30, 870, difference, difference - half, difference + half, 0.5, p / 9, p))
    names = ["arm", "method", "roi", "subjects", "pairs", "difference", "low", "high", "d_z", "p", "p_holm"]
    return pd.DataFrame(rows, columns=names)


def tick_names(axis, which="x"):
    ticks = axis.get_xticklabels() if which == "x" else axis.get_yticklabels()
    return [tick.get_text().replace("\n", " ") for tick in ticks]


def drawn_boxes(figure):
    """Median of each box, keyed by run's place in the legend and ROI's name on the axis."""
    found = {}
    for axis in figure.axes:
        names = tick_names(axis)
        for run, container in enumerate(axis.containers):
            for line in container.medians:
                centre = np.mean(line.get_xdata())
                assert (run, names[round(centre)]) not in found
                found[run, names[round(centre)]] = line.get_ydata()[0]
    return found


def drawn_rows(axis):
    """What a forest plot's panel shows at each height: ``{y: (low, high)}`` and ``{y: (difference, filled)}``."""
    intervals, points = {}, {}
    for line in axis.lines:
        (x, *_), (y, *_) = line.get_data()
        if line.get_marker() == "o":
            points[y] = (x, not same_color(line.get_markerfacecolor(), "white"))
        elif line.get_linewidth() > 0.7 and len(set(line.get_ydata())) == 1:
            intervals[y] = tuple(line.get_xdata())
    return intervals, points


def assert_legible(figure, width_mm=180, height_mm=240):
    """Text of at least 6 pt inside the page; no two labels of ticks, titles or legends overlap."""
    figure.canvas.draw()
    assert figure.get_figwidth() * 25.4 <= width_mm + 1e-6
    assert figure.get_figheight() * 25.4 <= height_mm + 1e-6
    ticks = [tick for axis in figure.axes for tick in drawn_ticks(axis)]
    others = [text for axis in figure.axes for text in (axis.title, axis.xaxis.label, axis.yaxis.label)]
    legend = [text for one in figure.legends for text in one.get_texts()]
    texts = [t for t in [*ticks, *others, *legend, *figure.texts] if t.get_visible() and t.get_text().strip()]
    assert min(text.get_fontsize() for text in texts) >= 6
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts]
    for name, box in boxes:
        assert box.x0 >= 0, name
        assert box.y0 >= 0, name
        assert box.x1 <= figure.bbox.x1, name
        assert box.y1 <= figure.bbox.y1, name
    for (name, box), (other_name, other) in itertools.combinations(boxes, 2):
        assert not box.overlaps(other), (name, other_name)


def drawn_ticks(axis):
    """Labels of the ticks inside the axis's limits: matplotlib keeps some more."""
    (left, right), (bottom, top) = sorted(axis.get_xlim()), sorted(axis.get_ylim())
    yield from (tick for tick in axis.get_xticklabels() if left <= tick.get_position()[0] <= right)
    yield from (tick for tick in axis.get_yticklabels() if bottom <= tick.get_position()[1] <= top)


def test_names_are_readable_and_distinct():
    assert readable_roi("Left-Cerebral-White-Matter") == "L cerebral white matter"
    assert readable_roi("Right-Inf-Lat-Vent") == "R inf. lateral ventricle"
    assert [readable_roi(name) for name in ("Cerebral-Cortex", "CSF", "3rd-Ventricle", "VentralDC")] == [
        "Cerebral cortex",
        "CSF",
        "3rd ventricle",
        "Ventral diencephalon",
    ]
    assert len({readable_roi(name) for name in ROIS}) == 36
    merged = without_sides(ROIS)
    assert len({readable_roi(name) for name in merged}) == len(merged) == 20
    assert merged[:2] == ["Cerebral-White-Matter", "Cerebral-Cortex"]


def test_a_box_is_over_ordered_pairs_averaged_over_seeds():
    runs, rois = TEN[1:5], [*ROIS[20:], *ROIS[:3]]
    metrics = dice_rows(runs, rois, seeds=(0, 1, 2)).sample(frac=1, random_state=0)
    figure = boxplot(metrics, runs, rois)
    assert [name for axis in figure.axes for name in tick_names(axis)] == [readable_roi(roi) for roi in rois]
    dice = metrics[metrics["metric"] == "dice"]
    pairs = dice.groupby(["method", "arm", "roi", "fixed", "moving"])["value"].mean()
    expected = {
        (index, readable_roi(roi)): pairs[method, arm, roi].median()
        for index, (method, arm) in enumerate(runs)
        for roi in rois
    }
    assert drawn_boxes(figure) == pytest.approx(expected)
    assert {axis.get_ylim() for axis in figure.axes} == {(-0.01, 1.01)}


def test_boxes_stand_in_the_order_of_the_runs_and_relatives_share_a_hue():
    runs = TEN[2:6]
    figure = boxplot(dice_rows(runs, ROIS[:2]), runs, ROIS[:2], title="IXI")
    [axis] = figure.axes
    centres = [np.mean(container.medians[0].get_xdata()) for container in axis.containers]
    assert centres == sorted(centres)
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [LABELS["/".join(run)] for run in runs]
    for container, entry in zip(axis.containers, legend.get_patches(), strict=True):
        assert {box.get_hatch() for box in container.boxes} == {entry.get_hatch()}
        assert all(same_color(box.get_facecolor(), entry.get_facecolor()) for box in container.boxes)
    plain, pale, other, _ = (np.array(entry.get_facecolor()[:3]) for entry in legend.get_patches())
    np.testing.assert_allclose(np.ptp((1 - pale) / (1 - plain)), 0, atol=1e-6)  # mixed with white
    assert not np.allclose(plain, other)
    assert [bool(entry.get_hatch()) for entry in legend.get_patches()] == [False, True, False, True]
    assert figure.get_suptitle() == "IXI"


def test_the_legend_of_ten_is_read_line_by_line():
    figure = boxplot(dice_rows(TEN, ROIS[:3]), TEN, ROIS[:3])
    figure.canvas.draw()
    places = {text.get_text(): text.get_window_extent() for text in figure.legends[0].get_texts()}
    in_order = sorted(places, key=lambda name: (-round(places[name].y0, -1), places[name].x0))
    assert in_order == [LABELS["/".join(run)] for run in TEN]


def test_what_is_missing_is_left_out_and_the_rest_keeps_its_looks():
    metrics = dice_rows(TEN[:3], ROIS[:4])
    metrics.loc[metrics["roi"] == ROIS[1], "value"] = np.nan
    metrics = metrics[(metrics["roi"] != ROIS[2]) & ((metrics["method"] != "syn") | (metrics["arm"] != "affine"))]
    figure = boxplot(metrics, TEN[:3], ROIS[:5])
    [axis] = figure.axes
    assert tick_names(axis) == [readable_roi(ROIS[0]), readable_roi(ROIS[3])]
    entries = figure.legends[0].get_patches()
    assert len(entries) == 3
    for container, entry in zip(axis.containers, (entries[0], entries[2]), strict=True):
        assert {box.get_hatch() for box in container.boxes} == {entry.get_hatch()}
        assert all(same_color(box.get_facecolor(), entry.get_facecolor()) for box in container.boxes)
    with pytest.raises(ValueError, match=r"no Dice of \['syn/raw'\]"):
        boxplot(metrics, TEN[:1], ROIS[1:3])


def test_one_run_and_one_pair():
    metrics = dice_rows(TEN[:1], ROIS, subjects=("a", "b"))
    metrics = metrics[metrics["fixed"] == "a"]
    figure = boxplot(metrics, TEN[:1], ROIS)
    dice = metrics[metrics["metric"] == "dice"].set_index("roi")["value"]
    assert drawn_boxes(figure) == pytest.approx({(0, readable_roi(roi)): dice[roi] for roi in ROIS})
    assert_legible(figure)


@pytest.mark.parametrize(("count", "merged"), [(10, False), (7, True), (2, False)])
def test_boxplots_are_legible_and_fit_a_page(count, merged):
    rois = without_sides(ROIS) if merged else ROIS
    figure = boxplot(dice_rows(TEN[:count], rois, subjects="abc"), TEN[:count], rois, title="A data set")
    assert sum(len(c.boxes) for axis in figure.axes for c in axis.containers) == count * len(rois)
    assert_legible(figure)


def test_a_forest_plot_shows_differences_intervals_and_significance():
    runs, rois = TEN[:3], ROIS[:6]
    table = comparison_rows(runs, rois)
    table.loc[[0, 3], "p_holm"] = [0.05, 0.0499]
    figure = comparison_figure(table.sample(frac=1, random_state=3).sort_values("method"), LABELS, "Ours", rois)
    order = [axis.get_title() for axis in figure.axes]
    assert sorted(order) == sorted(f"vs {LABELS['/'.join(run)]}" for run in runs)
    assert tick_names(figure.axes[0], "y") == ["Overall", *map(readable_roi, rois)]
    top, bottom = figure.axes[0].get_ylim()[::-1]
    assert top < bottom  # the first row above
    for (method, arm), rows in table.groupby(["method", "arm"]):
        axis = figure.axes[order.index(f"vs {LABELS[f'{method}/{arm}']}")]
        intervals, points = drawn_rows(axis)
        by_roi = rows.set_index("roi").loc[["mean", *rois]]
        heights = sorted(points)
        assert heights == list(axis.get_yticks())
        np.testing.assert_allclose([points[y][0] for y in heights], by_roi["difference"])
        np.testing.assert_allclose([intervals[y] for y in heights], by_roi[["low", "high"]])
        assert [points[y][1] for y in heights] == list(by_roi["p_holm"] < 0.05)
        assert "favours Ours →" in axis.get_xlabel()
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["p < 0.05 after Holm's correction", "p ≥ 0.05", "95 % interval"]


def test_the_forest_plot_of_a_file_is_of_dice_alone(tmp_path):
    table = comparison_rows(TEN[:2], ROIS[:2]).assign(metric="dice")
    errors = table[table["roi"] == "mean"].assign(metric="endpoint_error_mm", difference=9.0, low=8.0, high=10.0)
    drawn = []
    for name, rows in (("with", pd.concat([table, errors])), ("without", table)):
        rows.to_csv(tmp_path / name, index=False)
        given = Material({"comparisons": [tmp_path / name]}, TEN[:2], LABELS, reference=TEN[0])
        drawn.append([drawn_rows(axis) for axis in comparisons(given).axes])
    assert drawn[0] == drawn[1]
    assert all(intervals for intervals, _ in drawn[0])


def test_panels_share_a_scale_unless_it_would_hide_one():
    alike = pd.concat([comparison_rows(TEN[:1], ROIS[:9], 0.05), comparison_rows(TEN[1:2], ROIS[:9], 0.08)])
    figure = comparison_figure(alike, LABELS, "Ours", ROIS)
    first, second = (axis.get_xlim() for axis in figure.axes)
    assert first == second
    assert first[0] < alike["low"].min() < 0 < alike["high"].max() < first[1]
    apart = pd.concat([comparison_rows(TEN[:1], ROIS[:9], 0.005), comparison_rows(TEN[1:2], ROIS[:9], 0.2)])
    figure = comparison_figure(apart, LABELS, "Ours", ROIS)
    spans = [np.ptp(axis.get_xlim()) for axis in figure.axes]
    assert spans[1] > 4 * spans[0]
    assert any("scales differ" in text.get_text() for text in figure.legends[0].get_texts())
    assert all(axis.get_xlim()[0] < 0 < axis.get_xlim()[1] for axis in figure.axes)


def test_rows_without_a_value_are_left_out():
    table = comparison_rows(TEN[:2], ROIS[:3])
    table.loc[table["roi"] == ROIS[1], ["difference", "low", "high", "p_holm"]] = np.nan  # in both
    table.loc[1, ["difference", "low", "high", "p_holm"]] = np.nan  # ROIS[0], in the first only
    table.loc[3, ["low", "high", "p_holm"]] = np.nan  # a point alone
    figure = comparison_figure(table, LABELS, "Ours", ROIS)
    first, second = figure.axes
    assert tick_names(first, "y") == ["Overall", readable_roi(ROIS[0]), readable_roi(ROIS[2])]
    places = list(first.get_yticks())
    assert sorted(drawn_rows(first)[1]) == [places[0], places[2]]
    assert drawn_rows(first)[1][places[2]] == (table.loc[3, "difference"], False)
    assert sorted(drawn_rows(second)[1]) == places
    assert figure.legends[0].get_texts()[1].get_text() == "p ≥ 0.05 or too few to test"
    assert_legible(figure)


def test_a_comparison_without_any_value_is_an_empty_panel():
    table = comparison_rows(TEN[:1], ROIS[:3])
    table[["difference", "low", "high", "p_holm"]] = np.nan
    figure = comparison_figure(table, LABELS, "Ours", ROIS)
    [axis] = figure.axes
    assert drawn_rows(axis) == ({}, {})
    assert_legible(figure)
    with pytest.raises(ValueError, match="at least one"):
        comparison_figure(table[:0], LABELS, "Ours", ROIS)


@pytest.mark.parametrize(("count", "merged"), [(9, False), (10, False), (6, True), (5, False), (1, True)])
@pytest.mark.parametrize("scale", [0.004, 0.05, 0.3])
def test_forest_plots_are_legible_and_fit_a_page(count, merged, scale):
    rois = without_sides(ROIS) if merged else ROIS
    figure = comparison_figure(comparison_rows(TEN[:count], rois, scale), LABELS, "SM-GICNet", rois)
    assert len(figure.axes) == count
    assert_legible(figure)


@pytest.mark.parametrize("suffix", [".png", ".pdf"])
def test_the_same_scores_give_the_same_bytes(tmp_path, suffix):
    metrics, table = dice_rows(TEN[:3], ROIS[:4]), comparison_rows(TEN[:3], ROIS[:4])
    for draw in (lambda: boxplot(metrics, TEN[:3], ROIS), lambda: comparison_figure(table, LABELS, "Ours", ROIS)):
        [first] = save(draw(), [tmp_path / f"first{suffix}"])
        [second] = save(draw(), [tmp_path / f"second{suffix}"])
        assert first.read_bytes() == second.read_bytes()
