"""Metrics against hand-computed values, brute force and closed-form fields."""

import math

import numpy as np
import pytest
import torch

from smgicnet.core.errors import InputError
from smgicnet.imaging.images import Volume
from smgicnet.imaging.landmarks import Landmarks
from smgicnet.methods.contract import Registration
from smgicnet.preparation.label_protocols import roi_names
from smgicnet.registration import fields
from smgicnet.scoring import pair as pair_module
from smgicnet.scoring.evaluation import score_pair
from smgicnet.scoring.jacobian import jacobian_metrics
from smgicnet.scoring.metrics import METRICS, SCORED, Metric
from smgicnet.scoring.overlap import dice
from smgicnet.scoring.pair import PairToScore, ScoredSubject
from smgicnet.scoring.pair_metrics import CORTEX, DEEP, ndv_percent, roundtrip_mm
from tests.support.images import label_blobs

SHAPE = (14, 16, 18)
ROIS = {2: "white matter", 3: "cortex", 17: "hippocampus", 255: "lesion"}


def zero_field(shape=SHAPE):
    return torch.zeros(1, 3, *shape)


def constant_field(shift):
    return torch.tensor(shift, dtype=torch.float32).view(1, 3, 1, 1, 1).expand(1, 3, *SHAPE).contiguous()


def linear_field(matrix, shape=SHAPE):
    """``u`` with ``phi(x) = M (x - c) + c`` about the grid's centre."""
    x = fields.identity_grid(shape) - torch.tensor([(n - 1) / 2 for n in shape]).view(1, 3, 1, 1, 1)
    return torch.einsum("ij,njdhw->nidhw", torch.as_tensor(matrix, dtype=torch.float32) - torch.eye(3), x)


def subject(name="a", labels=None, affine=None, to_template=None, from_template=None, **more):
    labels = label_blobs() if labels is None else labels
    return ScoredSubject(name, labels, np.eye(4) if affine is None else affine, to_template, from_template, **more)


def registration(forward, inverse=None, seconds=0.25):
    return Registration(forward, -forward if inverse is None else inverse, seconds)


def endpoint_error_mm(forward, fixed, moving):
    return PairToScore(fixed, moving, registration(forward), None, ROIS).endpoint_errors_mm.mean()


def values_of(rows):
    result = {(row["metric"], row["roi"]): row["value"] for row in rows}
    assert len(result) == len(rows)
    return result


# --- overlap and distance


def test_dice_by_hand():
    a = np.array([[[2, 2, 2, 3, 3, 0, 255]]], dtype=np.uint8)
    b = np.array([[[2, 2, 3, 3, 0, 0, 255]]], dtype=np.uint8)
    result = dice(a, b, [2, 3, 255, 9])
    np.testing.assert_allclose(result, [2 * 2 / 5, 2 * 1 / 4, 1, np.nan])


def test_dice_is_zero_where_only_one_map_has_the_label():
    a, b = np.full((2, 2, 2), 2, dtype=np.uint8), np.zeros((2, 2, 2), dtype=np.uint8)
    assert dice(a, b, [2]) == [0]


# --- fields


def test_a_scaling_has_no_folds_and_an_even_jacobian():
    brain = np.ones(SHAPE, dtype=bool)
    result = jacobian_metrics(linear_field(1.3 * np.eye(3)), brain)
    assert result["folds_percent"] == result["folds_percent_grid"] == 0
    assert result["sd_log_jacobian"] == pytest.approx(0, abs=1e-5)


def test_sd_log_jacobian_of_two_scalings_side_by_side():
    """J = 2 in one half of the brain and J = 1 in the other: SD log J = log(2) / 2."""
    x = torch.arange(SHAPE[0], dtype=torch.float32)
    forward = zero_field()
    forward[:, 0] = torch.where(x < 8, x, 7).view(-1, 1, 1)
    brain = np.ones(SHAPE, dtype=bool)
    brain[6:10] = False  # the kink
    brain[12:] = False
    brain[:2] = False
    brain[:, :2] = False
    result = jacobian_metrics(forward, brain)
    expected = np.std(np.log([2] * 4 + [1] * 2))
    assert result["sd_log_jacobian"] == pytest.approx(expected, rel=1e-5)


def test_folds_are_counted_in_the_brain_and_in_the_grid():
    x = torch.arange(SHAPE[0], dtype=torch.float32)
    forward = zero_field()
    forward[:, 0] = torch.where(x < 7, -2 * x, -14).view(-1, 1, 1)  # J = -1 below 7, 0 at 7, 1 above
    brain = np.zeros(SHAPE, dtype=bool)
    brain[2:12] = True
    result = jacobian_metrics(forward, brain)
    assert result["folds_percent"] == pytest.approx(100 * 6 / 10)
    assert result["folds_percent_grid"] == pytest.approx(100 * 8 / 14)
    assert result["sd_log_jacobian"] == pytest.approx(0, abs=1e-6)  # of the voxels with J = 1: the folded ones are out
    everywhere = jacobian_metrics(linear_field(np.diag([-1.0, 1, 1])), brain)
    assert everywhere["folds_percent"] == 100
    assert math.isnan(everywhere["sd_log_jacobian"])


def test_ndv_of_known_fields():
    brain = np.zeros(SHAPE, dtype=bool)
    brain[3:9, 4:10, 5:11] = True
    assert ndv_percent(zero_field(), brain) == 0
    assert ndv_percent(linear_field(1.2 * np.eye(3)), brain) == 0
    # a reflection turns the whole volume over: eight corner tetrahedra of 1/12 and two central ones of 2/12
    mirrored = ndv_percent(linear_field(np.diag([-1.0, 1, 1])), brain)
    assert mirrored == pytest.approx(100, rel=1e-4)


@pytest.mark.parametrize("seed", range(2))
def test_ndv_of_the_brains_box_is_that_of_the_grid_and_leaves_the_field_alone(seed):
    from digital_diffeomorphism import ndv

    torch.manual_seed(seed)
    forward = 0.8 * torch.randn(1, 3, *SHAPE)
    before = forward.clone()
    brain = label_blobs(seed) > 0
    brain[0, 0, 0] = brain[3, SHAPE[1] - 1, 4] = True  # up to the border of the grid
    if seed:
        brain[:4] = brain[-4:] = False
    result = ndv_percent(forward, brain)
    assert torch.equal(forward, before)
    whole = ndv(np.ascontiguousarray(before[0].numpy().transpose(1, 2, 3, 0)), brain, is_disp=True)[1]
    assert result == pytest.approx(float(whole), rel=1e-4)
    assert result > 0


def test_ndv_leaves_a_channels_last_field_alone():
    forward = torch.randn(1, *SHAPE, 3, generator=torch.Generator().manual_seed(0)).movedim(-1, 1)
    before = forward.clone()
    ndv_percent(forward, np.ones(SHAPE, dtype=bool))
    assert torch.equal(forward, before)


# --- distances in mm


def affine_of(spacing, flips, origin):
    affine = np.diag([*(np.array(spacing) * flips), 1.0])
    affine[:3, 3] = origin
    return affine


def constant_world_field(shift, shape=(5, 5, 5)):
    """A displacement in mm, on a coarse grid over the whole world of the tests, itself with a flipped axis."""
    data = np.broadcast_to(np.array(shift, dtype=np.float32), (*shape, 3)).copy()
    return Volume(data, affine_of((50, 50, 50), (-1, 1, 1), (100, -100, -100)))


@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, 1), (1, -1, -1)])
def test_endpoint_error_of_a_known_translation(flips):
    fixed_affine = affine_of((2, 2, 2), flips, (10, -20, 5))
    moving_affine = affine_of((1, 2, 3), (1, -1, 1), (-7, 30, 2))
    fixed = subject("f", affine=fixed_affine, to_template=constant_world_field((1, 2, 3)))
    moving = subject("m", affine=moving_affine, from_template=constant_world_field((4, -1, 0)))
    # truth: world of fixed + (1, 2, 3) + (4, -1, 0), in voxels of moving
    x = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"))
    world = np.einsum("ij,jdhw->idhw", fixed_affine[:3, :3], x) + fixed_affine[:3, 3].reshape(3, 1, 1, 1)
    target = world + np.array([5.0, 1, 3]).reshape(3, 1, 1, 1) - moving_affine[:3, 3].reshape(3, 1, 1, 1)
    true = torch.from_numpy(np.einsum("ij,jdhw->idhw", np.linalg.inv(moving_affine[:3, :3]), target) - x)[None].float()
    assert endpoint_error_mm(true, fixed, moving) == pytest.approx(0, abs=1e-4)
    off = true + torch.tensor([1.0, 1, 2]).view(1, 3, 1, 1, 1)  # voxels of moving: 1, 2 and 6 mm
    assert endpoint_error_mm(off, fixed, moving) == pytest.approx(math.sqrt(1 + 4 + 36), rel=1e-4)


def test_endpoint_error_samples_the_second_field_where_the_first_one_leads():
    """to_template moves by 10 mm along x, from_template is d(y) = (0, y_x, 0): its value at x + 10 counts."""
    grid = affine_of((50, 50, 50), (1, 1, 1), (-100, -100, -100))
    data = np.zeros((5, 5, 5, 3), dtype=np.float32)
    data[..., 1] = (-100 + 50 * np.arange(5)).reshape(-1, 1, 1)
    fixed = subject("f", to_template=constant_world_field((10, 0, 0)))
    moving = subject("m", from_template=Volume(data, grid))
    true = constant_field((10.0, 10.0, 0.0))
    true[:, 1] += torch.arange(SHAPE[0]).view(-1, 1, 1)
    assert endpoint_error_mm(true, fixed, moving) == pytest.approx(0, abs=1e-4)
    # beyond its border, at x = 100, the field keeps its value
    far = subject("f", affine=affine_of((1, 1, 1), (1, 1, 1), (500, 0, 0)), to_template=constant_world_field((0, 0, 0)))
    moving = subject("m", affine=far.affine, from_template=Volume(data, grid))
    assert endpoint_error_mm(constant_field((0.0, 100.0, 0.0)), far, moving) == pytest.approx(0, abs=1e-4)


def test_endpoint_errors_of_cortex_and_deep_regions_are_means_over_them():
    """A field that is right but for a shift of 3 mm in the cortex and of 5 mm in the left hippocampus."""
    truth = constant_world_field((0, 0, 0))
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:4], labels[4:5], labels[5:7], labels[7], labels[8] = 2, 3, 42, 17, 50
    ends = subject("f", labels, to_template=truth), subject("m", labels, from_template=truth)
    forward = zero_field()
    forward[:, 1, 4:7], forward[:, 2, 7] = 3, -5
    found = values_of(score_pair(*ends, registration(forward), None, ROIS))
    assert found["endpoint_error_cortex_mm", ""] == pytest.approx(3)
    assert found["endpoint_error_deep_mm", ""] == pytest.approx(2.5)
    assert found["endpoint_error_mm", ""] == pytest.approx((3 * 3 + 5) / 7)
    bare = np.where(labels == 2, labels, 0)
    found = values_of(score_pair(subject("f", bare, to_template=truth), ends[1], registration(forward), None, ROIS))
    assert {metric for metric, _ in found if "endpoint" in metric} == {"endpoint_error_mm"}


def test_cortex_and_deep_regions_are_of_both_sides():
    names = roi_names()
    assert {names[roi] for roi in CORTEX} == {"Left-Cerebral-Cortex", "Right-Cerebral-Cortex"}
    deep = ["Thalamus", "Caudate", "Putamen", "Pallidum", "Hippocampus", "Amygdala", "Accumbens-area", "VentralDC"]
    assert {names[roi] for roi in DEEP} == {f"{side}-{name}" for side in ("Left", "Right") for name in deep}


def test_the_errors_of_a_pair_are_computed_once(monkeypatch):
    truth, done = constant_world_field((1, 0, 0)), []
    apply = pair_module.apply_field
    monkeypatch.setattr(pair_module, "apply_field", lambda *given: done.append(given) or apply(*given))
    ends = subject("f", to_template=truth), subject("m", from_template=truth)
    score_pair(*ends, registration(zero_field()), None, ROIS)
    assert len(done) == 2  # to the template and from it


def test_roundtrip_is_measured_in_mm_of_the_fixed_grid():
    fixed = subject(affine=affine_of((2, 3, 1), (-1, 1, 1), (0, 0, 0)))
    out = constant_field((1.0, 0.0, -1.0))
    assert roundtrip_mm(-out, out, fixed) == pytest.approx(0, abs=1e-5)
    back = constant_field((0.0, 1.0, 1.0))
    assert roundtrip_mm(back, out, fixed) == pytest.approx(math.hypot(2, 3), rel=1e-5)


def test_roundtrip_goes_out_first():
    """phi_back o phi_out: ``back`` is read where ``out`` leads, not the other way round."""
    back = zero_field()
    back[:, 0, 8:] = 5.0  # only beyond the labels, which end at 7
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[2:6, 5, 5] = 2
    fixed = subject(labels=labels)
    assert roundtrip_mm(back, constant_field((7.0, 0.0, 0.0)), fixed) == pytest.approx(12)
    assert roundtrip_mm(constant_field((7.0, 0.0, 0.0)), back, fixed) == pytest.approx(7)


# --- a pair


def test_identity_is_perfect():
    truth = constant_world_field((3, -2, 1))
    back = constant_world_field((-3, 2, -1))
    a = subject("a", to_template=truth, from_template=back)
    b = subject("b", to_template=truth, from_template=back)
    result = values_of(score_pair(a, b, registration(zero_field()), registration(zero_field()), ROIS))
    assert result.pop(("seconds", "")) == 0.25
    assert result.pop(("rois", "")) == 3
    assert {roi for metric, roi in result if metric == "dice"} == {"white matter", "cortex", "hippocampus", "mean"}
    for (metric, _), value in result.items():
        best = {"higher": 1, "lower": 0, "": value}[METRICS[metric].better]
        assert value == pytest.approx(best, abs=1e-5), metric
    assert set(dict(result)) >= {
        *((metric, "") for metric in ("folds_percent", "folds_percent_grid", "sd_log_jacobian", "ndv_percent")),
        *((metric, "") for metric in ("inverse_consistency_mm", "integration_error_mm", "endpoint_error_mm")),
        *((f"endpoint_error_{part}_mm", "") for part in ("cortex", "deep")),
    }


def test_rows_are_flat_and_plain():
    rows = score_pair(subject("a"), subject("b"), registration(zero_field()), None, ROIS)
    assert all(list(row) == ["fixed", "moving", "metric", "roi", "value"] for row in rows)
    assert {(row["fixed"], row["moving"]) for row in rows} == {("a", "b")}
    assert all(type(row["value"]) is float for row in rows)


def test_a_translation_is_undone_by_its_field():
    fixed = label_blobs()
    moving = np.roll(fixed, (2, -1, 1), axis=(0, 1, 2))
    forward = constant_field((2.0, -1.0, 1.0))
    result = values_of(score_pair(subject("f", fixed), subject("m", moving), registration(forward), None, ROIS))
    assert result["dice", "mean"] == 1
    assert result["hd95_mm", "mean"] == 0
    wrong = values_of(score_pair(subject("f", fixed), subject("m", moving), registration(-forward), None, ROIS))
    assert wrong["dice", "mean"] < 0.5


def test_distances_are_in_mm():
    fixed = np.zeros(SHAPE, dtype=np.uint8)
    fixed[6, 6, 6] = 2
    moving = np.roll(fixed, 1, axis=1)
    affine = affine_of((3, 3, 3), (-1, 1, 1), (0, 0, 0))
    pair = subject("f", fixed, affine), subject("m", moving, affine)
    assert values_of(score_pair(*pair, registration(zero_field()), None, ROIS))["hd95_mm", "white matter"] == 3


def test_a_roi_that_vanished_has_dice_zero_and_no_distance():
    fixed = np.zeros(SHAPE, dtype=np.uint8)
    fixed[4:8, 4:8, 4:8] = 2
    fixed[9, 9, 9] = 17
    moving = fixed.copy()
    moving[9, 9, 9] = 0
    moving[13, 13, 13] = 17
    forward = zero_field()
    forward[:, :, 10:, 10:, 10:] = 30  # the only place that would show it looks beyond the grid
    result = values_of(score_pair(subject("f", fixed), subject("m", moving), registration(forward), None, ROIS))
    assert result["dice", "hippocampus"] == 0
    assert math.isnan(result["hd95_mm", "hippocampus"])
    assert result["dice", "mean"] == pytest.approx(0.5)  # it counts here
    assert result["hd95_mm", "mean"] == 0  # and cannot count here
    assert result["rois", ""] == 2


@pytest.mark.parametrize("lacking", ["fixed", "moving"])
def test_a_roi_that_one_subject_never_had_is_not_scored(lacking):
    whole = label_blobs()
    part = np.where(whole == 17, 0, whole).astype(np.uint8)
    labels = {"fixed": whole, "moving": whole, lacking: part}
    rows = score_pair(
        subject("f", labels["fixed"]), subject("m", labels["moving"]), registration(zero_field()), None, ROIS
    )
    result = values_of(rows)
    assert ("dice", "hippocampus") not in result
    assert ("hd95_mm", "hippocampus") not in result
    assert result["rois", ""] == 2
    assert result["dice", "mean"] == 1


def test_no_shared_roi_gives_no_mean():
    a, b = np.zeros(SHAPE, dtype=np.uint8), np.zeros(SHAPE, dtype=np.uint8)
    a[5, 5, 5], b[5, 5, 5] = 2, 3
    result = values_of(score_pair(subject("a", a), subject("b", b), registration(zero_field()), None, ROIS))
    assert result["rois", ""] == 0
    assert math.isnan(result["dice", "mean"])
    assert math.isnan(result["hd95_mm", "mean"])


def test_metrics_that_need_more_are_left_out():
    result = values_of(score_pair(subject("a"), subject("b"), registration(zero_field()), None, ROIS))
    assert ("inverse_consistency_mm", "") not in result
    assert ("endpoint_error_mm", "") not in result
    assert ("integration_error_mm", "") in result


def test_integration_and_inverse_consistency_are_told_apart():
    out = constant_field((1.0, 0.0, 0.0))
    reverse = registration(constant_field((-1.0, 2.0, 0.0)))
    result = values_of(score_pair(subject("a"), subject("b"), registration(out, -out), reverse, ROIS))
    assert result["integration_error_mm", ""] == pytest.approx(0, abs=1e-5)
    assert result["inverse_consistency_mm", ""] == pytest.approx(2, rel=1e-5)


def test_unusable_input_is_named():
    empty = subject("blank", np.zeros(SHAPE, dtype=np.uint8))
    with pytest.raises(InputError, match="blank"):
        score_pair(empty, subject("b"), registration(zero_field()), None, ROIS)
    with pytest.raises(InputError, match=r"b to a.*not finite"):
        score_pair(subject("a"), subject("b"), registration(zero_field() * float("nan")), None, ROIS)


def test_folds_are_of_the_deformation_and_not_of_the_grids():
    """The moving grid is twice as fine and mirrored: between the voxels every one would be turned over."""
    labels = label_blobs()
    moving_affine = np.diag([-0.5, 0.5, 0.5, 1.0])
    moving_affine[0, 3] = SHAPE[0] - 1  # its last voxels lie on the fixed grid's first
    x = fields.identity_grid(SHAPE)
    target = torch.stack([2 * (SHAPE[0] - 1 - x[:, 0]), 2 * x[:, 1], 2 * x[:, 2]], dim=1)  # the same place in the world
    fine = np.repeat(np.repeat(np.repeat(labels[::-1], 2, 0), 2, 1), 2, 2)
    ends = subject("f", labels), subject("m", fine, moving_affine)
    result = values_of(score_pair(*ends, Registration(target - x, None, 0.1), None, ROIS))
    assert result["folds_percent", ""] == result["folds_percent_grid", ""] == 0
    assert result["sd_log_jacobian", ""] == pytest.approx(0, abs=1e-5)


# --- the registry


def test_rows_stand_in_the_order_of_the_metrics():
    truth, points = constant_world_field((0, 0, 0)), Landmarks("l.csv", np.ones((1, 3)), None)
    more = {"parcels": label_blobs(labels=(1, 36)), "landmarks": points}
    pair = subject("a", to_template=truth, **more), subject("b", from_template=truth, **more)
    rows = score_pair(*pair, registration(zero_field()), registration(zero_field()), ROIS)
    assert list(dict.fromkeys(row["metric"] for row in rows)) == list(SCORED)
    regions = {
        "": [""],
        "rois": ["white matter", "cortex", "hippocampus", "mean"],
        "parcels": ["ctx-lh-bankssts", "ctx-rh-bankssts", "mean"],
    }
    for name, metric in METRICS.items():
        named = [row["roi"] for row in rows if row["metric"] == name]
        assert named == (regions[metric.regions] if name in SCORED else [])


# --- cortical parcels


def parcels_of(rows):
    return {row["roi"]: row["value"] for row in rows if row["metric"] == "parcels_dice"}


def test_dice_of_the_parcels_that_both_have():
    """By hand: two boxes of 4 x 4 x 4 that overlap by half after the field, and a parcel of one subject alone."""
    fixed, moving = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    fixed[4:8, 4:8, 4:8], fixed[4:8, 4:8, 10:12], fixed[9:11, 9, 9] = 1, 36, 5
    moving[5:9, 4:8, 4:8], moving[5:9, 4:8, 10:12] = 1, 36
    moving[12, 12, 12] = 200
    ends = subject("f", parcels=fixed), subject("m", parcels=moving)
    exact = parcels_of(score_pair(*ends, registration(constant_field((1.0, 0, 0))), None, ROIS))
    assert exact == {"ctx-lh-bankssts": 1, "ctx-rh-bankssts": 1, "mean": 1}
    half = parcels_of(score_pair(*ends, registration(constant_field((-1.0, 0, 0))), None, ROIS))
    assert half == {name: pytest.approx(0.5) for name in exact}
    gone = parcels_of(score_pair(*ends, registration(constant_field((99.0, 0, 0))), None, ROIS))
    assert gone["mean"] == 0


@pytest.mark.parametrize("parcels", [None, np.zeros(SHAPE, np.uint8), np.full(SHAPE, 100, np.uint8)])
def test_without_a_parcel_that_both_have_there_is_no_row(parcels):
    own = label_blobs(labels=(1, 2))
    for ends in ((own, parcels), (parcels, own)):
        both = [subject(name, parcels=one) for name, one in zip("fm", ends, strict=True)]
        rows = score_pair(*both, registration(zero_field()), None, ROIS)
        assert parcels_of(rows) == {}
        assert ("dice", "mean") in values_of(rows)


# --- several templates


@pytest.mark.parametrize(("templates", "known"), [(("", ""), True), (("p1", "p1"), True), (("p1", "p2"), False)])
def test_the_truth_is_known_between_subjects_of_one_template(templates, known):
    truth = constant_world_field((0, 0, 0))
    ends = [
        subject(name, to_template=truth, from_template=truth, template=one)
        for name, one in zip("ab", templates, strict=True)
    ]
    found = values_of(score_pair(*ends, registration(constant_field((3.0, 4.0, 0.0))), None, ROIS))
    assert found.get(("endpoint_error_mm", "")) == (pytest.approx(5) if known else None)


def test_of_the_metrics_those_that_are_asked_for_are_computed(monkeypatch):
    def fail(pair):
        raise AssertionError("it is not asked for")

    pair = subject("a"), subject("b"), registration(zero_field()), None, ROIS
    every = score_pair(*pair)
    monkeypatch.setattr("smgicnet.scoring.pair_metrics.ndv", fail)
    chosen = score_pair(*pair, only={"seconds", "dice", "no metric"})
    assert chosen == [row for row in every if row["metric"] in ("dice", "seconds")]
    assert chosen
    assert score_pair(*pair, only=set()) == []


def displacement_mm(pair):
    return float(pair.forward.norm(dim=1).mean())


def test_a_new_entry_is_scored(monkeypatch):
    monkeypatch.setitem(SCORED, "new_mm", Metric("new_mm", "New (mm)", "mm", function=f"{__name__}:displacement_mm"))
    rows = score_pair(subject("a"), subject("b"), registration(constant_field((3.0, 4.0, 0.0))), None, ROIS)
    assert rows[-1] == {"fixed": "a", "moving": "b", "metric": "new_mm", "roi": "", "value": 5.0}


@pytest.mark.parametrize("name", METRICS)
def test_the_unit_of_a_metric_is_that_of_its_name_and_stands_in_its_label(name):
    metric = METRICS[name]
    for unit, end in (("mm", "_mm"), ("%", "_percent"), ("s", "seconds"), ("MiB", "_mib")):
        assert (metric.unit == unit) == name.removesuffix("_grid").endswith(end)
    assert metric.unit in metric.label
