"""Statistics and tables: hand-computed numbers, and every number in its place."""

import io
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from smgicnet.errors import InputError
from smgicnet.statistics import summarise
from smgicnet.tables import table1

ROOT = Path(__file__).parents[1]
CONTEXT = {"subjects": 30, "pairs": 435, "hardware": "1 CPU core"}
METHODS = [
    ("mine_50%", "raw", "mine_50% & {co}"),
    ("smgicnet", "raw", "SM-GICNet"),
    ("lapirn", "affine", "LapIRN w.affine"),
    ("syn", "raw", "SyN"),
]


@pytest.fixture(scope="module")
def paper():
    return yaml.safe_load((ROOT / "config" / "paper.yaml").read_text())


def metric_rows(values, *, seed=0, metric="dice", roi="mean", method="syn"):
    common = {"dataset": "ixi", "arm": "raw", "method": method, "metric": metric, "roi": roi}
    return [
        {**common, "seed": seed, "fixed": fixed, "moving": moving, "value": value}
        for (fixed, moving), value in values.items()
    ]


def summary_frame(entries):
    columns = ["dataset", "arm", "method", "metric", "mean", "sd", "n"]
    return pd.DataFrame([("IXI", arm, method, *rest) for method, arm, *rest in entries], columns=columns)


@pytest.fixture
def summary():
    return summary_frame(
        [
            ("smgicnet", "raw", "dice", 0.7914, 0.1236, 870),
            ("smgicnet", "raw", "folds_percent", 0.00002, 0.0001, 870),
            ("smgicnet", "raw", "seconds", 0.2501, 0.0102, 870),
            ("smgicnet", "raw", "hd95_mm", 3.456, 1.234, 870),
            ("lapirn", "affine", "dice", 0.6543, 0.0456, 12),
            ("lapirn", "affine", "peak_memory_mib", 2345.6, 7.8, 870),
            ("mine_50%", "raw", "dice", 0.5, math.nan, 870),
            ("mine_50%", "raw", "folds_percent", 0.0, 0.0, 870),
        ]
    )


def markdown_cells(table):
    """Row label -> texts of its cells, read back from the Markdown."""
    lines = [line for line in table.to_markdown().splitlines() if line.startswith("|")]
    split = [[cell.strip() for cell in line.replace(r"\|", "¦")[1:-1].split("|")] for line in lines]
    return split[0], [(line[0], line[1:]) for line in split[2:]]


def test_summary_is_mean_and_sample_sd_over_ordered_pairs():
    rows = metric_rows({("a", "b"): 0.2, ("b", "a"): 0.4, ("a", "c"): 0.9}) + metric_rows({("a", "b"): 7.0}, roi="CSF")
    [row] = summarise(pd.DataFrame(rows)).to_dict("records")
    assert row["mean"] == pytest.approx(0.5)
    assert row["sd"] == pytest.approx(math.sqrt((0.09 + 0.01 + 0.16) / 2))
    assert row["n"] == 3


def test_a_pair_is_averaged_over_seeds_before_the_sd():
    rows = metric_rows({("a", "b"): 0.0, ("b", "a"): 1.0}, seed=0) + metric_rows(
        {("a", "b"): 1.0, ("b", "a"): 2.0}, seed=1
    )
    [row] = summarise(pd.DataFrame(rows)).to_dict("records")
    assert (row["mean"], row["sd"], row["n"]) == (pytest.approx(1), pytest.approx(math.sqrt(0.5)), 2)


def test_empty_roi_survives_a_csv_and_nan_is_left_out():
    rows = metric_rows({("a", "b"): 1.0, ("b", "a"): np.nan}, metric="seconds", roi="")
    frame = pd.read_csv(io.StringIO(pd.DataFrame(rows).to_csv(index=False)))
    [row] = summarise(frame).to_dict("records")
    assert (row["mean"], row["n"]) == (1, 1)
    assert math.isnan(row["sd"])


def test_arms_methods_and_metrics_are_kept_apart():
    rows = metric_rows({("a", "b"): 1.0}) + metric_rows({("a", "b"): 2.0}, method="icnet")
    rows += [*metric_rows({("a", "b"): 3.0}, metric="hd95_mm"), {**rows[0], "arm": "affine", "value": 4.0}]
    summary = summarise(pd.DataFrame(rows))
    assert summary[["arm", "method", "metric", "mean"]].to_numpy().tolist() == [
        ["affine", "syn", "dice", 4.0],
        ["raw", "icnet", "dice", 2.0],
        ["raw", "syn", "dice", 1.0],
        ["raw", "syn", "hd95_mm", 3.0],
    ]


def test_a_missing_column_is_named():
    with pytest.raises(InputError, match="seed"):
        summarise(pd.DataFrame(metric_rows({("a", "b"): 1.0})).drop(columns="seed"))


def test_columns_follow_the_paper_and_numbers_land_in_them(summary, paper):
    header, rows = markdown_cells(table1(summary, paper, "IXI", METHODS, CONTEXT))
    assert header == ["", "SyN", "LapIRN w.affine", "SM-GICNet", "mine_50% & {co}"]
    assert rows == [
        ("DSC", ["–", "0.654 (±0.046)", "0.791 (±0.124)", "0.500"]),
        ("paper, IXI", ["0.753 (±0.103)", "0.803 (±0.069)", "0.797 (±0.137)", "–"]),
        ("paper, OASIS", ["0.753 (±0.103)", "0.767 (±0.138)", "0.794 (±0.069)", "–"]),
        ("¦J¦ ≤ 0 (%)", ["–", "–", "<0.001 (±0.000)", "0.000 (±0.000)"]),
        ("paper, IXI (fraction)", ["0.000 (±0.000)", "0.488 (±0.028)", "0.483 (±0.027)", "–"]),
        ("paper, OASIS (fraction)", ["0.000 (±0.000)", "0.481 (±0.038)", "0.488 (±0.042)", "–"]),
        ("Time (s)", ["–", "–", "0.250 (±0.010)", "–"]),
        ("paper, IXI", ["1 h", "8.743 (±0.006)", "0.272 (±0.042)", "–"]),
        ("paper, OASIS", ["1 h", "8.873 (±0.051)", "0.266 (±0.054)", "–"]),
        ("**beyond the paper**", ["", "", "", ""]),
        ("HD95 (mm)", ["–", "–", "3.46 (±1.23)", "–"]),
        ("Peak memory (MiB)", ["–", "2346 (±8)", "–", "–"]),
    ]


def test_csv_is_tidy_and_numeric(summary, paper):
    frame = pd.read_csv(io.StringIO(table1(summary, paper, "IXI", METHODS, CONTEXT).to_csv()))
    assert list(frame) == ["metric", "method", "arm", "source", "mean", "sd", "n"]
    assert set(frame["source"]) == {"measured", "paper IXI", "paper OASIS"}
    frame = frame.set_index(["metric", "method", "arm", "source"])
    assert frame.index.is_unique
    assert frame.loc["dice", "lapirn", "affine", "measured"].tolist() == [0.6543, 0.0456, 12]
    assert frame.loc["folds_percent", "smgicnet", "raw", "measured"]["mean"] == 2e-5
    assert frame.loc["folds_fraction", "smgicnet", "raw", "paper IXI"]["mean"] == 0.483
    time = frame.loc["seconds", "syn", "raw", "paper OASIS"]
    assert time["mean"] == 3600
    assert time[["sd", "n"]].isna().all()


def test_latex_is_escaped_and_rectangular(summary, paper):
    latex = table1(summary, paper, "IXI", METHODS, CONTEXT).to_latex()
    assert r"mine\_50\% \& \{co\}" in latex
    assert r"$|$J$|$ $\leq$ 0 (\%) & -- & -- & $<$0.001 ($\pm$0.000) & 0.000 ($\pm$0.000) \\" in latex
    assert latex.isascii()
    body = latex.split(r"\toprule")[1].split(r"\bottomrule")[0]
    lines = [line for line in body.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
    assert {line.replace(r"\&", "").count("&") for line in lines} == {4}
    assert latex.count("{") - latex.count(r"\{") == latex.count("}") - latex.count(r"\}")


def test_methods_of_table_3_show_their_dice(summary, paper):
    methods = [("synthmorph", "affine", "SynthMorph w.affine"), ("smgicnet", "raw", "Ours")]
    header, rows = markdown_cells(table1(summary, paper, "IXI", methods, CONTEXT))
    assert header[1:] == ["Ours", "SynthMorph w.affine"]
    assert rows[1] == ("paper, IXI", ["0.797 (±0.137)", "0.614 (±0.169)"])


def test_notes_say_what_was_counted(summary, paper):
    notes = " ".join(table1(summary, paper, "IXI", METHODS, CONTEXT).notes)
    for expected in ("30 test subjects", "435 unordered", "870 ordered", "1 CPU core", "cannot be of this quantity"):
        assert expected in notes
    assert "LapIRN w.affine is scored on 12 of the 870" in notes
    assert "SM-GICNet is scored" not in notes
    assert "1,775" not in notes
    sixty = table1(summary, paper, "IXI", METHODS, {**CONTEXT, "subjects": 60, "pairs": 1770})
    assert "C(60, 2) = 1,770 pairs; the paper prints 1,775 for OASIS" in " ".join(sixty.notes)


def test_without_the_papers_methods_nothing_is_said_of_the_paper(summary, paper):
    table = table1(summary, paper, "IXI", METHODS[:1], CONTEXT)
    assert "aper" not in table.to_markdown()


def test_an_unknown_dataset_is_an_error(summary, paper):
    with pytest.raises(InputError, match="phantom"):
        table1(summary, paper, "phantom", METHODS, CONTEXT)


def test_the_papers_numbers_are_complete(paper):
    labels = [entry["label"] for entry in paper["methods"]]
    for dataset in ("IXI", "OASIS"):
        assert all(list(row) == labels[:6] for row in paper["table1"][dataset].values())
        assert set(paper["table3"][dataset]["dice"]) == {*labels[6:], "Ours"}
        assert paper["table3"][dataset]["dice"]["Ours"] == paper["table1"][dataset]["dice"]["Ours"]
        counts = paper["counts"][dataset]
        assert counts["train"] + counts["validation"] + counts["test"] == counts["subjects"]


@pytest.mark.parametrize(
    ("dataset", "effects", "affine_seconds"),
    [
        ("IXI", [0.363, 2.856, 0.738, 1.481, -0.055], (7.641, 7.643)),
        ("OASIS", [0.468, 3.728, 1.029, 2.311, 0.247], (7.2, 7.203)),
    ],
)
def test_the_papers_numbers_give_what_was_computed_from_the_print(paper, dataset, effects, affine_seconds):
    """Cohen's d with the pooled SD, and what the affine arm adds to the time, worked out independently of this file."""
    *others, ours = paper["table1"][dataset]["dice"].values()
    computed = [(ours["mean"] - x["mean"]) / math.sqrt((ours["sd"] ** 2 + x["sd"] ** 2) / 2) for x in others]
    assert computed == pytest.approx(effects, abs=6e-4)
    seconds = {label: value["mean"] for label, value in paper["table1"][dataset]["seconds"].items()}
    added = [seconds[f"{name} w.affine"] - seconds[name] for name in ("ICNet", "LapIRN")]
    assert added == pytest.approx(affine_seconds)


def test_tables_statistics_and_plots_do_not_import_torch():
    code = "import sys, smgicnet.tables, smgicnet.statistics, smgicnet.plotting; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
