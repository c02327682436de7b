"""Jobs of changed heads: what is scored of them, and what is done again."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from nibabel.affines import apply_affine

from smgicnet.core.layout import shown_files
from smgicnet.imaging.displacements import read_itk, to_voxels, voxel_grid
from smgicnet.imaging.images import read_image, write_volume
from smgicnet.jobs.change import read_change
from smgicnet.jobs.register import ShardOutputs
from smgicnet.jobs.register_changed import register_changed, register_changed_shown
from smgicnet.jobs.registering import Measured, MethodFiles, PairRegistration
from smgicnet.methods.contract import Registration, RegistrationFailed
from smgicnet.preparation.alignments import Alignment, write_alignments
from smgicnet.preparation.changes import Changes, Variant
from smgicnet.scoring.shown_change import ChangedPair
from tests.support.images import SHAPE, blobs
from tests.support.methods import block

VARIANTS = [Variant("rotation", 30), Variant("rotation", 90)]
PAIR = ("s1", "s2")


@pytest.fixture
def heads(tmp_path):
    """The folder of the changed heads of a subject. Their images are of any content, their labels those of another."""
    changes, folder = Changes((), 5.0, 1), tmp_path / "heads"
    for number, variant in enumerate([*VARIANTS, Variant("rotation", 180)], start=10):
        place = folder / variant.name
        place.mkdir(parents=True)
        data = blobs(number)[0, 0].numpy()
        write_volume(place / "image.nii", data, np.eye(4))
        write_volume(place / "labels.nii", np.where(data > 0.5, 2, 3).astype(np.uint8), np.eye(4))
        to_own = changes.to_own(variant, "s2", (np.array(SHAPE) - 1) / 2)
        (place / "change.json").write_text(json.dumps({"to_own": to_own.tolist()}))
    return {"s2": folder}


def scores(folder, subjects, heads, variants=VARIANTS, scoring="x", pairs=(PAIR,)):
    columns = {"dataset": "d", "arm": "raw", "method": "initial", "seed": "0"}
    outputs = ShardOutputs(columns, folder / "0/metrics.csv", folder / "0/registration.json")
    method = MethodFiles(block("initial"), None, "code")
    register_changed(method, pairs, subjects, heads, variants, outputs, alignments=[], scoring=scoring)
    rows = pd.read_csv(outputs.metrics, keep_default_na=False)
    timed = rows["metric"] == "seconds"
    assert (rows[timed]["value"].astype(float) > 0).all()
    return rows[~timed].reset_index(drop=True)


def poses(rows):
    chosen = rows[rows["metric"] == "pose_consistency_mm"]
    return dict(zip(chosen["severity"], chosen["value"].astype(float)))


def test_a_method_that_ignores_the_turn_is_as_far_off_as_the_head_was_moved(tmp_path, subjects, heads):
    rows = scores(tmp_path, subjects, heads)
    points = voxel_grid(SHAPE).reshape(-1, 3)  # every voxel has a label
    for variant in VARIANTS:
        to_own = read_change(heads["s2"] / variant.name / "change.json")
        expected = np.linalg.norm(apply_affine(to_own, points) - points, axis=1)
        assert poses(rows)[variant.severity] == pytest.approx(expected.mean())
        p95 = rows[(rows["metric"] == "pose_consistency_p95_mm") & (rows["severity"] == variant.severity)]["value"]
        assert float(p95.iloc[0]) == pytest.approx(np.percentile(expected, 95))


def test_a_method_that_knows_the_turn_has_none(tmp_path, subjects, heads, monkeypatch):
    def known(self, fixed, moving):
        """As it lies a shift; changed, the same through the map that undoes the change."""
        matrix = np.eye(4)
        matrix[:3, 3] = 1, -2, 0.5
        if "/" in moving:
            matrix = np.linalg.inv(read_change(heads["s2"] / moving.split("/")[1] / "change.json")) @ matrix
        points = voxel_grid(SHAPE)
        found = torch.from_numpy(np.moveaxis(apply_affine(matrix, points) - points, -1, 0))[None].float()
        return Measured(Registration(found, None, 1.0), {})

    monkeypatch.setattr(PairRegistration, "register", known)
    rows = scores(tmp_path, subjects, heads)
    assert [*poses(rows)] == [30, 90]
    assert max(poses(rows).values()) < 1e-4


def test_the_truth_is_that_of_the_subject_however_its_head_lies(tmp_path, subjects, heads):
    """A head that is sent to where the turn has moved it has no endpoint error; the truth here is the identity."""
    field = tmp_path / "none.nii"
    write_volume(field, np.zeros((*SHAPE, 3), np.float32), np.eye(4))
    known = {name: replace(files, truth=(field, field)) for name, files in subjects.items()}
    rows = scores(tmp_path, known, heads)
    errors = rows[rows["metric"] == "endpoint_error_mm"].set_index("severity")["value"].astype(float)
    assert errors[0] == 0  # the pair as it lies, under a method that moves nothing
    for degrees, distance in poses(rows).items():
        assert errors[degrees] == pytest.approx(distance)
    known["s2"] = replace(known["s2"], template="another anatomy")  # to which there is no truth
    assert "endpoint_error_mm" not in set(scores(tmp_path, known, heads)["metric"])


def test_rows_are_of_the_pair_as_it_lies_and_of_each_change(tmp_path, subjects, heads):
    rows = scores(tmp_path, subjects, heads)
    assert list(rows["severity"].unique()) == [0, 30, 90]
    assert set(rows["change"]) == {"rotation"}
    assert set(zip(rows["fixed"], rows["moving"])) == {PAIR}
    assert set(rows["method"]) == {"initial"}
    by = rows.groupby("severity")["metric"].unique()
    assert set(by[0]) == {"dice"}
    assert set(by[30]) == set(by[90]) == {"dice", "pose_consistency_mm", "pose_consistency_p95_mm"}
    dice = rows[(rows["metric"] == "dice") & (rows["roi"] == "mean")].set_index("severity")["value"]
    assert dice[0] != dice[30] != dice[90]  # of the labels of each head
    record = json.loads((tmp_path / "0/registration.json").read_text())
    assert record["pairs"] == 1
    assert len(record["hardware"]) == 1


def test_what_is_done_is_not_done_again(tmp_path, subjects, heads, registered):
    units = [PAIR, ("s1", "s2/rotation-30"), ("s1", "s2/rotation-90")]
    first = scores(tmp_path, subjects, heads)
    assert registered == units
    again = scores(tmp_path, subjects, heads)
    assert registered == units
    pd.testing.assert_frame_equal(first, again)
    more = scores(tmp_path, subjects, heads, [*VARIANTS, Variant("rotation", 180)])
    assert registered[3:] == [PAIR, ("s1", "s2/rotation-180")]  # beside what it is compared with
    assert list(more["severity"].unique()) == [0, 30, 90, 180]
    pd.testing.assert_frame_equal(more[more["severity"] < 180], first)


def test_a_job_that_is_cut_short_goes_on(tmp_path, subjects, heads, registered, monkeypatch):
    real, whole = PairRegistration.register, scores(tmp_path / "whole", subjects, heads)
    registered.clear()

    def cut(self, fixed, moving):
        if moving.endswith("90"):
            raise KeyboardInterrupt
        return real(self, fixed, moving)

    monkeypatch.setattr(PairRegistration, "register", cut)
    with pytest.raises(KeyboardInterrupt):
        scores(tmp_path, subjects, heads)
    monkeypatch.setattr(PairRegistration, "register", real)
    pd.testing.assert_frame_equal(scores(tmp_path, subjects, heads), whole)
    assert registered == [PAIR, ("s1", "s2/rotation-30"), PAIR, ("s1", "s2/rotation-90")]


@pytest.mark.parametrize("what", ["scoring", "moving", "head", "map"])
def test_what_has_changed_is_done_again(tmp_path, subjects, heads, registered, what):
    scores(tmp_path, subjects, heads)
    registered.clear()
    place = heads["s2"] / "rotation-30"
    if what in ("moving", "head"):
        path = subjects["s2"].image if what == "moving" else place / "image.nii"
        found = read_image(path)
        write_volume(path, found.data[::-1].copy(), found.affine)
    elif what == "map":
        (place / "change.json").write_text(json.dumps({"to_own": np.eye(4).tolist()}))
    scores(tmp_path, subjects, heads, scoring="y" if what == "scoring" else "x")
    only = [PAIR, ("s1", "s2/rotation-30")]
    assert registered == ([*only, ("s1", "s2/rotation-90")] if what in ("scoring", "moving") else only)


def test_without_pairs_there_are_no_rows(tmp_path, subjects, heads):
    assert scores(tmp_path, subjects, heads, pairs=()).empty


def test_a_changed_head_without_a_result_costs_itself_and_its_reason_is_kept(tmp_path, subjects, heads, monkeypatch):
    turned, real = ("s1", "s2/rotation-30"), PairRegistration.register

    def failing(self, fixed, moving):
        if (fixed, moving) == turned:
            raise RegistrationFailed("it was turned")
        return real(self, fixed, moving)

    monkeypatch.setattr(PairRegistration, "register", failing)
    rows = scores(tmp_path, subjects, heads)
    assert rows[rows["severity"] == 30]["metric"].tolist() == ["no_result_percent"]
    assert {"dice", "pose_consistency_mm"} <= set(rows[rows["severity"] == 90]["metric"])
    record = json.loads((tmp_path / "0/registration.json").read_text())
    assert record["without_result"] == [{"fixed": "s1", "moving": "s2/rotation-30", "reason": "it was turned"}]


CHOSEN = ChangedPair(*PAIR, VARIANTS[1])


def shown(folder, subjects, heads, alignments=(), chosen=CHOSEN):
    """What is shown of the chosen head: the warped image, the displacement in voxels, and the record."""
    method = MethodFiles(block("initial"), None, "code")
    register_changed_shown(method, chosen, subjects, heads, folder, alignments=alignments)
    if chosen is None:
        return list(folder.iterdir())
    warped, field = shown_files(folder, chosen.fixed, chosen.head)
    found = to_voxels(read_itk(field).data, np.eye(4), np.eye(4))
    return read_image(warped).data, found, json.loads((folder / "registration.json").read_text())


def test_the_pair_that_is_shown_is_registered_one_way(tmp_path, subjects, heads, registered):
    warped, field, record = shown(tmp_path / "shown", subjects, heads)
    assert registered == [("s1", "s2/rotation-90")]
    assert len(list((tmp_path / "shown").iterdir())) == 3
    np.testing.assert_allclose(warped, read_image(heads["s2"] / "rotation-90/image.nii").data, atol=1e-5)
    assert np.abs(field).max() < 1e-4  # of a method that moves nothing
    assert record["without_result"] == []


def test_in_the_affine_arm_it_is_aligned_as_its_changed_head_was(tmp_path, subjects, heads):
    matrix, path = np.eye(4), tmp_path / "alignments.json"
    matrix[:3, 3] = 2, 0, -1
    write_alignments(path, {("s1", "s2/rotation-90"): Alignment(matrix, 1.0)})
    _, field, _ = shown(tmp_path / "shown", subjects, heads, [path])
    np.testing.assert_allclose(field.reshape(3, -1).T, np.broadcast_to([2, 0, -1], (field[0].size, 3)), atol=1e-4)


def test_without_a_result_it_is_shown_as_it_lies_and_the_record_says_so(tmp_path, subjects, heads, monkeypatch):
    def failing(self, fixed, moving):
        raise RegistrationFailed("it was turned")

    monkeypatch.setattr(PairRegistration, "register", failing)
    warped, field, record = shown(tmp_path / "shown", subjects, heads)
    np.testing.assert_allclose(warped, read_image(heads["s2"] / "rotation-90/image.nii").data, atol=1e-5)
    assert np.abs(field).max() < 1e-4
    assert record["without_result"] == [{"fixed": "s1", "moving": "s2/rotation-90", "reason": "it was turned"}]


def test_without_a_choice_nothing_is_shown(tmp_path, subjects, heads, registered):
    assert shown(tmp_path / "shown", subjects, heads, chosen=None) == registered == []
