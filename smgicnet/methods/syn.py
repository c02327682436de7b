"""SyN, symmetric normalisation (Avants et al. 2008), run by ANTs itself, first affine and then diffeomorphic.

ANTs gets both images with unit spacing and identity direction, so that its physical space is the voxel space of the
common grid, and its displacements are in voxels already.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from smgicnet.config.blocks import own_settings
from smgicnet.config.building import build
from smgicnet.imaging.itk_affine import read_itk_affine
from smgicnet.methods.contract import Displacements, Method
from smgicnet.preparation.ants_affine import find_affine, import_ants, pyramid, run_ants
from smgicnet.registration.fields import affine_field, compose, compose_affine

HISTOGRAM_BINS = 32  # mutual information is estimated with so many, as in ants.registration


@dataclass(frozen=True)
class SyNConfig:
    """The method's settings, see ``config/schemas/methods/syn.schema.yaml``.

    Attributes
    ----------
    iterations : the iterations of the diffeomorphic stage, from coarse to fine
    affine_iterations : the iterations of the affine stage, from coarse to fine
    metric : the metric of the diffeomorphic stage, ``"cross-correlation"`` or mutual information
    radius : the radius of the window of cross-correlation, in voxels
    gradient_step, flow_sigma, total_sigma : the parameters of these names of ANTs' SyN
    search_degrees : the largest angle of the search over rotations, 0 for no search
    threads : the threads of ITK
    seed : the seed of ANTs' random numbers
    """

    iterations: tuple[int, ...]
    affine_iterations: tuple[int, ...]
    metric: str
    radius: int
    gradient_step: float
    flow_sigma: float
    total_sigma: float
    search_degrees: float
    threads: int
    seed: int


class Transforms(NamedTuple):
    """ANTs' files of one registration.

    A fixed point ``x`` goes to ``affine(x + warp(x))``, and a moving point ``y`` to ``z + inverse_warp(z)`` with
    ``z = affine^-1(y)``.

    Attributes
    ----------
    affine : ITK's affine transform
    warp, inverse_warp : displacement fields
    """

    affine: Path
    warp: Path
    inverse_warp: Path


class SyN(Method):
    """SyN after an affine registration, by default with the metric and schedule of antsRegistrationSyN.sh.

    The affine stage and its search over rotations are those of `preparation.ants_affine`. Both stages drop the coarse
    levels on which the grid would have fewer than 12 voxels along an axis.
    """

    def __init__(self, config: SyNConfig):
        self.config = config

    @classmethod
    def from_block(cls, block: Mapping[str, Any], stage: int = 0) -> SyN:
        return cls(build(SyNConfig, own_settings(block)))

    def warm_up(self, fixed: Tensor, moving: Tensor) -> None:
        import_ants(self.config.threads)

    def fields(self, fixed: Tensor, moving: Tensor) -> Displacements:
        """Return both displacements. Raises ``RuntimeError`` when ITK gives up, as for an image without content."""
        ants = import_ants(self.config.threads)
        with TemporaryDirectory() as folder:
            files = self._run(fixed, moving, Path(folder))
            matrix = torch.from_numpy(read_itk_affine(files.affine))
            warp, inverse_warp = (_read_warp(ants.image_read(str(path)).numpy()) for path in files[1:])
        forward = compose_affine(matrix, warp)
        inverse = compose(inverse_warp, affine_field(matrix.inverse(), moving.shape[2:]))
        return Displacements(forward.to(fixed.device), inverse.to(fixed.device))

    def _run(self, fixed: Tensor, moving: Tensor, folder: Path) -> Transforms:
        """Register and leave ANTs' files in ``folder``."""
        ants, config = import_ants(self.config.threads), self.config
        target, source = (ants.from_numpy(image[0, 0].cpu().numpy()) for image in (fixed, moving))
        degrees, iterations = config.search_degrees, config.affine_iterations
        affine = find_affine(target, source, folder, degrees=degrees, iterations=iterations, seed=config.seed)
        metric = ("CC", config.radius) if config.metric == "cross-correlation" else ("mattes", HISTOGRAM_BINS)
        # From the number of levels antspyx makes shrink factors 2^k and smoothing sigmas k, as the script has them.
        run_ants(
            target, source, "SyNOnly", folder / "syn", seed=config.seed, initial_transform=[str(affine)],
            syn_metric=metric[0], syn_sampling=metric[1], reg_iterations=pyramid(config.iterations, target),
            grad_step=config.gradient_step, flow_sigma=config.flow_sigma, total_sigma=config.total_sigma,
        )  # fmt: skip
        return Transforms(*(folder / f"syn{n}" for n in ("0GenericAffine.mat", "1Warp.nii.gz", "1InverseWarp.nii.gz")))


def _read_warp(displacement: np.ndarray) -> Tensor:
    """Return ANTs' displacement ``(D, H, W, 3)`` as ``(1, 3, D, H, W)``, both in voxels."""
    return torch.from_numpy(np.moveaxis(displacement, -1, 0).astype(np.float32))[None].contiguous()
