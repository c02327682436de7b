"""The functions that compute each metric of a registered pair; `smgicnet.scoring.metrics` names them.

A function takes a `PairToScore`. It returns a number, None where the metric does not apply to the pair, or an array
with a number for each region of the metric's group that both subjects have, NaN where there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np
from nibabel.affines import voxel_sizes
from torch import Tensor

from smgicnet.core.errors import InputError
from smgicnet.registration import fields
from smgicnet.scoring.hausdorff import hausdorff95_mm
from smgicnet.scoring.overlap import dice, warp_labels
from smgicnet.scoring.pair import PairToScore, ScoredSubject

# FreeSurfer's ids, of the left and of the right
CORTEX = (3, 42)
DEEP = (10, 11, 12, 13, 17, 18, 26, 28, 49, 50, 51, 52, 53, 54, 58, 60)  # thalamus to ventral diencephalon


def dice_of_rois(pair: PairToScore) -> np.ndarray:
    """Return the Dice of each scored ROI."""
    return dice(pair.fixed.labels, pair.warped, list(pair.scored))


def hd95_of_rois(pair: PairToScore) -> np.ndarray:
    """Return the 95th percentile Hausdorff distance of each scored ROI, in mm; NaN where warping removed it."""
    return hausdorff95_mm(pair.fixed.labels, pair.warped, list(pair.scored), voxel_sizes(pair.fixed.affine))


def dice_of_parcels(pair: PairToScore) -> np.ndarray | None:
    """Return the Dice of each cortical parcel; None where the two label maps share none."""
    fixed, moving = pair.fixed.parcels, pair.moving.parcels
    if fixed is None or moving is None or not pair.parcels:
        return None
    return dice(fixed, warp_labels(moving, pair.forward), list(pair.parcels))


def rois(pair: PairToScore) -> float:
    """Return the number of ROIs that are scored."""
    return float(len(pair.scored))


def folds_percent(pair: PairToScore) -> float:
    """Return the percentage of the brain's voxels that are folded, see `smgicnet.scoring.jacobian.jacobian_metrics`."""
    return pair.jacobian["folds_percent"]


def folds_percent_grid(pair: PairToScore) -> float:
    """Return the percentage of the grid's voxels that are folded, see `smgicnet.scoring.jacobian.jacobian_metrics`."""
    return pair.jacobian["folds_percent_grid"]


def sd_log_jacobian(pair: PairToScore) -> float:
    """Return the unevenness of the deformation in the brain, see `smgicnet.scoring.jacobian.jacobian_metrics`."""
    return pair.jacobian["sd_log_jacobian"]


def ndv(pair: PairToScore) -> float:
    """Return the non-diffeomorphic volume, see `ndv_percent`."""
    return ndv_percent(pair.deformation, pair.brain)


def inverse_consistency(pair: PairToScore) -> float | None:
    """Return how far the way there and back by the two independent registrations misses, see `roundtrip_mm`."""
    return None if pair.back is None else roundtrip_mm(pair.back, pair.forward, pair.fixed)


def integration_error(pair: PairToScore) -> float | None:
    """Return how far the way there and back by the method's own inverse misses, see `roundtrip_mm`."""
    return None if pair.inverse is None else roundtrip_mm(pair.inverse, pair.forward, pair.fixed)


def endpoint_error(pair: PairToScore) -> float | None:
    """Return the mean endpoint error over the fixed brain, in mm; None where the truth is not known."""
    errors = pair.endpoint_errors_mm
    return None if errors is None else float(errors.mean())


def endpoint_error_cortex(pair: PairToScore) -> float | None:
    """Return the mean endpoint error over the fixed brain's cortex, in mm; None without a cortex or a known truth."""
    return _endpoint_error_in(pair, CORTEX)


def endpoint_error_deep(pair: PairToScore) -> float | None:
    """Return the mean endpoint error over the fixed brain's deep regions, in mm; None as in `endpoint_error_cortex`."""
    return _endpoint_error_in(pair, DEEP)


def _endpoint_error_in(pair: PairToScore, regions: Sequence[int]) -> float | None:
    errors, inside = pair.endpoint_errors_mm, np.isin(pair.fixed.labels[pair.brain], regions)
    return None if errors is None or not inside.any() else float(errors[inside].mean())


def seconds(pair: PairToScore) -> float | None:
    """Return the time of the registration alone, as it was measured; None where it was not."""
    measured = float(pair.registration.seconds)
    return None if np.isnan(measured) else measured


def require_ndv() -> None:
    """Raise `InputError` where the package of `ndv_percent` is missing: to be asked before hours are spent."""
    if find_spec("digital_diffeomorphism") is None:
        problem = "this package is not installed, and a metric, NDV, is computed by it"
        raise InputError(
            "digital-diffeomorphism", problem, "Install it: `pip install --no-deps digital-diffeomorphism`"
        )


def ndv_percent(displacement: Tensor, brain: np.ndarray) -> float:
    """Return the non-diffeomorphic volume of ``displacement (1, 3, D, H, W)`` in percent of ``brain (D, H, W)`` bool.

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
    """Return the mean over the fixed brain of ``|phi_back(phi_out(x)) - x|`` in mm.

    ``out`` and ``back`` are ``(1, 3, D, H, W)`` in voxels, from the fixed grid to the moving one and back.
    """
    error = fields.compose(back, out)[0].numpy()[:, fixed.labels > 0]
    return float(np.linalg.norm(fixed.affine[:3, :3] @ error, axis=0).mean())
