"""Cortical parcels have a row of Table 1, and no place in what shows the 36 ROIs."""

import pandas as pd

from smgicnet.core.provenance import read_yaml
from smgicnet.preparation.label_protocols import roi_names
from smgicnet.publication.figures.score_figures import dice_boxplot
from smgicnet.publication.tables.paper_tables import table1
from smgicnet.scoring.comparisons import compare, merge_sides
from smgicnet.scoring.statistics import COLUMNS, summarise
from tests.support import ROOT

RUNS = [("syn", "raw"), ("initial", "raw")]
REGIONS = {"dice": ["Left-Hippocampus", "mean"], "parcels_dice": ["ctx-lh-insula", "ctx_rh_S_central", "mean"]}


def rows(metrics):
    return pd.DataFrame(
        [
            ("d", "raw", method, 0, fixed, moving, metric, roi, value)
            for method, base in (("syn", 0.5), ("initial", 0.2))
            for fixed, moving in ((a, b) for a in "abc" for b in "abc" if a != b)
            for metric, roi, value in metrics
            for value in [base + value + 0.01 * "abc".index(fixed)]
        ],
        columns=list(COLUMNS),
    )


COARSE = rows([("dice", roi, 0.1) for roi in REGIONS["dice"]])
FINE = rows([(metric, roi, 0.1) for metric, rois in REGIONS.items() for roi in rois])


def drawn(metrics):
    figure = dice_boxplot(metrics, RUNS, ["SyN", "Initial"], list(roi_names().values()))
    return [tick.get_text() for axis in figure.axes for tick in axis.get_xticklabels()]


def test_figures_and_comparisons_by_region_are_of_the_36_rois():
    assert drawn(FINE) == drawn(COARSE)
    compared = [compare(merge_sides(metrics), RUNS[0], RUNS[1:], resamples=100, seed=1) for metrics in (FINE, COARSE)]
    pd.testing.assert_frame_equal(*compared)


def test_table_1_has_a_row_of_them():
    paper, context = read_yaml(ROOT / "config/paper.yaml"), {"subjects": 3, "pairs": 3, "hardware": "a machine"}
    methods = [("syn", "raw", "SyN"), ("initial", "raw", "Initial")]
    found = {}
    for name, metrics in (("fine", FINE), ("coarse", COARSE)):
        table = table1(summarise(metrics), paper, "d", methods, context)
        found[name] = {row.label: row for _, block in table.blocks for row in block}
    row = found["fine"]["DSC of cortical parcels"]
    assert [cell.text for cell in row.cells] == ["0.610 (±0.009)", "0.310 (±0.009)"]
    assert "DSC of cortical parcels" not in found["coarse"]
