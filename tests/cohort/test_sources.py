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


def label_maps(path, counts, **changes):
    source = {"kind": "label-maps", "path": str(path), "subjects": counts, "seed": 1, "maps": None, "renderings": 1}
    source |= changes
    preprocessing = {
        "skull_strip": "none",
        "segmentation": "given",
        "labels": "freesurfer",
        "histogram_reference": None,
    }
    return {"source": source, "preprocessing": preprocessing}


def test_label_map_folder_without_maps(tmp_path):
    counts = {"train": None, "val": 0, "test": 2}
    dataset = label_maps(tmp_path, counts)
    with pytest.raises(InputError, match=r"no \*\.nii\.gz label maps"):
        plan_cohort(dataset, "x")
    for number in range(3):
        (tmp_path / f"m{number}.nii.gz").touch()
    with pytest.raises(InputError, match=r"1 train subject\(s\)"):
        plan_cohort(dataset, "x")


def test_the_first_label_maps_of_a_folder(tmp_path):
    counts = {"train": None, "val": 0, "test": 2}
    for number in range(6):
        (tmp_path / f"m{number}.nii.gz").touch()
    before = plan_cohort(label_maps(tmp_path, counts), "x")
    for number in range(6, 9):
        (tmp_path / f"m{number}.nii.gz").touch()
    assert plan_cohort(label_maps(tmp_path, counts, maps=6), "x").equals(before)
    with pytest.raises(InputError, match=r"9 label maps in this folder, and the config takes 10.*source\.maps"):
        plan_cohort(label_maps(tmp_path, counts, maps=10), "x")


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [("labels", "gone.tsv", "no such protocol of labels"), ("histogram_reference", "gone.nii", "no such image")],
)
def test_what_steps_start_from_is_there_before_anything_runs(tmp_path, key, value, problem):
    for number in range(6):
        (tmp_path / f"m{number}.nii.gz").touch()
    dataset = label_maps(tmp_path, {"train": None, "val": 2, "test": 2})
    plan_cohort(dataset, "x")
    dataset["preprocessing"][key] = value
    with pytest.raises(InputError, match=problem) as caught:
        plan_cohort(dataset, "x")
    assert caught.value.source == value


def test_several_images_of_each_training_map(tmp_path):
    for number in range(6):
        (tmp_path / f"m{number}.nii.gz").touch()
    counts = {"train": None, "val": 2, "test": 2}
    once, table = (plan_cohort(label_maps(tmp_path, counts, renderings=number), "x") for number in (1, 3))
    assert table["split"].value_counts().to_dict() == {"train": 6, "val": 2, "test": 2}
    assert table.loc[once.index].equals(once)  # the others are added: nothing that was there is drawn anew
    first = once.index[once["split"] == "train"][0]
    assert table.at[f"{first}-rendering-3", "label_map"] == once.at[first, "label_map"]
    assert table["image"].is_unique
