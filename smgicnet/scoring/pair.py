"""A registered pair as its metrics see it.

Every subject lives on one common grid shape with its own affine (voxel -> RAS mm). Fields are as in
`smgicnet.registration.fields`: ``(1, 3, D, H, W)`` in voxels, pull-back. Distances are in mm of the fixed subject's
grid; "the brain" is where the fixed subject has a label.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from nibabel.affines import apply_affine
from torch import Tensor

from smgicnet.core.errors import InputError
from smgicnet.imaging.displacements import apply_field
from smgicnet.imaging.images import Volume
from smgicnet.imaging.landmarks import Landmarks
from smgicnet.methods.contract import Registration
from smgicnet.preparation.parcels import parcel_names
from smgicnet.registration import fields
from smgicnet.scoring.jacobian import jacobian_metrics
from smgicnet.scoring.overlap import present_labels, warp_labels


@dataclass(frozen=True)
class ScoredSubject:
    """The parts of a subject that scoring needs.

    ``labels (D, H, W)`` uint8 FreeSurfer ids, 0 is background; ``affine (4, 4)`` voxel -> RAS mm. The truth, where
    there is one, is a pair of displacement fields in RAS mm, data ``(X, Y, Z, 3)``: ``T(x) = x + d(x)`` from the
    subject's world to the template's, and back. ``parcels (D, H, W)``: uint8 codes of
    `smgicnet.preparation.parcels.parcel_names`, or None, the default. ``template``: the name of that template; empty,
    the default, where all subjects have one. ``landmarks``: None, the default, where there are none.
    """

    name: str
    labels: np.ndarray
    affine: np.ndarray
    to_template: Volume | None
    from_template: Volume | None
    parcels: np.ndarray | None = None
    template: str = ""
    landmarks: Landmarks | None = None


class PairToScore:
    """A registered pair with all that its metrics are computed from; what is costly is computed once, when asked for.

    Parameters
    ----------
    registration : of ``moving`` to ``fixed``; its ``forward`` is scored
    reverse : the independent registration of ``fixed`` to ``moving``, or None
    rois : label -> name; scored are those that both subjects have before any warping

    Raises `InputError` when the fixed subject has no label, and later when a field is not finite.
    """

    def __init__(
        self,
        fixed: ScoredSubject,
        moving: ScoredSubject,
        registration: Registration,
        reverse: Registration | None,
        rois: Mapping[int, str],
    ):
        self.fixed, self.moving, self.registration, self._reverse = fixed, moving, registration, reverse
        self.brain = fixed.labels > 0
        if not self.brain.any():
            problem, remedy = "the label map is empty", "Check its file and that its labels are FreeSurfer ids"
            raise InputError(fixed.name, problem, remedy)
        self.scored = _of_both(fixed.labels, moving.labels, rois)

    @cached_property
    def forward(self) -> Tensor:
        """The displacement that is scored. Raises `InputError` where it is not finite."""
        return _checked(self.registration.forward, f"{self.moving.name} to {self.fixed.name}")

    @cached_property
    def warped(self) -> np.ndarray:
        """The moving label map pulled onto the fixed grid, ``(D, H, W)`` uint8."""
        if self.registration.labels is not None:
            return self.registration.labels
        return warp_labels(self.moving.labels, self.forward)

    @cached_property
    def parcels(self) -> dict[int, str]:
        """Names of the cortical parcels that both subjects have before any warping, by their codes."""
        if self.fixed.parcels is None or self.moving.parcels is None:
            return {}
        return _of_both(self.fixed.parcels, self.moving.parcels, parcel_names())

    def names_of(self, regions: str) -> list[str]:
        """Return the names of the regions of a group, as `smgicnet.scoring.metrics.Metric` has it, in their order."""
        return list((self.scored if regions == "rois" else self.parcels).values())

    @cached_property
    def deformation(self) -> Tensor:
        """The displacement with both of its ends in voxels of the fixed grid's size and axes, for Jacobians.

        Between voxels of another volume or handedness det(I + Du) would not be that of the deformation. As it is where
        they agree, as on a cohort's common grids.
        """
        linear = np.linalg.inv(self.fixed.affine[:3, :3]) @ self.moving.affine[:3, :3]
        if np.isclose(np.linalg.det(linear), 1, rtol=1e-3):
            return self.forward
        matrix = torch.eye(4, dtype=torch.float64)
        matrix[:3, :3] = torch.from_numpy(linear)
        return fields.compose_affine(matrix, self.forward)

    @cached_property
    def jacobian(self) -> dict[str, float]:
        """The statistics of the deformation's Jacobian determinant, by `jacobian_metrics`."""
        return jacobian_metrics(self.deformation, self.brain)

    @cached_property
    def endpoint_errors_mm(self) -> np.ndarray | None:
        """The distance from where each voxel of ``brain`` was sent to where it belongs, in the order of ``brain``.

        The truth goes from the fixed world through the template to the moving world. None where it is not known, or the
        two have different templates.
        """
        to_template, from_template = self.fixed.to_template, self.moving.from_template
        if to_template is None or from_template is None or self.fixed.template != self.moving.template:
            return None
        voxels = np.argwhere(self.brain)
        truth = apply_field(from_template, apply_field(to_template, apply_affine(self.fixed.affine, voxels)))
        predicted = apply_affine(self.moving.affine, voxels + self.forward[0].numpy()[:, self.brain].T)
        return np.linalg.norm(predicted - truth, axis=1)

    @cached_property
    def back(self) -> Tensor | None:
        """The displacement of the reverse registration, or None."""
        pair = f"{self.fixed.name} to {self.moving.name}"
        return None if self._reverse is None else _checked(self._reverse.forward, pair)

    @cached_property
    def inverse(self) -> Tensor | None:
        """The inverse that the method itself gives, or None."""
        pair = f"{self.moving.name} to {self.fixed.name}"
        return None if self.registration.inverse is None else _checked(self.registration.inverse, pair)


def _of_both(fixed: np.ndarray, moving: np.ndarray, names: Mapping[int, str]) -> dict[int, str]:
    """Those of ``names`` whose region both uint8 maps have."""
    return {label: names[label] for label in present_labels(moving, present_labels(fixed, list(names)))}


def _checked(displacement: Tensor, name: str) -> Tensor:
    displacement = displacement.detach().to("cpu", torch.float32)
    if not torch.isfinite(displacement).all():
        raise InputError(
            name, "the displacement field holds values that are not finite", "Train or configure the method anew"
        )
    return displacement
