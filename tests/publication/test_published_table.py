"""Table 3: what is measured, what the paper prints, and what is not there."""

from io import StringIO

import pandas as pd
import pytest

from smgicnet.core.provenance import read_yaml
from smgicnet.publication.tables.paper_tables import without_numbers
from smgicnet.publication.tables.published_table import ABSENT, table3

PAPER = read_yaml("config/paper.yaml")
METHODS = [
    ("synthmorph", "raw", "SynthMorph"), ("synthmorph", "affine", "SynthMorph w.affine"),
    ("gradicon", "raw", "GradICON"), ("smgicnet", "raw", "SM-GICNet"),
]  # fmt: skip
CONTEXT = {"subjects": 4, "pairs": 6, "weights": {"GradICON": "w.trch, licence: Apache-2.0"}}


@pytest.fixture
def table():
    rows = [
        {"dataset": "a", "arm": arm, "method": method, "metric": metric, "mean": mean, "sd": 0.05, "n": 12}
        for method, arm, dice in (("gradicon", "raw", 0.4), ("smgicnet", "raw", 0.7))
        for metric, mean in (("dice", dice), ("folds_percent", 0.0), ("seconds", 1.5))
    ]
    absent = [("synthmorph", "raw"), ("synthmorph", "affine")]
    return table3(pd.DataFrame(rows), PAPER, "a", METHODS, absent, CONTEXT)


def test_absent_weights_are_said_and_have_no_number(table):
    lines = {line.split("|")[1].strip(): line for line in table.to_markdown().splitlines() if line.startswith("|")}
    assert ABSENT in lines["SynthMorph"]
    assert ABSENT in lines["SynthMorph w.affine"]
    assert ABSENT not in lines["GradICON"]
    numbers = pd.read_csv(StringIO(table.to_csv()))
    assert not ((numbers["method"] == "synthmorph") & (numbers["source"] == "measured")).any()
    assert "snakemake --cores 1 weights" in table.to_markdown()
    assert "Apache-2.0" in table.to_markdown()


def test_numbers_stand_in_their_columns(table):
    numbers = pd.read_csv(StringIO(table.to_csv())).set_index(["method", "arm", "source", "metric"])["mean"]
    assert numbers["gradicon", "raw", "measured", "dice"] == 0.4
    assert numbers["gradicon", "raw", "paper IXI", "dice"] == 0.370
    assert numbers["synthmorph", "affine", "paper OASIS", "dice"] == 0.603
    assert numbers["smgicnet", "raw", "paper IXI", "dice"] == 0.797
    header = table.to_markdown().splitlines()[2]
    assert [cell.strip() for cell in header.replace(r"\|", "!").split("|")[2:-1]] == [
        "DSC", "!J! ≤ 0 (%)", "Time (s)", "HD95 (mm)", "DSC, paper, IXI", "DSC, paper, OASIS",
    ]  # fmt: skip


def test_without_the_papers_rows_it_has_what_was_measured_alone(table):
    rows = pd.DataFrame(
        [{"dataset": "a", "arm": "raw", "method": "gradicon", "metric": "dice", "mean": 0.4, "sd": 0.05}]
    )
    alone = table3(rows.assign(n=12), without_numbers(PAPER), "a", METHODS, [], CONTEXT)
    assert alone.columns == table.columns[:4]
    assert set(pd.read_csv(StringIO(alone.to_csv()))["source"]) == {"measured"}
    assert "aper" not in alone.to_markdown()


def test_nothing_is_said_of_absent_weights_where_all_are_there(table):
    every = table3(pd.DataFrame(columns=["dataset", "arm", "method", "metric"]), PAPER, "a", METHODS, [], CONTEXT)
    assert ABSENT not in every.to_markdown()
