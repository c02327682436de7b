"""Scores of transforms from files: the workflow's own for its own fields, and the same on whatever grid labels lie."""

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from nibabel.affines import apply_affine

from smgicnet import cli
from smgicnet.cohort.subjects import SubjectFiles
from smgicnet.commands.score import score_transforms
from smgicnet.core.errors import InputError
from smgicnet.core.layout import shown_files
from smgicnet.imaging.displacements import to_world, write_itk
from smgicnet.imaging.field_formats import read_geometry, write_fsl
from smgicnet.imaging.grids import Grid
from smgicnet.imaging.images import write_volume
from smgicnet.jobs.register import ShardOutputs, register_shard, register_shown
from smgicnet.jobs.registering import MethodFiles
from smgicnet.methods.contract import Registration
from smgicnet.methods.weights import Weights, write_weights
from smgicnet.preparation.label_protocols import label_table, roi_names
from smgicnet.scoring import pair_metrics
from smgicnet.scoring.evaluation import score_pair
from smgicnet.scoring.metrics import SCORED
from smgicnet.scoring.overlap import warp_labels
from smgicnet.scoring.pair import ScoredSubject
from tests.support.grids import affine, centred
from tests.support.images import SHAPE as SMALL
from tests.support.images import blobs
from tests.support.methods import block, build

SHAPE = (24, 28, 26)
REGIONAL = [name for name, metric in SCORED.items() if metric.regions == "rois"]
BEYOND = ("parcels", "inverse_consistency", "integration_error", "endpoint_error", "tre", "seconds")
METRICS = {name for name in SCORED if not name.startswith(BEYOND)}


def label_map(seed):
    """Nested blobs of four ROIs."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(SHAPE, np.uint8)
    for label, (low, high) in {2: (3, 20), 3: (5, 12), 17: (12, 18), 10: (8, 15)}.items():
        edges = [sorted((low + rng.integers(0, 3), high + rng.integers(0, 3))) for _ in range(3)]
        labels[tuple(slice(*edge) for edge in edges)] = label
    return labels


@pytest.fixture
def case(tmp_path):
    """Two subjects on their common grids, turned against each other, and a field between them that folds somewhere."""
    names, turns = ("fixed", "moving"), (5, -8)
    exact = [centred(SHAPE, affine((3, 3, 3), angle=turn), (4, -2, turn)) for turn in turns]
    affines = [matrix.astype(np.float32).astype(float) for matrix in exact]  # as files have them
    subjects = [
        ScoredSubject(name, label_map(number), matrix, None, None)
        for number, (name, matrix) in enumerate(zip(names, affines, strict=True))
    ]
    for subject in subjects:
        write_volume(tmp_path / f"{subject.name}.nii.gz", subject.labels, subject.affine)
    coarse = torch.randn(1, 3, 6, 7, 6, generator=torch.Generator().manual_seed(0)) * 2
    u = torch.nn.functional.interpolate(coarse, SHAPE, mode="trilinear")
    write_itk(tmp_path / "u.nii.gz", to_world(u[0].numpy(), *affines), affines[0])
    return subjects, u, tmp_path


def by_the_workflow(subjects, u):
    return keyed(pd.DataFrame(score_pair(*subjects, Registration(u, None, 1.0), None, roi_names())))


def keyed(rows):
    found = rows[rows["metric"] != "seconds"].set_index(["metric", "roi"])["value"].sort_index()
    assert found.index.is_unique
    return found


def scored(folder, moving="moving.nii.gz", transform="u.nii.gz", **options):
    return keyed(score_transforms(folder / "fixed.nii.gz", folder / moving, [folder / transform], **options))


def test_the_workflows_own_fields_have_the_workflows_scores(case):
    subjects, u, folder = case
    found, expected = scored(folder), by_the_workflow(subjects, u)
    assert set(found.index.get_level_values("metric")) == METRICS
    assert expected["folds_percent", ""] > 0.1
    assert expected["rois", ""] == 4
    for metric in ("dice", "hd95_mm", "folds_percent", "folds_percent_grid"):
        pd.testing.assert_series_equal(found[metric], expected[metric], check_exact=True)
    pd.testing.assert_series_equal(found, expected, rtol=1e-4)


def test_only_ndv_is_missing_without_its_package(case, monkeypatch, caplog):
    with_all = scored(case[2])
    monkeypatch.setattr(pair_metrics, "find_spec", lambda name: None)
    found = scored(case[2])
    assert set(with_all.index) - set(found.index) == {("ndv_percent", "")}
    assert found.equals(with_all[found.index])
    assert "NDV is left out" in caplog.text


def test_a_run_of_the_workflow_and_its_files_have_the_same_scores(tmp_path):
    """The functions of its rules: the metrics of a pair, and the field that is kept of a pair to show."""
    method, config = build(), block()
    for level in method.network.levels:
        torch.nn.init.normal_(level.head.output.weight, std=0.5)  # a deformation that one sees
    weights = Weights(config, len(config["stages"]), Grid(SMALL, 4.0), method.network.state_dict())
    write_weights(weights, tmp_path / "w.pt")
    subjects = {}
    for number, name in enumerate(("a", "b")):
        matrix = centred(SMALL, affine((4, 4, 4), angle=10 * number), (3, number, 0))
        labels = np.zeros(SMALL, np.uint8)
        labels[3:9, 6:20, 4:12], labels[8:13, 10 + number : 25, 3:11] = 2, 3
        subjects[name] = SubjectFiles(name, tmp_path / f"{name}.nii.gz", tmp_path / f"{name}-labels.nii.gz")
        write_volume(subjects[name].image, blobs(number)[0, 0].numpy(), matrix, unit=True)
        write_volume(subjects[name].labels, labels, matrix)
    metrics = tmp_path / "0/metrics.csv"
    method, outputs = MethodFiles(config, tmp_path / "w.pt", ""), ShardOutputs({}, metrics, tmp_path / "record.json")
    register_shard(method, [("a", "b")], subjects, outputs, alignments=[], scoring=dict.fromkeys(SCORED, ""))
    images = {name: files.image for name, files in subjects.items()}
    register_shown(method, [("a", "b")], images, tmp_path / "shown", alignments=[])
    rows = pd.read_csv(metrics, keep_default_na=False)
    for fixed, moving in (("a", "b"), ("b", "a")):
        expected = rows[(rows["fixed"] == fixed) & rows["metric"].isin(METRICS)]
        ends = [subjects[name].labels for name in (fixed, moving)]
        found = score_transforms(*ends, [shown_files(tmp_path / "shown", fixed, moving)[1]])
        assert len(expected) == len(found) > 0
        assert keyed(expected)["sd_log_jacobian", ""] > 0.02
        pd.testing.assert_series_equal(keyed(found), keyed(expected.astype({"value": float})), rtol=1e-3)


def test_a_label_map_of_other_axes_and_size_has_the_same_scores(case):
    """Axes turned and mirrored, and cut where there is nothing: the labels are where they were in the world."""
    _, _, folder = case
    image = nib.load(folder / "moving.nii.gz")
    assert not np.asarray(image.dataobj)[:, :, 24:].any()
    cut = image.slicer[:, :, :24]
    for codes in ("LPS", "SRA", "LAS"):  # the last is a mirror image
        target = nib.orientations.axcodes2ornt(codes)
        turned = cut.as_reoriented(nib.orientations.ornt_transform(nib.orientations.io_orientation(cut.affine), target))
        nib.save(turned, folder / f"{codes}.nii.gz")
        assert turned.shape != SHAPE
        found, expected = scored(folder, f"{codes}.nii.gz"), scored(folder)
        pd.testing.assert_series_equal(found["dice"], expected["dice"], atol=2e-3)
        pd.testing.assert_series_equal(found, expected, rtol=0.02, atol=2e-3)


def test_a_finer_label_map_has_the_same_folds(case):
    """Each voxel is cut in 2 by 1 by 3: Jacobians must not count the voxels' sizes."""
    _, _, folder = case
    image = nib.load(folder / "moving.nii.gz")
    data = np.asarray(image.dataobj).repeat(2, axis=0).repeat(3, axis=2)
    matrix = image.affine @ np.array([[1 / 2, 0, 0, -1 / 4], [0, 1, 0, 0], [0, 0, 1 / 3, -1 / 3], [0, 0, 0, 1]])
    nib.save(nib.Nifti1Image(data, matrix), folder / "fine.nii.gz")
    found, expected = scored(folder, "fine.nii.gz"), scored(folder)
    pd.testing.assert_series_equal(found, expected, rtol=0.02, atol=2e-3)


def test_labels_of_another_size_are_warped_by_voxels():
    labels = np.arange(1, 61, dtype=np.uint8).reshape(3, 4, 5)
    shift = torch.tensor([1.0, 0, -1]).view(1, 3, 1, 1, 1).expand(1, 3, 4, 3, 6)
    warped = warp_labels(labels, shift)
    expected = np.zeros((4, 3, 6), np.uint8)
    expected[:2, :, 1:] = labels[1:, :3, :]
    np.testing.assert_array_equal(warped, expected)


def test_fsls_warp_is_scored_by_the_image_that_it_was_made_for(case):
    _, _, folder = case
    subject = nib.load(folder / "moving.nii.gz")
    other = centred((30, 20, 25), affine((2, 3, 4), (-1, 1, 1), 30), (0, 5, 0))
    write_volume(folder / "scan.nii.gz", np.zeros((30, 20, 25), np.float32), other)
    geometries = read_geometry(folder / "fixed.nii.gz"), read_geometry(folder / "scan.nii.gz")
    displacement = nib.load(folder / "u.nii.gz").get_fdata()[:, :, :, 0] * [-1, -1, 1]
    write_fsl(folder / "fsl.nii.gz", displacement, *geometries)
    expected = scored(folder)
    found = scored(folder, transform="fsl.nii.gz", moving_image=folder / "scan.nii.gz")
    pd.testing.assert_series_equal(found, expected, rtol=0.01, atol=1e-3)
    assert abs(scored(folder, transform="fsl.nii.gz") - expected)["dice", "mean"] > 0.05
    assert subject.shape == SHAPE


def test_without_a_transform_labels_are_compared_as_they_lie(case):
    subjects, _, folder = case
    found = keyed(score_transforms(folder / "fixed.nii.gz", folder / "fixed.nii.gz", []))
    assert found["dice", "mean"] == 1
    assert found["hd95_mm", "mean"] == 0
    assert found["folds_percent", ""] == found["sd_log_jacobian", ""] == 0
    lying = keyed(score_transforms(folder / "fixed.nii.gz", folder / "moving.nii.gz", []))
    to_moving = np.linalg.inv(subjects[1].affine) @ subjects[0].affine
    grid = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"))
    u = np.einsum("ij,jxyz->ixyz", to_moving[:3, :3], grid) + to_moving[:3, 3, None, None, None] - grid
    expected = by_the_workflow(subjects, torch.from_numpy(u[None].astype(np.float32)))
    assert 0 < lying["dice", "mean"] < 1
    pd.testing.assert_series_equal(lying["dice"], expected["dice"], atol=2e-3)


def test_on_the_command_line(case, capsys):
    subjects, u, folder = case
    arguments = ["--fixed-labels", str(folder / "fixed.nii.gz"), "--moving-labels", str(folder / "moving.nii.gz")]
    transform = ["--transform", str(folder / "u.nii.gz")]
    assert cli.main(["score", *arguments, *transform, "--out", str(folder / "out/scores.csv")]) == 0
    printed = capsys.readouterr().out
    expected = by_the_workflow(subjects, u)
    lines = {line.split()[0]: line.split()[1:] for line in printed.splitlines() if line.split()}
    assert lines["mean"] == [f"{expected[metric, 'mean']:.4f}" for metric in REGIONAL]
    assert lines["Left-Hippocampus"][0] == f"{expected['dice', 'Left-Hippocampus']:.4f}"
    assert lines["folds_percent"] == [f"{expected['folds_percent', '']:.4f}"]
    written = pd.read_csv(folder / "out/scores.csv", keep_default_na=False)
    assert list(written.columns) == ["fixed", "moving", "metric", "roi", "value"]
    assert set(written["metric"]) == METRICS
    assert cli.main(["score", *arguments, "--transform", str(folder / "none.nii.gz")]) == 2
    assert "none.nii.gz: no such file" in capsys.readouterr().err


def test_landmarks_give_the_target_registration_error(case, capsys):
    """The middle of the voxel at (8, 9, 10), and where the field sends it, 3 mm off along the world's first axis."""
    subjects, u, folder = case
    at = np.array([8, 9, 10])
    sent = apply_affine(subjects[1].affine, at + u[0, :, 8, 9, 10].numpy())
    for name, point in (("fixed", apply_affine(subjects[0].affine, at)), ("moving", np.add(sent, [3, 0, 0]))):
        (folder / f"{name}.csv").write_text("x,y,z\n{},{},{}\n".format(*point))
    labels = ["--fixed-labels", str(folder / "fixed.nii.gz"), "--moving-labels", str(folder / "moving.nii.gz")]
    arguments = ["score", *labels, "--transform", str(folder / "u.nii.gz")]
    points = ["--fixed-landmarks", str(folder / "fixed.csv"), "--moving-landmarks", str(folder / "moving.csv")]
    assert cli.main([*arguments, *points]) == 0
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("tre_mm")]
    assert float(line.split()[1]) == pytest.approx(3, abs=2e-3)
    assert cli.main([*arguments, *points[:2]]) == 2
    assert "landmarks of one image alone" in capsys.readouterr().err
    assert cli.main([*arguments, *points, "--out", str(folder / "moving.csv")]) == 2
    assert "would replace the input" in capsys.readouterr().err
    (folder / "moving.csv").write_text("x,y,z\n900,0,0\n")
    assert cli.main([*arguments, *points]) == 2
    assert "moving.csv: landmark 1, at (900, 0, 0) in RAS mm, is outside" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["fixed", "moving", "u"])
def test_scores_replace_no_input(case, capsys, name):
    _, _, folder = case
    before = (folder / f"{name}.nii.gz").read_bytes()
    arguments = ["--fixed-labels", str(folder / "fixed.nii.gz"), "--moving-labels", str(folder / "moving.nii.gz")]
    given = [*arguments, "--transform", f"[{folder / 'u.nii.gz'},0]", "--out", str(folder / f"{name}.nii.gz")]
    assert cli.main(["score", *given]) == 2
    assert "would replace the input" in capsys.readouterr().err
    assert (folder / f"{name}.nii.gz").read_bytes() == before


def test_transforms_may_be_given_as_to_ants(case, capsys):
    """``-t A -t B`` and ``-t A B`` are the same."""
    _, _, folder = case
    arguments = ["--fixed-labels", str(folder / "fixed.nii.gz"), "--moving-labels", str(folder / "moving.nii.gz")]
    twice = str(folder / "u.nii.gz")
    said = []
    for transforms in (["--transform", twice, twice], ["--transform", twice, "--transform", twice]):
        assert cli.main(["score", *arguments, *transforms]) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]


def test_labels_of_another_protocol(case):
    _, _, folder = case
    expected = scored(folder)
    seg35 = dict(zip(*(label_table("seg35")[column] for column in ("roi", "label"))))
    for name in ("fixed", "moving"):
        image = nib.load(folder / f"{name}.nii.gz")
        data = np.asarray(image.dataobj)
        renamed = sum((data == roi) * seg35[roi] for roi in (2, 3, 17, 10))
        write_volume(folder / f"{name}.nii.gz", renamed.astype(np.int16), image.affine)
    pd.testing.assert_series_equal(scored(folder, mapping="seg35"), expected)


def test_label_maps_with_cortical_parcels_have_their_scores(case, capsys):
    subjects, _, folder = case
    expected = scored(folder)
    for one in subjects:
        fine = one.labels.astype(np.int16)
        cortex = np.argwhere(fine == 3)
        back = cortex[cortex[:, 1] < 8]
        fine[fine == 3], fine[tuple(back.T)] = 1028, 1011
        write_volume(folder / f"{one.name}.nii.gz", fine, one.affine)
    found = scored(folder)
    pd.testing.assert_series_equal(found.drop("parcels_dice"), expected)  # cortex is cortex
    parcels = found["parcels_dice"]
    assert set(parcels.index) == {"ctx-lh-superiorfrontal", "ctx-lh-lateraloccipital", "mean"}
    assert 0 < parcels["mean"] < 1
    ends = ["--fixed-labels", str(folder / "fixed.nii.gz"), "--moving-labels", str(folder / "moving.nii.gz")]
    assert cli.main(["score", *ends, "--transform", str(folder / "u.nii.gz")]) == 0
    rois, fine, whole = capsys.readouterr().out.strip().split("\n\n")
    assert "parcels_dice" not in rois + whole
    assert fine.splitlines()[0].split() == ["parcels_dice"]
    assert [line.split() for line in fine.splitlines()][-1] == ["mean", f"{parcels['mean']:.4f}"]
    write_volume(folder / "moving.nii.gz", subjects[1].labels, subjects[1].affine)
    assert "parcels_dice" not in scored(folder)


def test_labels_that_cannot_be_scored_are_refused(case):
    _, _, folder = case
    write_volume(folder / "other.nii.gz", np.full(SHAPE, 500, np.int16), np.eye(4))
    write_volume(folder / "fractions.nii.gz", np.full(SHAPE, 0.5, np.float32), np.eye(4))
    for name, problem in {"other": "none of the 36 ROIs", "fractions": "whole numbers", "none": "no such file"}.items():
        with pytest.raises(InputError, match=rf"{name}\.nii\.gz: .*{problem}"):
            scored(folder, f"{name}.nii.gz")
    write_volume(folder / "high.nii.gz", np.full(SHAPE, 255, np.uint8), np.eye(4))
    with pytest.raises(InputError, match=r"none of the 36 ROIs is in it by seg35\.tsv"):
        scored(folder, "high.nii.gz", mapping="seg35")
