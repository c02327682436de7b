"""The table of participants: everyone in it is read, splits and pairs are drawn from it, what is wrong is said."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from smgicnet.cohort.participants import (
    draw_splits,
    pairs_without,
    people_of,
    read_excluded,
    read_participants,
    shards,
    some_pairs,
    unordered_pairs,
    write_participants,
)
from smgicnet.cohort.sources import plan_cohort
from smgicnet.core.errors import InputError
from smgicnet.imaging.images import write_volume
from tests.support.scans import good_image, good_labels


def test_nobody_vanishes_between_two_quotation_marks(tmp_path):
    for name in "abcde":
        (tmp_path / f"{name}.nii").touch()
    rows = [f'{name}\t{name}.nii\t{name}.nii\t{"train" if name < "c" else "test"}\t"{name}' for name in "abcde"]
    (tmp_path / "p.tsv").write_text("\n".join(["subject\timage\tlabels\tsplit\tnote", *rows]))
    assert list(read_participants(tmp_path / "p.tsv").index) == list("abcde")


def test_the_users_own_table_is_never_what_the_workflow_writes(tmp_path):
    dataset = {"source": {"kind": "participants", "path": str(tmp_path / "participants.tsv")}}
    dataset["preprocessing"] = {"segmentation": "given"}
    (tmp_path / "participants.tsv").write_text("subject\timage\n")
    (tmp_path / "link.tsv").symlink_to("participants.tsv")
    for name in ("participants.tsv", "link.tsv"):
        dataset["source"]["path"] = str(tmp_path / name)
        with pytest.raises(InputError, match=r"would replace the input\. Move your table") as caught:
            plan_cohort(dataset, tmp_path)
        assert caught.value.source == str(tmp_path / name)


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
    assert str(tmp_path) not in (tmp_path / "deep" / "copy.tsv").read_text()  # relative: it can be moved with its files
    again = read_participants(tmp_path / "deep" / "copy.tsv")
    assert [Path(p).resolve() for p in again["image"]] == [Path(p).resolve() for p in read["image"]]
    assert again["split"].equals(read["split"])


def test_landmarks_are_paths_as_images_are(table, tmp_path):
    path, rows = table
    (tmp_path / "l6.csv").write_text("x,y,z\n1,2,3\n")
    marked = [[*row, "l6.csv" if row[0] == "s6" else ""] for row in rows]
    save_table(path, marked, "subject\timage\tlabels\tsplit\tlandmarks")
    read = read_participants(path)
    assert read["landmarks"].tolist() == [""] * 6 + [str(tmp_path / "l6.csv")]
    (tmp_path / "deep").mkdir()
    write_participants(read, tmp_path / "deep" / "copy.tsv")
    again = read_participants(tmp_path / "deep" / "copy.tsv")
    assert Path(again.at["s6", "landmarks"]).resolve() == (tmp_path / "l6.csv").resolve()
    (tmp_path / "l6.csv").unlink()
    with pytest.raises(InputError, match=r"the landmarks of s6, .*l6\.csv', does not exist"):
        read_participants(path)


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


def test_a_pair_of_which_one_is_excluded_is_left_out(tmp_path):
    (tmp_path / "one.txt").write_text("b\n")
    (tmp_path / "two.txt").write_text("d\ne\n")
    excluded = read_excluded([tmp_path / "one.txt", tmp_path / "two.txt"])
    assert excluded == {"b", "d", "e"}
    assert pairs_without([("a", "b"), ("a", "c"), ("b", "d"), ("d", "c")], excluded) == [("a", "c")]
    assert pairs_without([["a", "b"]], read_excluded([])) == [("a", "b")]


@pytest.mark.parametrize("size", [2, 3, 6, 7])
def test_some_pairs_are_ordered_pairs_without_end_or_repetition(size):
    names = [f"s{number}" for number in range(size)]
    every = some_pairs([names], 1000, 1)
    assert len(every) == len(set(every)) == size * (size - 1)
    assert all(fixed != moving for fixed, moving in every)
    for count in (0, 1, 3):
        assert some_pairs([names], count, 1) == every[:count]
    for role in (0, 1):  # once around the ring everyone is fixed once, and moving once
        assert sorted(pair[role] for pair in every[:size]) == names
    assert len({name for pair in every[: size // 2] for name in pair}) == size // 2 * 2


def test_some_pairs_depend_on_the_seed_and_not_on_the_order_of_subjects():
    names = [f"s{number}" for number in range(6)]
    assert some_pairs([names], 3, 1) == some_pairs([names[::-1]], 3, 1) != some_pairs([names], 3, 2)
    assert some_pairs([["one"], []], 3, 1) == some_pairs([], 3, 1) == []


def test_some_pairs_are_of_every_group_in_turn():
    groups = [["a1", "a2"], ["b1", "b2", "b3"], ["c1", "c2"]]
    every = some_pairs(groups, 100, 1)
    assert len(every) == 2 + 6 + 2
    assert all(fixed[0] == moving[0] for fixed, moving in every)
    assert {fixed[0] for fixed, _ in every[:3]} == {*"abc"}
    assert every == some_pairs(groups[::-1], 100, 1)


def test_twins_of_an_anatomy_are_one_person():
    rows = [("a1", "test", "a"), ("a2", "test", "a"), ("b1", "test", "b"), ("c1", "train", "c"), ("c2", "train", "c")]
    table = pd.DataFrame(rows, columns=["subject", "split", "anatomy"]).set_index("subject")
    assert people_of(table) == {"a1": "a", "a2": "a"}  # b has no twin among those that are tested, and c trains
    assert people_of(table.drop(columns="anatomy")) == {}
    assert people_of(table.assign(anatomy="")) == {}
