"""The weights of the network that names tissues: reading them, and the file that comes with the package."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch

from smgicnet.core.files import packaged
from smgicnet.methods.weights import save
from smgicnet.registration.tissue_network import TissueNetwork

SHIPPED = "methods/tissues/brain-t1-2mm.pt"


def write_tissues(network: TissueNetwork, names: Sequence[str], path: str | Path) -> None:
    """Write a network in half precision, with the names of its tissues."""
    tensors = network.state_dict().items()
    state = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in tensors}
    save({"names": list(names), "network": state}, path)


@cache
def shipped_tissues() -> TissueNetwork:
    """Return the network that comes with the package."""
    return read_tissues(packaged(SHIPPED))


def read_tissues(path: str | Path) -> TissueNetwork:
    """Return the network of a file that `write_tissues` wrote."""
    content = torch.load(path, map_location="cpu", weights_only=True)
    state = content["network"]
    network = TissueNetwork(state["sided"].tolist())
    network.load_state_dict(state)
    return network.eval().requires_grad_(False)
