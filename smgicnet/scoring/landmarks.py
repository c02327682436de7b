"""The distance from the moving landmarks to where a registration sends the fixed ones."""

from __future__ import annotations

import numpy as np
from nibabel.affines import apply_affine

from smgicnet.imaging.displacements import apply_field
from smgicnet.imaging.images import Volume
from smgicnet.imaging.landmarks import corresponding
from smgicnet.scoring.pair import PairToScore


def target_registration_error(pair: PairToScore) -> float | None:
    """Return the mean distance in mm over the landmarks of both subjects, as in Learn2Reg; None without landmarks.

    The displacement is interpolated linearly at a fixed landmark. Raises `InputError` for landmarks that do not
    correspond.
    """
    if pair.fixed.landmarks is None or pair.moving.landmarks is None:
        return None
    fixed, moving = corresponding(pair.fixed.landmarks, pair.moving.landmarks)
    in_voxels = Volume(np.moveaxis(pair.forward[0].numpy(), 0, -1), np.eye(4))
    sent = apply_field(in_voxels, apply_affine(np.linalg.inv(pair.fixed.affine), fixed))
    return float(np.linalg.norm(apply_affine(pair.moving.affine, sent) - moving, axis=1).mean())
