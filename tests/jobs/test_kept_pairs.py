"""Pairs that are done stay done: after an interruption, in a larger cohort, and under no other settings."""

import errno
import json
import math
import os

import numpy as np
import pandas as pd
import pytest

from smgicnet.cohort.participants import shards, unordered_pairs
from smgicnet.core.errors import InputError
from smgicnet.imaging.images import write_volume
from smgicnet.jobs import align as align_job
from smgicnet.jobs import register as register_job
from smgicnet.jobs.align import align_pairs
from smgicnet.jobs.kept_pairs import NAME, KeptPairs, identity
from smgicnet.preparation.affine import AffineConfig
from smgicnet.preparation.alignments import Alignment, read_alignments
from tests.support.images import SHAPE, blobs
from tests.support.methods import block
from tests.support.registering import SCORING, register

PAIRS = {("a", "b"): "1", ("a", "c"): "2", ("b", "c"): "3"}


class Killed(BaseException):
    """As SIGKILL: nothing after it runs."""


def test_a_result_comes_back_as_it_was(tmp_path):
    result = {"rows": [["a", "b", "dice", "mean", 0.1 + 0.2], ["a", "b", "hd95_mm", "x", math.nan]]}
    KeptPairs(tmp_path / "0", PAIRS).add(("a", "b"), result)
    again = KeptPairs(tmp_path / "0", PAIRS).get(("a", "b"))
    assert again["rows"][0] == result["rows"][0]
    assert math.isnan(again["rows"][1][4])
    assert KeptPairs(tmp_path / "0", PAIRS).get(("a", "c")) is None


def test_other_settings_are_other_results(tmp_path):
    KeptPairs(tmp_path / "0", PAIRS).add(("a", "b"), 5)
    assert KeptPairs(tmp_path / "0", {**PAIRS, ("a", "b"): "other"}).get(("a", "b")) is None
    assert KeptPairs(tmp_path / "1", PAIRS).get(("a", "b")) == 5  # a pair may move to another job
    assert KeptPairs(tmp_path / "0", {("b", "a"): "1"}).get(("b", "a")) is None


@pytest.mark.parametrize("cut", [1, 3, 8, 13])
def test_half_a_line_is_no_result_and_spoils_none(tmp_path, cut):
    kept = KeptPairs(tmp_path / "0", PAIRS)
    kept.add(("a", "b"), [1, 2, 3])
    kept.add(("a", "c"), [4, 5, 6])
    path = tmp_path / "0" / NAME
    path.write_bytes(path.read_bytes()[:-cut])
    again = KeptPairs(tmp_path / "0", PAIRS)
    assert again.get(("a", "b")) == [1, 2, 3]
    assert again.get(("a", "c")) == ([4, 5, 6] if cut == 1 else None)  # the end of the line alone is missing
    again.add(("b", "c"), [7])
    assert KeptPairs(tmp_path / "0", PAIRS).get(("b", "c")) == [7]


def test_tidying_drops_other_settings_and_torn_lines_of_the_jobs_own_pairs(tmp_path):
    before = KeptPairs(tmp_path / "0", {("a", "b"): "old", ("x", "y"): "1"})
    before.add(("a", "b"), 1)
    before.add(("x", "y"), 3)
    with open(tmp_path / "0" / NAME, "a") as file:
        file.write("a\tc\t2\t[1, \nx\tz\t")  # torn: one of the job's own pairs, and one that is not
    kept = KeptPairs(tmp_path / "0", PAIRS)
    kept.add(("a", "b"), 2)
    kept.tidy()
    assert (tmp_path / "0" / NAME).read_text() == "x\ty\t1\t3\na\tb\t1\t2\n"


def test_a_file_of_another_job_that_cannot_be_read_is_left_out(tmp_path, caplog):
    (tmp_path / "1" / NAME).mkdir(parents=True)
    kept = KeptPairs(tmp_path / "0", PAIRS)
    assert "cannot be read" in caplog.text
    kept.add(("a", "b"), 1)


def test_a_full_disk_is_said_and_what_was_kept_stays(tmp_path, monkeypatch):
    kept = KeptPairs(tmp_path / "0", PAIRS)
    kept.add(("a", "b"), 1)

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"pairs\.kept: cannot be written: the disk is full"):
        kept.add(("a", "c"), 2)
    monkeypatch.undo()
    assert KeptPairs(tmp_path / "0", PAIRS).get(("a", "b")) == 1


@pytest.mark.parametrize("place", ["first", "last"])
@pytest.mark.parametrize(("size", "count"), [(9, 10), (9, 9), (36, 9), (4, 13), (1024, 6), (15, 6)])
def test_a_larger_cohort_does_its_new_pairs_alone_however_they_are_cut_into_jobs(tmp_path, size, count, place):
    names = [f"s{number:02}" for number in range(count)]
    more = ["new", *names] if place == "first" else [*names, "new"]

    def run(subjects):
        done = []
        for number, pairs in enumerate(shards(subjects, size)):
            kept = KeptPairs(tmp_path / str(number), dict.fromkeys(pairs, "x"))
            for pair in kept.left:
                kept.add(pair, 1)
                done.append(pair)
            kept.tidy()
        return done

    assert len(run(names)) == count * (count - 1) // 2
    done = run(more)
    assert len(done) == count
    assert all("new" in pair for pair in done)
    assert run(more) == []


def test_an_identity_is_of_every_fact():
    assert identity(1, {"a": 2, "b": 3}) == identity(1, {"b": 3, "a": 2})
    assert len({identity(1, {"a": 2}), identity(2, {"a": 2}), identity(1, {"a": 3})}) == 3


def test_an_interrupted_job_goes_on_with_the_pairs_that_are_left(tmp_path, subjects, registered, monkeypatch):
    undisturbed = register(tmp_path / "undisturbed", subjects, ["s1", "s2", "s3"])
    registered.clear()
    real = KeptPairs.add

    def killed(self, pair, result):
        real(self, pair, result)
        if pair == ("s1", "s3"):
            raise Killed

    monkeypatch.setattr(KeptPairs, "add", killed)
    with pytest.raises(Killed):
        register(tmp_path / "run", subjects, ["s1", "s2", "s3"])
    assert not (tmp_path / "run/0/metrics.csv").exists()
    registered.clear()
    monkeypatch.setattr(KeptPairs, "add", real)
    again = register(tmp_path / "run", subjects, ["s1", "s2", "s3"])
    assert registered == [("s2", "s3"), ("s3", "s2")]
    pd.testing.assert_frame_equal(again, undisturbed)


def test_another_subject_registers_only_the_pairs_with_it(tmp_path, subjects, registered):
    register(tmp_path / "run", subjects, ["s1", "s2", "s3"])
    registered.clear()
    more = register(tmp_path / "run", subjects, ["s1", "s2", "s3", "s4"])
    assert all("s4" in pair for pair in registered)
    assert len(registered) == 6
    pd.testing.assert_frame_equal(more, register(tmp_path / "new", subjects, ["s1", "s2", "s3", "s4"]))
    registered.clear()
    register(tmp_path / "run", subjects, ["s1", "s2", "s3", "s4"])
    assert not registered


@pytest.mark.parametrize("what", ["code", "image", "labels", "config", "scoring"])
def test_what_results_depend_on_registers_again(tmp_path, subjects, registered, what):
    register(tmp_path / "run", subjects, ["s1", "s2", "s3"])
    registered.clear()
    config, code, scoring = block("initial"), "x", SCORING
    if what == "config":
        config["label"] = "another"
    elif what == "code":
        code = "y"
    elif what == "scoring":
        scoring = SCORING | {"dice": "2"}
    else:
        other = {"image": blobs(9)[0, 0].numpy(), "labels": np.full(SHAPE, 3, np.uint8)}
        write_volume(getattr(subjects["s3"], what), other[what], np.eye(4))
    register(tmp_path / "run", subjects, ["s1", "s2", "s3"], config, code, scoring)
    assert len(registered) == (4 if what in ("image", "labels") else 6)


def test_a_record_names_all_that_its_pairs_were_made_with(tmp_path, subjects, monkeypatch):
    monkeypatch.setattr(register_job, "hardware", lambda: "an old machine")
    register(tmp_path / "run", subjects, ["s1", "s2"])
    monkeypatch.setattr(register_job, "hardware", lambda: "a new machine")
    register(tmp_path / "run", subjects, ["s1", "s2", "s3"])
    record = json.loads((tmp_path / "run/0/registration.json").read_text())
    assert record["hardware"] == ["an old machine", "a new machine"]
    assert len(record["versions"]) == 1


def test_alignments_are_kept_too(tmp_path, subjects, monkeypatch):
    done = []

    def align(fixed, moving, config):
        done.append((fixed.stem, moving.stem))
        return Alignment(np.eye(4) + len(done) / 7, 0.1)

    monkeypatch.setattr(align_job, "align", align)
    images = {name: files.image for name, files in subjects.items()}
    out, config = tmp_path / "alignments/0", AffineConfig("ants", 90)
    for names in (["s1", "s2"], ["s1", "s2", "s3"]):
        align_pairs(unordered_pairs(names), images, config, out / "alignments.json", out / "record.json")
    assert done[:2] == [("s1", "s2"), ("s2", "s1")]
    assert len(done) == 6
    assert all("s3" in pair for pair in done[2:])
    found = read_alignments(out / "alignments.json")
    assert len(found) == 6
    np.testing.assert_array_equal(found["s2", "s1"].matrix, np.eye(4) + 2 / 7)
    align_pairs(unordered_pairs(["s1", "s2"]), images, config, out / "alignments.json", out / "record.json", code="new")
    assert len(done) == 8
