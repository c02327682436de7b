"""Statistics and tables: hand-computed numbers, and every number in its place."""

import io
import math

import pandas as pd
import pytest
import yaml

from smgicnet.core.errors import InputError
from smgicnet.publication.tables.comparison_tables import comparison_table, roi_tables
from smgicnet.publication.tables.paper_tables import table1, table2, without_numbers
from smgicnet.publication.tables.table import Cell, Row, Table, cell_text
from tests.support import ROOT

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


def summary_frame(entries):
    """Entries: method, arm, metric, mean, sd, n; the lowest value is half the mean, the highest twice the mean."""
    columns = ["dataset", "arm", "method", "metric", "mean", "sd", "n"]
    frame = pd.DataFrame([("IXI", arm, method, *rest) for method, arm, *rest in entries], columns=columns)
    return frame.assign(lowest=frame["mean"] / 2, highest=2 * frame["mean"])


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
        ("DSC of the worst pair", ["–", "0.327", "0.396", "0.250"]),
        ("HD95 (mm)", ["–", "–", "3.46 (±1.23)", "–"]),
        ("Peak memory (MiB)", ["–", "2346 (±8)", "–", "–"]),
    ]


def test_endpoint_errors_stand_below_the_dice_of_the_worst_pair(summary, paper):
    errors = {"endpoint_error_mm": 2.5, "endpoint_error_cortex_mm": 2.75, "endpoint_error_deep_mm": 1.5}
    known = summary_frame([("smgicnet", "raw", name, mean, 0.25, 870) for name, mean in errors.items()])
    table = table1(pd.concat([summary, known]), paper, "IXI", METHODS[1:2], CONTEXT)
    rows = dict(table.blocks)["beyond the paper"]
    assert [(row.label, row.cells[0].text) for row in rows] == [
        ("DSC of the worst pair", "0.396"),
        ("Endpoint error (mm)", "2.50 (±0.25)"),
        ("Endpoint error of the worst pair (mm)", "5.00"),
        ("Endpoint error, cortex (mm)", "2.75 (±0.25)"),
        ("Endpoint error, deep regions (mm)", "1.50 (±0.25)"),
        ("HD95 (mm)", "3.46 (±1.23)"),
    ]
    said = [note.split()[0] for note in table.notes if note.startswith(("Endpoint error is", "Deep", "Target", "HD95"))]
    assert said == ["Endpoint", "Deep", "HD95"]
    assert [row.cells[0].metric for row in rows[:3]] == [
        "lowest_dice",
        "endpoint_error_mm",
        "highest_endpoint_error_mm",
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
    for expected in ("30 test subjects", "435 unordered", "870 ordered", "1 CPU core", "not comparable with it"):
        assert expected in notes
    assert "LapIRN w.affine is scored on 12 of the 870" in notes
    assert "SM-GICNet is scored" not in notes
    assert "1,775" not in notes
    sixty = table1(summary, paper, "IXI", METHODS, {**CONTEXT, "subjects": 60, "pairs": 1770})
    assert "C(60, 2) = 1,770 pairs; the paper prints 1,775 for OASIS" in " ".join(sixty.notes)


def test_pose_consistency_says_what_it_is_and_of_how_many_pairs(summary, paper):
    assert "Pose consistency" not in table1(summary, paper, "IXI", METHODS, CONTEXT).to_markdown()
    entries = [
        ("smgicnet", "raw", metric, 1.234, 0.5, 3) for metric in ("pose_consistency_mm", "pose_consistency_p95_mm")
    ]
    more = pd.concat([summary, summary_frame(entries)])
    table = table1(more, paper, "IXI", METHODS, CONTEXT | {"rotation": [30, 22.5]})
    _, rows = markdown_cells(table)
    assert ("Pose consistency (mm)", ["–", "–", "1.23 (±0.50)", "–"]) in rows
    assert ("Pose consistency, 95th percentile (mm)", ["–", "–", "1.23 (±0.50)", "–"]) in rows
    (note,) = [note for note in table.notes if "Pose consistency" in note]
    assert "turned by 30, 22.5 degrees about a random axis" in note
    assert note.endswith("of 3 ordered pairs.")


def test_without_the_papers_methods_nothing_is_said_of_the_paper(summary, paper):
    table = table1(summary, paper, "IXI", METHODS[:1], CONTEXT)
    assert "aper" not in table.to_markdown().replace("**beyond the paper**", "")


def test_tables_of_another_cohort_have_nothing_of_the_paper_but_the_order(summary, dice_summary, paper):
    alone = without_numbers(paper)
    first = table1(summary, alone, "IXI", METHODS, CONTEXT)
    assert first.columns == table1(summary, paper, "IXI", METHODS, CONTEXT).columns
    assert [heading for heading, _ in first.blocks] == ["", "further metrics"]
    methods = [(*run, "-".join(run)) for run in zip(dice_summary["method"], dice_summary["arm"])]
    second, beside = (table2(dice_summary, one, "IXI", ("smgicnet", "raw"), methods, CONTEXT) for one in (alone, paper))
    assert second.columns == ("Cohen's d",)
    assert {(row.label, row.cells) for row in second.blocks[0][1]} == {
        (row.label, row.cells[:1]) for row in beside.blocks[0][1]
    }
    for table in (first, second):
        assert not any("aper" in text for text in (table.to_markdown(), table.to_csv(), table.to_latex()))


def test_in_latex_a_long_heading_is_in_lines():
    long = "registration_with symmetric velocities & four levels " + "W" * 30
    cells = ("0.1", "0.2")
    table = Table("A caption.", (long, "short one"), (("", (Row("DSC", cells),)),), ())
    lines = [r"registration\_with", r"symmetric velocities \&", "four levels " + "W" * 12, "W" * 18]
    stack = r"\shortstack[r]{" + r" \\ ".join(lines) + "}"
    assert f" & {stack} & short one " + r"\\" in table.to_latex().splitlines()


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


def test_a_table_heads_its_labels_and_keeps_bare_text_out_of_the_csv():
    value = Cell("dice", "syn", "raw", "measured", 0.5, math.nan, 3, "0.500")
    table = Table("A caption.", ("one", "two"), (("", (Row("a|b", (value, "no number")),)),), (), corner="what")
    header, rows = markdown_cells(table)
    assert (header, rows) == (["what", "one", "two"], [("a¦b", ["0.500", "no number"])])
    assert r"what & one & two \\" in table.to_latex()
    assert table.to_csv().splitlines()[1:] == ["dice,syn,raw,measured,0.5,,3"]


def test_times_of_the_affine_arm_say_what_they_include(summary, paper):
    timed = [("lapirn", "affine", "seconds", 5.0, 0.5, 870), ("lapirn", "affine", "affine_seconds", 4.5, 0.5, 870)]
    table = table1(pd.concat([summary, summary_frame(timed)]), paper, "IXI", METHODS, CONTEXT)
    assert ("of which affine (s)", ["–", "4.500 (±0.500)", "–", "–"]) in markdown_cells(table)[1]
    [note] = [note for note in table.notes if note.startswith("Times")]
    assert "those of LapIRN w.affine include the affine registration" in note
    assert "(IXI: 7.641 or 7.643 s, OASIS: 7.200 or 7.203 s)" in note
    assert "include" not in " ".join(table1(summary, paper, "IXI", METHODS, CONTEXT).notes)


def test_a_sentence_on_affine_and_the_threads_become_notes(summary, paper):
    more = {"affine": [{"engine": "ants", "version": "A tool 1.0", "search_degrees": 90}], "threads": 2}
    plain, full = (table1(summary, paper, "IXI", METHODS, context).notes for context in (CONTEXT, CONTEXT | more))
    assert set(full) - set(plain) == {
        "Affine pre-registration (w.affine) by A tool 1.0, rotations of up to 90 degrees searched.",
        "SyN runs on 2 threads.",
    }
    assert table1(summary, paper, "IXI", METHODS, {**CONTEXT, "affine": []}).notes == plain


@pytest.fixture
def dice_summary():
    return summary_frame(
        [
            ("initial", "raw", "dice", 0.3, 0.1, 870),
            ("smgicnet", "raw", "dice", 0.7, 0.3, 870),
            ("icnet", "raw", "dice", 0.2, 0.4, 12),
            ("icnet", "affine", "dice", 0.8, 0.3, 870),
            ("syn", "raw", "dice", 0.7, math.nan, 870),
        ]
    )


def test_table_2_has_the_papers_order_and_what_its_table_1_gives(dice_summary, paper):
    methods = [(*run, "-".join(run)) for run in zip(dice_summary["method"], dice_summary["arm"])]
    table = table2(dice_summary, paper, "IXI", ("smgicnet", "raw"), methods, CONTEXT)
    header, rows = markdown_cells(table)
    assert header == ["comparison", "Cohen's d", "paper, IXI", "paper, OASIS", "recomputed, IXI", "recomputed, OASIS"]
    assert rows == [
        ("icnet-affine", ["-0.333", "0.613", "0.581", "0.738", "1.029"]),
        ("icnet-raw", ["1.414", "3.113", "2.691", "2.856", "3.728"]),
        ("syn-raw", ["–", "0.253", "0.227", "0.363", "0.468"]),
        ("initial-raw", ["1.789", "–", "–", "–", "–"]),
    ]
    notes = " ".join(table.notes)
    assert "icnet-raw is scored on 12 of the 870" in notes
    assert "9 of the 10 values of its Table 2 do not follow" in notes
    assert table.to_latex().isascii()
    frame = pd.read_csv(io.StringIO(table.to_csv())).set_index(["method", "arm", "source"])
    assert frame.index.is_unique
    assert frame.loc["icnet", "affine", "measured"]["n"] == 870
    assert frame.loc["icnet", "raw", "recomputed OASIS"]["mean"] == pytest.approx(3.728, abs=1e-3)


def test_table_2_of_another_reference_has_nothing_of_the_paper(dice_summary, paper):
    methods = [(*run, "-".join(run)) for run in zip(dice_summary["method"], dice_summary["arm"])]
    table = table2(dice_summary, paper, "IXI", ("icnet", "affine"), methods, CONTEXT)
    assert table.columns == ("Cohen's d",)
    assert "aper" not in table.to_markdown()
    with pytest.raises(InputError, match="no Dice of lapirn/raw on IXI"):
        table2(dice_summary, paper, "IXI", ("lapirn", "raw"), methods, CONTEXT)


COMPARED = {"dataset": "ixi", "reference": "Ours", "subjects": 30, "people": 30, "pairs": 435, "resamples": 10000}


def comparison_rows(entries, metric="dice"):
    names = ["arm", "method", "roi", "subjects", "pairs", "difference", "low", "high", "d_z", "p", "p_holm"]
    return pd.DataFrame(entries, columns=names).assign(metric=metric)


def test_comparisons_show_difference_interval_and_p():
    table = comparison_table(
        comparison_rows(
            [
                ("raw", "icnet", "mean", 30, 435, 0.5081, 0.4, 0.6, 2.345, 0.0001, 0.0002),
                ("raw", "icnet", "CSF", 30, 435, 0.1, 0.0, 0.2, 1.0, 0.3, 1.0),
                ("affine", "syn", "mean", 2, 1, -0.01, math.nan, math.nan, math.nan, math.nan, math.nan),
            ]
        ),
        {"icnet/raw": "ICNet", "syn/affine": "SyN w.affine"},
        {**COMPARED, "affine": [{"engine": "ants", "version": "A tool 1.0", "search_degrees": 90}]},
    )
    header, rows = markdown_cells(table)
    assert header == ["comparison", "Difference", "95 % interval", "d_z", "p", "p (Holm)"]
    assert rows == [
        ("ICNet", ["+0.508", "+0.400 to +0.600", "2.35", "<0.001", "<0.001"]),
        ("SyN w.affine", ["-0.010", "–", "–", "–", "–"]),
    ]
    notes = " ".join(table.notes)
    for expected in (
        "435 unordered pairs of 30",
        "in 29 pairs",
        "10,000 random swaps",
        "by A tool 1.0, rotations of up to 90 degrees searched",
    ):
        assert expected in notes
    assert "SyN w.affine is compared on 1 pairs of 2 subjects only" in notes
    assert "no row can reach" not in notes
    assert table.to_latex().isascii()


def test_endpoint_errors_are_compared_in_a_block_that_says_which_way_is_better():
    dice = comparison_rows([("raw", "icnet", "mean", 30, 435, 0.1, 0.05, 0.15, 1.0, 0.01, 0.01)])
    error = comparison_rows(
        [("raw", "icnet", "mean", 29, 406, -1.25, -2.0, -0.5, -0.9, 0.02, 0.04)], "endpoint_error_mm"
    )
    table = comparison_table(pd.concat([dice, error]), {"icnet/raw": "ICNet"}, COMPARED)
    header, rows = markdown_cells(table)
    assert table.caption == "Ours minus the other methods, ixi test pairs."
    assert header == ["comparison", "Difference", "95 % interval", "d_z", "p", "p (Holm)"]
    assert rows == [
        ("**DSC: above 0 favours Ours**", [""] * 5),
        ("ICNet", ["+0.100", "+0.050 to +0.150", "1.00", "0.010", "0.010"]),
        ("**Endpoint error (mm): below 0 favours Ours**", [""] * 5),
        ("ICNet", ["-1.25", "-2.00 to -0.50", "-0.90", "0.020", "0.040"]),
    ]
    notes = " ".join(table.notes)
    assert "over the rows of one metric" in notes
    assert "ICNet is compared, by endpoint error, on 406 pairs of 29 subjects only." in notes
    by_roi = pd.concat([dice.assign(roi="CSF"), error.assign(roi="CSF")])
    assert markdown_cells(*roi_tables(by_roi, {"icnet/raw": "ICNet"}, COMPARED))[1] == [
        ("CSF", ["+0.100 [+0.050, +0.150] *"])
    ]


def test_with_few_subjects_the_table_says_that_nothing_can_be_significant():
    rows = comparison_rows([("raw", "icnet", "mean", 4, 6, 0.5, 0.4, 0.6, 2.0, 0.125, 0.125)])
    few = COMPARED | {"subjects": 4, "people": 4, "pairs": 6}
    notes = " ".join(comparison_table(rows, {"icnet/raw": "ICNet"}, few).notes)
    assert "all 16 swaps" in notes
    assert "no p below 0.125" in notes


def test_the_notes_say_that_twins_are_one_person():
    rows = comparison_rows([("raw", "icnet", "mean", 8, 4, 0.5, 0.4, 0.6, 2.0, 0.125, 0.125)])
    twins = COMPARED | {"subjects": 8, "people": 4, "pairs": 4}
    notes = " ".join(comparison_table(rows, {"icnet/raw": "ICNet"}, twins).notes)
    assert "4 unordered pairs of 8 subjects of 4 people;" in notes
    assert "resamples of people" in notes
    assert "whole people, all 16 swaps" in notes
    assert "4 people and 10,000 resamples allow no p below 0.125" in notes


def test_rois_stand_below_each_other_and_a_few_comparisons_side_by_side():
    labels = {f"m{number}/raw": f"M{number}" for number in range(6)}
    entries = [
        ("raw", f"m{number}", roi, 30, 435 - number, 0.1 + number, 0.0, 0.2, 1.0, 0.01, 0.01 * (number + 1))
        for number in range(6)
        for roi in ("mean", "Thalamus", "CSF")
    ]
    first, second = roi_tables(comparison_rows(entries), labels, COMPARED)
    assert first.columns == ("M0", "M1", "M2", "M3")
    header, rows = markdown_cells(second)
    assert header == ["ROI", "M4", "M5"]
    texts = ["+4.100 [+0.000, +0.200]", "+5.100 [+0.000, +0.200]"]
    assert rows == [("Thalamus", texts), ("CSF", texts)]
    assert markdown_cells(first)[1][0][1][3] == "+3.100 [+0.000, +0.200] *"
    assert "(2 of 2)" in second.caption
    assert "all 12 comparisons" in second.notes[0]
    assert any("both subjects have it" in note for note in first.notes)
    assert first.to_latex().isascii()
    assert roi_tables(comparison_rows(entries[:1]), labels, COMPARED) == []


@pytest.mark.parametrize(
    ("mean", "sd", "text"),
    [
        (0.7514, 0.0126, "0.751 (±0.013)"),
        (0.0004, math.nan, "<0.001"),
        (0.0006, math.nan, "0.001"),
        (0.0, 0.0, "0.000 (±0.000)"),
        (99.9, math.nan, "99.900"),
        (100.0, 3.21, "100 (±3)"),
        (-250.4, math.nan, "-250"),
    ],
)
def test_numbers_are_written_with_as_many_digits_as_they_need(mean, sd, text):
    assert cell_text(mean, sd, 3) == text
