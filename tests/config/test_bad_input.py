"""Whatever is wrong with the input: a message with file, problem and remedy, before anything is trained."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from smgicnet import cli
from smgicnet.cohort.participants import draw_splits, read_participants, shards, unordered_pairs, write_participants
from smgicnet.cohort.sources import plan_cohort
from smgicnet.config.completion import complete, load
from smgicnet.core.errors import InputError
from smgicnet.imaging.grids import Grid
from smgicnet.imaging.images import write_volume
from smgicnet.methods.weights import read_weights
from smgicnet.preparation.preprocessing import prepare
from tests.support.faults import FILE_FAULTS, Payload
from tests.support.scans import good_image, good_labels, write

GRID = Grid((16, 16, 16), 4.0)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("fault", FILE_FAULTS, ids=lambda fault: fault.__name__)
def test_unusable_files(tmp_path, fault):
    image = write(tmp_path / "image.nii.gz", good_image())
    labels = write(tmp_path / "labels.nii.gz", good_labels())
    prepare(image, labels, GRID)
    fault(image, labels)
    which, problem = FILE_FAULTS[fault]
    with pytest.raises(InputError) as caught:
        prepare(image, labels, GRID)
    assert Path(caught.value.source).name.startswith(which)
    assert problem in caught.value.problem
    assert len(caught.value.remedy) > 10


@pytest.fixture
def table(tmp_path):
    """A good participants table of six subjects, and its rows."""
    rows = []
    for number, split in enumerate(["train", "train", "train", "val", "val", "test", "test"]):
        write_volume(tmp_path / f"s{number}.nii.gz", good_image(), np.diag([2.0, 2, 2, 1]))
        write_volume(tmp_path / f"s{number}_labels.nii.gz", good_labels(), np.diag([2.0, 2, 2, 1]))
        rows.append([f"s{number}", f"s{number}.nii.gz", f"s{number}_labels.nii.gz", split])
    return tmp_path / "participants.tsv", rows


def save_table(path, rows, header="subject\timage\tlabels\tsplit"):
    path.write_text("\n".join([header, *("\t".join(row) for row in rows)]) + "\n")


def edit(row, column, value):
    def change(rows):
        rows[row][column] = value
        return rows

    return change


TABLE_FAULTS = {
    "duplicate subject": (lambda rows: [*rows, rows[0]], "s0 stands in 2 rows"),
    "subject in two splits": (lambda rows: [*rows, [*rows[0][:3], "test"]], "s0 is in two splits (train, test)"),
    "one test subject": (lambda rows: rows[:-1], "1 test subject(s)"),
    "one train subject": (lambda rows: rows[2:], "1 train subject(s)"),
    "unknown split": (edit(0, 3, "training"), "unknown split 'training'"),
    "missing image": (edit(0, 1, "gone.nii.gz"), "does not exist"),
    "no image": (edit(0, 1, ""), "does not exist"),
    "ragged row": (lambda rows: [*rows, ["s9", "a", "b", "test", "what", "is", "this"]], "not a tab-separated table"),
    "missing labels": (edit(0, 2, "gone.nii.gz"), "does not exist"),
    "test subject without labels": (edit(6, 2, ""), "s6 has no labels"),
    "path in a name": (edit(0, 0, "../s0"), "'../s0' is not allowed"),
    "shell in a name": (edit(0, 0, "s0;ls"), "is not allowed"),
    "markup in a name": (edit(0, 0, "<b>s0"), "is not allowed"),
    "empty name": (edit(0, 0, ""), "is not allowed"),
}


@pytest.mark.parametrize("fault", TABLE_FAULTS)
def test_unusable_participants(table, fault):
    path, rows = table
    change, problem = TABLE_FAULTS[fault]
    save_table(path, change(rows))
    with pytest.raises(InputError) as caught:
        read_participants(path)
    assert caught.value.source == str(path)
    assert problem in caught.value.problem


def test_missing_columns_and_table(table, tmp_path):
    path, rows = table
    save_table(path, [row[1:] for row in rows], "image\tlabels\tsplit")
    with pytest.raises(InputError, match="'subject'"):
        read_participants(path)
    with pytest.raises(InputError, match="no such participants table"):
        read_participants(tmp_path / "none.tsv")
    save_table(path, [row[:3] for row in rows], "subject\timage\tlabels")
    with pytest.raises(InputError, match="no split column"):
        read_participants(path)
    with pytest.raises(InputError, match="9 subjects are asked for, 7 are there"):
        read_participants(path, {"train": 5, "val": 2, "test": 2})
    save_table(path, rows)
    with pytest.raises(InputError, match=r"split column, and the config has source\.splits"):
        read_participants(path, {"train": 3, "val": 2, "test": 2})
    path.write_bytes(b"")
    with pytest.raises(InputError, match="not a tab-separated table"):
        read_participants(path, {"train": 5, "val": 2, "test": 2})


def test_a_good_table_is_read_and_written_back(table, tmp_path):
    path, rows = table
    save_table(path, rows)
    read = read_participants(path)
    assert read.index.tolist() == [row[0] for row in rows]
    (tmp_path / "deep").mkdir()
    write_participants(read, tmp_path / "deep" / "copy.tsv")
    again = read_participants(tmp_path / "deep" / "copy.tsv")
    assert [Path(p).resolve() for p in again["image"]] == [Path(p).resolve() for p in read["image"]]
    assert again["split"].equals(read["split"])


def test_drawn_splits():
    names = [f"s{i:03d}" for i in range(314)]
    counts = {"train": 269, "val": 15, "test": 30}
    drawn = draw_splits(names, counts, seed=1)
    assert {split: drawn.count(split) for split in counts} == counts
    assert draw_splits(names, counts, seed=2) != drawn
    assert dict(zip(names[::-1], draw_splits(names[::-1], counts, seed=1))) == dict(zip(names, drawn))


@pytest.mark.parametrize(("subjects", "size"), [(2, 30), (6, 30), (30, 30), (60, 30), (7, 1), (11, 10)])
def test_shards_hold_every_pair_once(subjects, size):
    names = list(range(subjects))
    jobs = shards(names, size)
    assert max(map(len, jobs)) <= size
    assert sorted(tuple(sorted(pair)) for job in jobs for pair in job) == unordered_pairs(names)


def test_pair_counts_and_another_subject():
    assert [len(unordered_pairs(range(n))) for n in (30, 60)] == [435, 1770]
    before, after = shards(list(range(60)), 30), shards(list(range(61)), 30)
    assert after[: len(before)] == before


BASE = {"datasets": {"d": {"source": {"kind": "phantom"}}}, "methods": {"m": {"type": "smgicnet"}}}
CONFIG_FAULTS = {
    "unknown key": ({"seed": 3}, "'seed' was unexpected"),
    "typo deep inside": ({"methods": {"m": {"type": "smgicnet", "network": {"chanels": 8}}}}, "chanels"),
    "impossible value": ({"methods": {"m": {"type": "smgicnet", "network": {"channels": -3}}}}, "network.channels: -3"),
    "wrong type": ({"seeds": "one"}, "seeds"),
    "unknown method": ({"methods": {"m": {"type": "voxelfrog"}}}, "voxelfrog"),
    "unknown source": ({"datasets": {"d": {"source": {"kind": "cloud"}}}}, "cloud"),
    "grid that does not divide": (
        {"datasets": {"d": {"source": {"kind": "phantom"}, "grid": {"shape": [50, 48, 48]}}}}, "not divisible by 16",
    ),
    "too few stages": ({"methods": {"m": {"type": "smgicnet", "stages": [{"epochs": 1}]}}}, "stages has 1 entries"),
    "iterations and epochs": (
        {"methods": {"m": {"type": "smgicnet", "stages": [{"epochs": 1, "iterations": 1}] * 4}}}, "exactly one of them",
    ),
    "one direction with paired terms": (
        {"methods": {"m": {"type": "smgicnet", "network": {"symmetric": False}}}}, "compare two directions",
    ),
    "even window": (
        {"methods": {"m": {"type": "smgicnet", "objective": {"windows": [3, 4, 7, 9]}}}}, "objective.windows.1",
    ),
    "hostile dataset name": ({"datasets": {"../up": {"source": {"kind": "phantom"}}}}, "../up"),
    "one test subject": (
        {"datasets": {"d": {"source": {"kind": "phantom", "subjects": {"test": 1}}}}}, "subjects.test: 1",
    ),
    "weights and a network": (
        {"methods": {"m": {"type": "lapirn", "weights": "w.pt", "network": {"channels": 8}}}}, "['network'] stand",
    ),
    "weights that are not there": ({"methods": {"m": {"type": "lapirn", "weights": "none.pt"}}}, "no file none.pt"),
    "reference that does not run": (
        {"evaluation": {"reference": {"method": "smgicnt"}}}, "no method smgicnt runs in the arm raw",
    ),
    "unknown arm": ({"methods": {"m": {"type": "icnet", "arms": ["rigid"]}}}, "arms.0"),
    "unknown engine": ({"affine": {"engine": "elastix"}}, "affine.engine"),
    "a window that a coarser scale cannot have": (
        {"methods": {"m": {"type": "lapirn", "objective": {"windows": [3, 3, 7]}}}}, "objective.windows.1",
    ),
    "no datasets": ({"datasets": {}}, "datasets"),
    "not a number": (
        {"methods": {"m": {"type": "smgicnet", "objective": {"weights": {"smoothness": float("nan")}}}}}, "is nan",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", CONFIG_FAULTS)
def test_unusable_config(fault):
    complete(BASE)
    change, problem = CONFIG_FAULTS[fault]
    with pytest.raises(InputError) as caught:
        complete({**BASE, **change}, "my.yaml")
    assert caught.value.source == "my.yaml"
    assert problem in str(caught.value)


def test_config_files_that_are_none(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("a: [1,\nb")
    with pytest.raises(InputError, match="not valid YAML"):
        load(tmp_path / "bad.yaml")
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(InputError, match="no mapping"):
        load(tmp_path / "list.yaml")


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


def test_weights_that_are_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, content in {"text": "x", "tensors": {"a": torch.zeros(2)}, "payload": Payload()}.items():
        torch.save(content, tmp_path / f"{name}.pt")
        with pytest.raises(InputError, match="not a weights file"):
            read_weights(tmp_path / f"{name}.pt")
    assert not (tmp_path / "run-by-unpickling").exists()
    with pytest.raises(InputError, match="no such weights"):
        read_weights(tmp_path / "none.pt")


def test_command_line_says_it_in_one_line(tmp_path, capsys):
    arguments = [
        "--fixed",
        "f.nii.gz",
        "--moving",
        "m.nii.gz",
        "--weights",
        str(tmp_path / "w.pt"),
        "--out",
        str(tmp_path),
    ]
    assert cli.main(["register", *arguments]) == 2
    error = capsys.readouterr().err
    assert "w.pt: no such weights file" in error
    assert error.count("\n") == 1
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({**BASE, "sedes": [1]}))
    assert cli.main(["check", str(path)]) == 1
    assert "sedes" in capsys.readouterr().out
    path.write_text(yaml.safe_dump(BASE))
    assert cli.main(["check", str(path)]) == 0
    assert "16 train, 2 val, 6 test; 15 test pairs" in capsys.readouterr().out
