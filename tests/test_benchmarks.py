"""The benchmark of registrations: who is registered to whom, other voxels, scores and the table."""

import json
import re
import subprocess
import sys

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nibabel.affines import apply_affine

from benchmarks.programs import measured
from benchmarks.records import RECORDS, make_record
from benchmarks.registration import Bench, read_people, resampled, ring, scored, table_of, turned_by
from benchmarks.stages import forms
from smgicnet.config.qualities import qualities
from tests.support import ROOT

SHAPE = 20, 22, 24
THALAMUS, PALLIDUM = 10, 13


@pytest.fixture
def table(tmp_path):
    """Three people that test, whose two regions lie ever further to the left, and one that does not test."""
    rows = []
    for number, split in enumerate(("test", "test", "test", "val")):
        labels = np.zeros(SHAPE, np.uint8)
        labels[4 + number : 10 + number, 4:18, 4:20] = THALAMUS
        labels[10 + number : 16 + number, 4:18, 4:20] = PALLIDUM
        name = f"person-{number}"
        for kind, data in (("image", labels.astype(np.float32)), ("labels", labels)):
            nib.save(nib.Nifti1Image(data, np.eye(4)), tmp_path / f"{name}-{kind}.nii.gz")
        rows.append({"subject": name, "image": f"{name}-image.nii.gz", "labels": f"{name}-labels.nii.gz"})
        rows[-1]["split"] = split
    path = tmp_path / "participants.tsv"
    pd.DataFrame(rows).to_csv(path, sep="\t", index=False)
    return path


def test_people_of_a_split_are_registered_in_a_ring(table):
    people = read_people(table, "test")
    assert ring(people) == [("person-0", "person-1"), ("person-1", "person-2"), ("person-2", "person-0")]
    assert ring(read_people(table, "val")) == []


def test_a_displacement_is_scored_by_the_regions_that_it_brings_together(table):
    people = read_people(table, "test")
    pair = people["person-0"], people["person-1"]
    still = scored(np.zeros((*SHAPE, 3), np.float32), *pair)
    moved = scored(np.broadcast_to(np.float32([1, 0, 0]), (*SHAPE, 3)).copy(), *pair)
    assert still["dice"] == pytest.approx(10 / 12)  # 5 of 6 layers
    assert moved["dice"] == pytest.approx(1)
    assert moved["dice_deep"] == moved["dice"]
    assert np.isnan(moved["dice_ventricles"])
    assert moved["ndv_percent"] == 0


def test_images_of_other_voxels_show_the_same_in_the_same_place(table, tmp_path):
    people = read_people(table, "test")
    thick = resampled(people, (1, 1, 6), tmp_path / "thick")["person-1"]
    seen = nib.load(thick.image)
    assert seen.header.get_zooms() == (1, 1, 6)
    assert seen.shape == (20, 22, 4)
    assert thick.scored is people["person-1"].scored
    whole = np.asarray(nib.load(people["person-1"].image).dataobj)
    inside = np.asarray(seen.dataobj)
    middle = [(a.sum((1, 2)) * np.arange(20)).sum() / a.sum() for a in (inside, whole)]
    assert middle[0] == pytest.approx(middle[1], abs=0.01)
    assert seen.affine[2, 3] == 2.5  # the first slice is as thick as six, from -0.5 to 5.5 mm


def test_a_turned_image_is_led_back_to_where_it_lay(table, tmp_path):
    person = read_people(table, "test")["person-0"]
    turned, back = turned_by(person, 60, tmp_path / "turned")
    middles = []
    for path, world in ((person.image, np.eye(4)), (turned.image, back)):
        image = nib.load(path)
        data = np.asarray(image.dataobj)
        middle = np.argwhere(data > 0).T @ data[data > 0] / data.sum()
        middles.append(apply_affine(world @ image.affine, middle))
    np.testing.assert_allclose(*middles, atol=0.05)
    assert np.trace(back[:3, :3]) == pytest.approx(1 + 2 * np.cos(np.pi / 3))


def test_a_program_that_turns_with_the_head_is_consistent(table, tmp_path, monkeypatch):
    """What stands in for a program knows the turn: the distance is 0 with it, and not without."""
    fixed, moving = (read_people(table, "test")[f"person-{n}"] for n in (0, 1))
    there = np.linalg.inv(turned_by(moving, 40, tmp_path / "images")[1])
    places = apply_affine(fixed.scored.affine, np.stack(np.indices(SHAPE), -1))
    found = {"": np.zeros((*SHAPE, 3)), "-turned-40": apply_affine(there, places) - places}
    monkeypatch.setattr(Bench, "register", lambda *_: {})
    monkeypatch.setattr(Bench, "displacement", lambda _self, _key, _fixed, moving: found[moving.change])
    assert Bench(tmp_path, 1).pose_consistency("any", fixed, moving, 40) == pytest.approx(0, abs=1e-6)
    found["-turned-40"] = found[""]
    assert Bench(tmp_path, 1).pose_consistency("any", fixed, moving, 40) > 3


def test_a_command_is_measured_and_one_that_fails_ends_the_run(tmp_path):
    found = measured(["python3", "-c", "sum(range(5_000_000))"], 1, tmp_path / "log.txt")
    assert 0.01 < found["cpu_s"] < 60
    assert found["memory_mib"] > 1
    with pytest.raises(SystemExit, match="failed: see"):
        measured(["python3", "-c", "raise SystemExit(3)"], 1, tmp_path / "log.txt")


def test_the_table_has_the_mean_and_the_worst_pair_and_no_column_without_values():
    rows = [{"program": "greedy", "dice": dice, "endpoint_error_mm": np.nan, "cpu_s": 10.0} for dice in (0.5, 0.7)]
    assert table_of(pd.DataFrame(rows)).splitlines() == [
        "| | Dice | worst pair | CPU s |",
        "|---|---|---|---|",
        "| greedy | 0.6000 | 0.500 | 10 |",
    ]


def test_the_stages_end_in_the_qualities():
    found = {name: block for name, block in forms().items() if "(`" in name}
    assert list(found.values()) == [qualities()["default"], qualities()["best"]]
    assert forms()["the network"] == qualities()["fast"]


@pytest.mark.long
def test_the_benchmark_of_speed_runs_and_its_tables_are_those_of_its_record(tmp_path):
    printed = tmp_path / "bench.md"
    with open(printed, "w") as file:
        subprocess.run([sys.executable, "-m", "benchmarks", "--quick"], cwd=ROOT, stdout=file, check=True)

    def names(tables):
        return {re.sub(r"\d+ (cubed|channels)", "", title) for title in tables}

    stored = json.loads((RECORDS / "bench.json").read_text())["tables"]
    assert names(make_record(printed, {"command": "make bench"})["tables"]) == names(stored)
