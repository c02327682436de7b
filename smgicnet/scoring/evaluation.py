"""From fields and label maps to flat rows: one number for each pair, metric and region of interest (ROI).

Every subject lives on one common grid shape with its own affine (voxel -> RAS mm). Fields follow `registration.fields`:
``(1, 3, D, H, W)`` in voxels, pull-back. Distances are in mm of the fixed subject's grid; "the brain" is where the
fixed subject has a label.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import torch
from nibabel.affines import apply_affine, voxel_sizes
from torch import Tensor

from smgicnet.core.errors import InputError
from smgicnet.imaging.displacements import apply_field
from smgicnet.imaging.images import Volume
from smgicnet.methods.contract import Registration
from smgicnet.registration import fields
from smgicnet.scoring.hausdorff import hausdorff95_mm


@dataclass(frozen=True)
class ScoredSubject:
    """What scoring needs of a subject.

    ``labels (D, H, W)`` uint8 FreeSurfer ids, 0 is background; ``affine (4, 4)`` voxel -> RAS mm. The truth, where
    there is one, is a pair of displacement fields in RAS mm, data ``(X, Y, Z, 3)``: ``T(x) = x + d(x)`` from the
    subject's world to the template's, and back.
    """

    name: str
    labels: np.ndarray
    affine: np.ndarray
    to_template: Volume | None
    from_template: Volume | None


def warp_labels(labels: np.ndarray, displacement: Tensor) -> np.ndarray:
    """``labels`` uint8 pulled back by ``displacement (1, 3, D, H, W)``, nearest neighbour, 0 outside; ``(D, H, W)``.

    ``labels`` may lie on a grid of another size: the displacement then leads from one grid's voxels to the other's.
    """
    shape = tuple(displacement.shape[2:])
    image = torch.from_numpy(labels.astype(np.float32))[None, None]
    if labels.shape != shape:  # `fields.warp` wants one grid: both are continued at their far ends
        common = np.maximum(labels.shape, shape)
        image, displacement = _padded(image, common), _padded(displacement, common)
    warped = fields.warp(image, displacement, mode="nearest")[0, 0].numpy().astype(np.uint8)
    return warped[tuple(slice(n) for n in shape)]


def _padded(tensor: Tensor, shape: Sequence[int]) -> Tensor:
    """``tensor (N, C, D, H, W)`` with zeros at the far end of each axis."""
    missing = [int(new - old) for new, old in zip(shape, tensor.shape[2:], strict=True)]
    return torch.nn.functional.pad(tensor, [width for n in reversed(missing) for width in (0, n)])


def present_labels(labels: np.ndarray, among: Sequence[int]) -> list[int]:
    """Those of ``among`` that occur in the uint8 label map ``labels (D, H, W)``, in the order of ``among``."""
    counts = np.bincount(labels.ravel(), minlength=256)
    return [label for label in among if counts[label] > 0]


def dice(a: np.ndarray, b: np.ndarray, among: Sequence[int]) -> np.ndarray:
    """Dice coefficient ``2 |A and B| / (|A| + |B|)`` of each label in ``among``.

    ``a``, ``b (D, H, W)`` uint8; returns ``(len(among),)``: 0 where only one map has the label, NaN where none has.
    """
    joint = a.ravel().astype(np.uint16) * np.uint16(256) + b.ravel()
    confusion = np.bincount(joint, minlength=65536).reshape(256, 256)
    size = (confusion.sum(axis=1) + confusion.sum(axis=0))[list(among)].astype(float)
    size[size == 0] = np.nan
    return 2 * confusion.diagonal()[list(among)] / size


def jacobian_metrics(displacement: Tensor, brain: np.ndarray) -> dict[str, float]:
    """Folding and unevenness of ``displacement (1, 3, D, H, W)``; ``brain (D, H, W)`` bool.

    ``folds_percent`` of the brain's voxels and ``folds_percent_grid`` of all have ``det(I + Du) <= 0``.
    ``sd_log_jacobian`` is taken over the brain's voxels that are not folded: a folded voxel has no logarithm and is
    left out rather than clipped to an arbitrary small number; ``folds_percent`` counts it. NaN if all are folded.
    """
    determinant = fields.jacobian_determinant(displacement)[0].numpy()
    inside = determinant[brain]
    regular = inside[inside > 0]
    return {
        "folds_percent": 100 * float(np.mean(inside <= 0)),
        "folds_percent_grid": 100 * float(np.mean(determinant <= 0)),
        "sd_log_jacobian": float(np.std(np.log(regular, dtype=float))) if regular.size else float("nan"),
    }


def require_ndv() -> None:
    """Raise `InputError` where the package of `ndv_percent` is missing: to be asked before hours are spent."""
    if find_spec("digital_diffeomorphism") is None:
        problem = "this package is not installed, and a metric, NDV, is computed by it"
        raise InputError(
            "digital-diffeomorphism", problem, "Install it: `pip install --no-deps digital-diffeomorphism`"
        )


def ndv_percent(displacement: Tensor, brain: np.ndarray) -> float:
    """Non-diffeomorphic volume of ``displacement (1, 3, D, H, W)`` in percent of ``brain (D, H, W)`` bool.

    Liu et al., "On finite difference Jacobian computation in deformable image registration" (IJCV 2024), by the
    authors' own package, as the LUMIR challenge scores it.
    """
    require_ndv()
    from digital_diffeomorphism import ndv  # here only: no other metric should need the package

    # a voxel's value depends on its direct neighbours alone: the brain's box and one voxel around it are enough
    ends = [(axis.min(), axis.max()) for axis in np.nonzero(brain)]
    box = tuple(slice(max(low - 1, 0), high + 2) for low, high in ends)
    # a copy: `ndv` adds the identity to its argument in place
    field = np.array(displacement[0].numpy()[(slice(None), *box)].transpose(1, 2, 3, 0), dtype=np.float32, order="C")
    _, percent, *_ = ndv(field, brain[box], is_disp=True)
    return float(percent)


def roundtrip_mm(back: Tensor, out: Tensor, fixed: ScoredSubject) -> float:
    """Mean over the fixed brain of ``|phi_back(phi_out(x)) - x|`` in mm.

    ``out`` and ``back`` are ``(1, 3, D, H, W)`` in voxels, from the fixed grid to the moving one and back.
    """
    error = fields.compose(back, out)[0].numpy()[:, fixed.labels > 0]
    return float(np.linalg.norm(fixed.affine[:3, :3] @ error, axis=0).mean())


def endpoint_error_mm(displacement: Tensor, fixed: ScoredSubject, moving: ScoredSubject) -> float:
    """Mean distance in mm, over the fixed brain, between where a voxel was sent and where it truly belongs.

    ``displacement (1, 3, D, H, W)`` in voxels. The truth goes from the fixed world through the template to the moving
    world: it needs ``fixed.to_template`` and ``moving.from_template``.
    """
    brain = fixed.labels > 0
    voxels = np.argwhere(brain)
    truth = apply_field(moving.from_template, apply_field(fixed.to_template, apply_affine(fixed.affine, voxels)))
    predicted = apply_affine(moving.affine, voxels + displacement[0].numpy()[:, brain].T)
    return float(np.linalg.norm(predicted - truth, axis=1).mean())


def _overlap(warped: np.ndarray, fixed: ScoredSubject, scored: Mapping[int, str]) -> dict[tuple[str, str], float]:
    """Dice and HD95 of each scored ROI and their means, keyed by metric and ROI."""
    values = {}
    for metric, result in (
        ("dice", dice(fixed.labels, warped, list(scored))),
        ("hd95_mm", hausdorff95_mm(fixed.labels, warped, list(scored), voxel_sizes(fixed.affine))),
    ):
        known = result[~np.isnan(result)]  # a ROI that vanished in warping has Dice 0 but no distance
        values |= {(metric, roi): float(value) for roi, value in zip(scored.values(), result, strict=True)}
        values[metric, "mean"] = float(known.mean()) if known.size else float("nan")
    return values


def _in_fixed_voxels(displacement: Tensor, fixed: ScoredSubject, moving: ScoredSubject) -> Tensor:
    """The displacement with both of its ends in voxels of the fixed grid's size and axes, for Jacobians.

    Between voxels of another volume or handedness det(I + Du) would not be that of the deformation. As it is where
    they agree, as on a cohort's common grids.
    """
    linear = np.linalg.inv(fixed.affine[:3, :3]) @ moving.affine[:3, :3]
    if np.isclose(np.linalg.det(linear), 1, rtol=1e-3):
        return displacement
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3, :3] = torch.from_numpy(linear)
    return fields.compose_affine(matrix, displacement)


def _checked(displacement: Tensor, name: str) -> Tensor:
    displacement = displacement.detach().to("cpu", torch.float32)
    if not torch.isfinite(displacement).all():
        raise InputError(
            name, "the displacement field holds values that are not finite", "Train or configure the method anew"
        )
    return displacement


def score_pair(
    fixed: ScoredSubject,
    moving: ScoredSubject,
    registration: Registration,
    reverse: Registration | None,
    rois: Mapping[int, str],
    only: Collection[str] | None = None,
) -> list[dict]:
    """All metrics of one ordered pair.

    The two label maps may lie on grids of different size, voxel size and orientation, unless ``reverse`` or an inverse
    is given.

    Parameters
    ----------
    registration : of ``moving`` to ``fixed``; its ``forward`` is scored
    reverse : the independent registration of ``fixed`` to ``moving``, for the inverse consistency error
    rois : label -> name; scored are those that both subjects have before any warping

    Returns rows ``{fixed, moving, metric, roi, value}``; ``roi`` is a name, ``"mean"`` (over scored ROIs) or ``""``.
    Raises `InputError` when the fixed subject has no label or a field is not finite.
    """
    pair = f"{moving.name} to {fixed.name}"
    brain = fixed.labels > 0
    if not brain.any():
        raise InputError(fixed.name, "the label map is empty", "Check its file and that its labels are FreeSurfer ids")
    forward = _checked(registration.forward, pair)
    scored = {label: rois[label] for label in present_labels(moving.labels, present_labels(fixed.labels, list(rois)))}
    values = _overlap(warp_labels(moving.labels, forward), fixed, scored)
    deformation = _in_fixed_voxels(forward, fixed, moving)
    summary = {
        "rois": float(len(scored)),
        **jacobian_metrics(deformation, brain),
        "ndv_percent": ndv_percent(deformation, brain),
    }
    if reverse is not None:
        back = _checked(reverse.forward, f"{fixed.name} to {moving.name}")
        summary["inverse_consistency_mm"] = roundtrip_mm(back, forward, fixed)
    if registration.inverse is not None:
        summary["integration_error_mm"] = roundtrip_mm(_checked(registration.inverse, pair), forward, fixed)
    if fixed.to_template is not None and moving.from_template is not None:
        summary["endpoint_error_mm"] = endpoint_error_mm(forward, fixed, moving)
    summary["seconds"] = float(registration.seconds)
    values |= {(metric, ""): value for metric, value in summary.items()}
    return [
        {"fixed": fixed.name, "moving": moving.name, "metric": metric, "roi": roi, "value": value}
        for (metric, roi), value in values.items()
    ]
