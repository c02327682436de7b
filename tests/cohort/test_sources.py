"""The registry of sources: what it names, what planning needs, and on whose code the files of a subject depend."""

import subprocess
import sys

import pandas as pd
import pytest

from smgicnet.cohort.kinds.contract import Source, numbered, with_files
from smgicnet.cohort.sources import SOURCES, inspect_cohort, plan_cohort, recipe
from smgicnet.config.schemas import choices, schema
from smgicnet.core.code import PACKAGE, source_files
from smgicnet.core.errors import InputError
from tests.support import ROOT

PREPROCESSING = {"skull_strip": "none", "segmentation": "given", "labels": "freesurfer", "histogram_reference": None}


class Listed(Source):
    """A source whose files are there, but for the labels that a test leaves out."""

    def plan(self, folder, *, segmented):
        table = with_files(numbered(self.block["subjects"]), "given", {"image": "i.nii", "labels": "l.nii"})
        return table if self.block["labels"] else table.assign(labels="")


@pytest.fixture
def listed(monkeypatch):
    """A block of a source that is registered for one test, and asks for no rule and no other module."""
    monkeypatch.setitem(SOURCES._entries, "listed", f"{__name__}:Listed")
    return {"kind": "listed", "subjects": {"train": 2, "val": 0, "test": 2}, "labels": True}


def test_every_schema_of_a_source_has_its_class():
    assert sorted(SOURCES) == choices("sources")
    assert all(issubclass(SOURCES[kind], Source) for kind in SOURCES)


def test_cohorts_are_planned_without_what_makes_them():
    code = "import sys; from smgicnet.cohort.sources import SOURCES; print([SOURCES[kind] for kind in SOURCES])"
    code += "; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {"smgicnet.cohort.kinds.phantom", "pandas"} <= loaded
    assert not {"torch", "scipy", "nibabel", "ancpbids", "smgicnet.cohort.phantom"} & loaded


@pytest.mark.parametrize(
    ("script", "own", "others"),
    [
        ("render_phantom", {"phantom", "template", "rendering"}, {"label_maps"}),
        ("render_label_map", {"label_maps", "template", "rendering"}, {"phantom"}),
        ("fetch_archive", {"archive"}, {"phantom", "label_maps", "template", "rendering"}),
        ("extract_scan", {"archive"}, {"phantom", "label_maps", "template", "rendering"}),
    ],
)
def test_files_depend_on_the_code_of_their_own_source(script, own, others):
    files = source_files(ROOT / f"workflow/scripts/{script}.py")
    modules = {path.stem for path in files if path.parent == PACKAGE / "cohort"}
    assert own <= modules
    assert not modules & {"sources", "bids", *others}
    assert not any("kinds" in path.parts for path in files)


@pytest.mark.parametrize("kind", choices("sources"))
def test_a_recipe_leaves_out_who_is_in_the_cohort_and_nothing_that_the_source_has_not(kind):
    block = dict.fromkeys(schema(f"sources/{kind}")["properties"], 1) | {"kind": kind}
    own = set(SOURCES[kind].cohort_keys) - set(Source.cohort_keys)
    assert own <= block.keys()
    assert recipe(block).keys() == block.keys() - {"subjects", "path"} - own


def test_a_new_source_needs_an_entry_alone(listed):
    table = plan_cohort({"source": listed, "preprocessing": PREPROCESSING}, "results/d/cohort")
    assert table.index.tolist() == ["sub-001", "sub-002", "sub-003", "sub-004"]
    assert table.at["sub-003", "labels"] == "given/sub-003/l.nii"
    source = SOURCES["listed"](listed)
    assert source.to_open(table).equals(table)
    assert recipe(listed) == {"kind": "listed", "labels": True}


def test_what_lacks_labels_cannot_be_planned_and_says_why_once(listed):
    dataset = {"source": listed | {"labels": False}, "preprocessing": PREPROCESSING}
    with pytest.raises(InputError, match="listed: there are no label maps to score with"):
        plan_cohort(dataset, "x")
    table, problems = inspect_cohort(dataset, "x")
    assert table is None
    assert [problem.problem for problem in problems] == ["there are no label maps to score with"]


@pytest.mark.parametrize(("kind", "opened"), [("phantom", 0), ("archive", 0), ("participants", 2), ("bids", 2)])
def test_only_files_that_are_there_are_opened(kind, opened):
    table = pd.DataFrame({"image": ["a", "b", "c"], "split": ["train", "test", ""]}, index=["s1", "s2", "s3"])
    assert len(SOURCES[kind]({"kind": kind}).to_open(table)) == opened
    without = table.drop(columns="split")
    assert len(SOURCES[kind]({"kind": kind}).to_open(without)) == (3 if opened else 0)


def test_a_label_map_is_opened_once_whatever_is_rendered_from_it():
    table = pd.DataFrame({"label_map": ["m/a.nii.gz", "m/b.nii.gz", "m/a.nii.gz"], "split": "train"})
    opened = SOURCES["label-maps"]({"kind": "label-maps"}).to_open(table)
    assert opened["labels"].to_dict() == {"a.nii.gz": "m/a.nii.gz", "b.nii.gz": "m/b.nii.gz"}
