"""The maps of two brains' tissues that a refinement compares, and the weights of the network that names them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from smgicnet.core.files import packaged
from smgicnet.registration.tissue_network import TissueNetwork

SHIPPED = "methods/shipped/tissues/brain-t1-2mm.pt"
# The maps that are compared: each the sum of tissues that are never beside each other, with their weights in the
# squared difference. White matter is what is left of the cerebrum; folia of the cerebellum are finer than the voxels.
FLUID = 4.0
PRIOR_STEPS = 255  # of 1, in which a file has the prior
COMPARED: tuple[Mapping[str, float], ...] = (
    {"Cerebral-Cortex": 1, "3rd-Ventricle": FLUID, "4th-Ventricle": FLUID},
    {"Lateral-Ventricle": FLUID, "Amygdala": 1, "Pallidum": 1},
    {"Caudate": 1, "Hippocampus": 1, "CSF": 1},
    {"Putamen": 1, "Thalamus": 1},
    {"Inf-Lat-Vent": FLUID, "Accumbens-area": 1, "VentralDC": 1},
)

FLUIDS = "Lateral-Ventricle", "Inf-Lat-Vent", "3rd-Ventricle", "4th-Ventricle", "CSF"
WHITE = "Cerebral-White-Matter", "Cerebellum-White-Matter", "Brain-Stem", "Pallidum", "VentralDC"


@dataclass(frozen=True)
class TissueMaps:
    """Makes the maps of `COMPARED` of an image.

    ``network`` names the tissues, in the order of ``names``, and ``shares (maps, tissues)`` has what each has in each
    map.
    """

    network: TissueNetwork
    shares: Tensor
    names: tuple[str, ...]

    def __call__(self, image: Tensor) -> Tensor:
        """Return the maps ``(1, maps, D, H, W)`` of an image ``(1, 1, D, H, W)`` that fills the frame."""
        maps: Tensor = torch.einsum("kc,ncdhw->nkdhw", self.shares, self.network.maps(image))
        return maps

    @property
    def matter(self) -> Tensor:
        """The prior of fluid, grey and white matter in the frame, ``(1, 3, N, N, N)``."""
        which = [0 if name in FLUIDS else 2 if name in WHITE else 1 for name in self.names]
        held = torch.eye(3, device=self.shares.device)[which]
        found: Tensor = torch.einsum("ck,ncdhw->nkdhw", held, self.network.prior)
        return found


@cache
def shipped_tissues(device: torch.device) -> TissueMaps:
    """Return what makes the maps, with the weights that come with the package."""
    return read_tissues(packaged(SHIPPED), device)


def read_tissues(path: str | Path, device: torch.device) -> TissueMaps:
    """Return what makes the maps, with the weights of a file that `smgicnet train-tissues` wrote."""
    content = torch.load(path, map_location="cpu", weights_only=True)
    state = content["network"]
    state["prior"] = state["prior"] / PRIOR_STEPS
    network = TissueNetwork(state["sided"].tolist())
    network.load_state_dict(state)
    shares = torch.tensor([[weights.get(name, 0) ** 0.5 for name in content["names"]] for weights in COMPARED])
    return TissueMaps(network.eval().requires_grad_(False).to(device), shares.to(device), tuple(content["names"]))
