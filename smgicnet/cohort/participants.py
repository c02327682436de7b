"""The members of a cohort: the participants table, its splits and its pairs. `sources` says where they come from."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, product, zip_longest
from math import isqrt
from pathlib import Path

import numpy as np
import pandas as pd

from smgicnet.core.errors import InputError
from smgicnet.core.tab_separated import read_tsv, write_tsv

SPLITS = ("train", "val", "test")
COLUMNS = ("subject", "image", "labels", "split")
FILE_COLUMNS = ("image", "labels", "mask", "landmarks")
TRUTH_COLUMNS = ("to_template", "from_template")
ANATOMY = "anatomy"  # the name of the template that the true transforms lead to, where there are several
SUBJECT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def read_participants(
    path: str | Path, counts: Mapping[str, int] | None = None, seed: int = 0, *, segmented: bool = False
) -> pd.DataFrame:
    """Read and check a ``participants.tsv``.

    Parameters
    ----------
    path : tab-separated, columns ``subject image labels mask landmarks split`` and, where the true transforms are
        known, ``to_template from_template``, with ``anatomy`` where these lead to several templates; file paths are
        relative to the table's folder
    counts, seed : when the table has no ``split`` column, draw that many of each split (see `draw_splits`)
    segmented : whether label maps will be made, so that none have to be given

    Returns a frame indexed by subject, in the table's order. Raises `InputError` for anything unusable.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(path, "no such participants table", "Give a tab-separated file as docs/reproduce.md describes")
    table = read_tsv(path, f"Give the columns {COLUMNS}")
    missing = {"subject", "image"} - set(table.columns)
    if missing:
        raise InputError(path, f"columns {sorted(missing)} are missing", f"Give the tab-separated columns {COLUMNS}")
    for column in {*FILE_COLUMNS, *TRUTH_COLUMNS} & set(table.columns):
        table[column] = [str(path.parent / value) if value else "" for value in table[column]]
    return complete_table(table, path, counts, seed, segmented=segmented)


def complete_table(
    table: pd.DataFrame, source: str | Path, counts: Mapping[str, int] | None, seed: int, *, segmented: bool
) -> pd.DataFrame:
    """Return a table of ``subject``, ``image`` and what else there is with its splits, checked, indexed by subject."""
    check_subjects(table["subject"], source)
    if "split" in table and counts:
        raise InputError(source, "it has a split column, and the config has source.splits", "Remove one of the two")
    if "split" not in table:
        if not counts:
            raise InputError(source, "there is no split column", "Add one, or give source.splits in the config")
        table["split"] = draw_splits(table["subject"], counts, seed, source=source)
    if "labels" not in table:
        table["labels"] = ""
    check_cohort(table, source, segmented=segmented)
    return table.set_index("subject")


def check_subjects(subjects: Iterable[str], path: str | Path) -> None:
    """Raise `InputError` for a name that is not safe in a path, a shell and a page."""
    for name in subjects:
        if not SUBJECT_NAME.fullmatch(name):
            raise InputError(
                path, f"the subject name {name!r} is not allowed", "Use letters, digits, '-' and '_', at most 64"
            )


def check_cohort(table: pd.DataFrame, path: str | Path, *, segmented: bool = False) -> None:
    """Raise `InputError` unless every subject appears once, in one known split, with files that exist."""
    for name, rows in table[table["subject"].duplicated(keep=False)].groupby("subject"):
        splits = rows["split"].unique()
        what = f"is in two splits ({', '.join(splits)})" if len(splits) > 1 else f"stands in {len(rows)} rows"
        raise InputError(path, f"subject {name} {what}", "Keep one row a subject")
    unknown = sorted(set(table["split"]) - {*SPLITS, ""})
    if unknown:
        raise InputError(path, f"unknown split {unknown[0]!r}", f"Use one of {SPLITS}, or leave it empty to exclude")
    check_sizes(table["split"], path)
    used = table[table["split"] != ""]
    unlabelled = used.loc[(used["labels"] == "") & (used["split"] != "train"), "subject"]
    if len(unlabelled) and not segmented:
        raise InputError(
            path,
            f"{unlabelled.iloc[0]} has no labels to be scored on",
            "Give labels for val and test, or choose a preprocessing.segmentation",
        )
    for column in [column for column in FILE_COLUMNS if column in used]:
        for subject, file in zip(used["subject"], used[column]):
            if (file or column == "image") and not os.path.isfile(file):
                raise InputError(path, f"the {column} of {subject}, {file!r}, does not exist", "Correct the path")


def check_sizes(splits: pd.Series, path: str | Path) -> None:
    """Raise `InputError` for a split in which there is no pair."""
    for split in SPLITS:
        have = int((splits == split).sum())
        if have < 2 and not (split == "val" and have == 0):  # without val subjects there is no validation curve
            raise InputError(path, f"{have} {split} subject(s), a pair needs 2", f"Put at least 2 into split {split}")


def draw_splits(
    subjects: Iterable[str], counts: Mapping[str, int], seed: int, source: str | Path = "source.splits"
) -> list[str]:
    """Draw a split for each subject, without replacement; subjects that are left over get ``""``.

    It depends on the seed and on the sorted names, not on their order. Raises `InputError` if there are too few.
    """
    subjects = list(subjects)
    needed = sum(counts.get(split, 0) for split in SPLITS)
    if needed > len(subjects):
        raise InputError(source, f"{needed} subjects are asked for, {len(subjects)} are there", "Lower the counts")
    names = [split for split in SPLITS for _ in range(counts.get(split, 0))]
    names += [""] * (len(subjects) - needed)
    order = np.random.default_rng(seed).permutation(len(subjects))
    assigned = dict(zip((sorted(subjects)[i] for i in order), names, strict=True))
    return [assigned[subject] for subject in subjects]


def write_participants(table: pd.DataFrame, path: str | Path) -> None:
    """Write a participants table (indexed by subject), file paths relative to its folder."""
    folder = Path(path).parent
    columns = (*COLUMNS, "mask", "landmarks", *TRUTH_COLUMNS, ANATOMY)
    table = table[[column for column in columns if column in table]].copy()
    for column in table.columns.difference(["split", ANATOMY]):
        table[column] = [Path(os.path.relpath(value, folder)).as_posix() if value else "" for value in table[column]]
    write_tsv(table.rename_axis("subject").reset_index(), path)


def read_excluded(paths: Iterable[str | Path]) -> set[str]:
    """Return the names of the subjects that quality control leaves out, a line each in a list; there may be no list."""
    return {name for path in paths for name in Path(path).read_text(encoding="utf-8").split()}


def pairs_without(pairs: Iterable[Sequence[str]], excluded: set[str]) -> list[tuple[str, str]]:
    """Return the pairs of which neither subject is excluded."""
    return [(first, second) for first, second in pairs if not excluded & {first, second}]


def unordered_pairs(subjects: Sequence[str]) -> list[tuple[str, str]]:
    """Return every unordered pair, C(n, 2) of them: 435 for 30 subjects, 1,770 for 60 (the paper prints 1,775)."""
    return list(combinations(subjects, 2))


def people_of(table: pd.DataFrame) -> dict[str, str]:
    """Return the person of each test subject that shares one with others, as twins of an anatomy do; often none."""
    if ANATOMY not in table:
        return {}
    anatomies = table.loc[table["split"] == "test", ANATOMY]
    return {str(name): str(person) for name, person in anatomies[anatomies.duplicated(keep=False)].items() if person}


def some_pairs(groups: Sequence[Sequence[str]], count: int, seed: int) -> list[tuple[str, str]]:
    """Return ``count`` ordered pairs within groups, (fixed, moving), drawn by ``seed``, or all where there are fewer.

    The subjects of a group are a ring in an order that the seed alone decides. First come its neighbours, then those
    that are two apart, and so on; groups take turns. As far as ``count`` allows it, pairs share no subject, and
    everyone is fixed and moving equally often. More pairs begin with the same ones.
    """

    def place(name: str) -> str:
        return hashlib.sha256(f"{seed}\t{name}".encode()).hexdigest()

    rings = sorted((sorted(group, key=place) for group in groups if group), key=lambda ring: place(ring[0]))
    turns = zip_longest(*map(_ring_pairs, rings))
    return [pair for turn in turns for pair in turn if pair][:count]


def _ring_pairs(ring: Sequence[str]) -> list[tuple[str, str]]:
    """Every ordered pair of a ring, nearest first; every second neighbour first, so that they share no subject."""
    size = len(ring)
    starts = [*range(0, size, 2), *range(1, size, 2)]
    return [(ring[i], ring[(i + apart) % size]) for apart in range(1, size) for i in starts]


def shards(subjects: Sequence[str], size: int) -> list[list[tuple[str, str]]]:
    """Return every unordered pair once, in jobs of at most ``size`` pairs that share few subjects.

    Subjects are cut into groups; a job is the pairs within a group or between two groups. A job of 30 pairs then
    reads 10 subjects instead of 31 or more, and another subject at the end leaves the jobs of all full groups as they
    were, in content and in number.
    """
    if len(subjects) * (len(subjects) - 1) // 2 <= size:
        return [unordered_pairs(subjects)]
    side = max(1, isqrt(size))
    groups = [subjects[start : start + side] for start in range(0, len(subjects), side)]
    jobs = []
    for number, group in enumerate(groups):
        jobs.append(unordered_pairs(group))
        jobs += [list(product(earlier, group)) for earlier in groups[:number]]
    return [pairs for pairs in jobs if pairs]


def shards_of_groups(groups: Sequence[Sequence[str]], size: int) -> list[list[tuple[str, str]]]:
    """Return every unordered pair within each group once, as `shards` has it; small groups share a job."""
    jobs: list[list[tuple[str, str]]] = []
    for group in groups:
        own = shards(group, size)
        if jobs and len(own) == 1 and len(jobs[-1]) + len(own[0]) <= size:
            jobs[-1] += own[0]
        else:
            jobs += own
    return jobs


def write_pairs(pairs: Iterable[tuple[str, str]], path: str | Path) -> None:
    """Write the test pairs, one unordered pair a row; each is registered in both directions."""
    write_tsv(pd.DataFrame(pairs, columns=["first", "second"]), path)
