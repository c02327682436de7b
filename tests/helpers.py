"""Small methods and images that several tests use."""

import torch

from smgicnet import config as configuration
from smgicnet.methods import METHODS, LearnedMethod

SHAPE = (16, 32, 16)


def block(kind="smgicnet", **network):
    """A completed config block of a small network."""
    part = {"type": kind}
    if kind == "smgicnet":
        part |= {"network": {"channels": 4, "blocks": 1, **network}}
        levels = network.get("levels", 4)
        if levels != 4:
            part["stages"] = [{"iterations": 1}] * levels
            part["objective"] = {key: [1.0] * levels for key in ("alpha", "beta")} | {"windows": [5] * levels}
        if network.get("symmetric") is False:
            part.setdefault("objective", {})["weights"] = {"symmetric": 0, "inverse": 0, "gradient_inverse": 0}
    source = {"source": {"kind": "phantom"}, "grid": {"shape": list(SHAPE)}}
    return configuration.complete({"datasets": {"d": source}, "methods": {"m": part}})["methods"]["m"]


def build(kind="smgicnet", stage=None, **network):
    torch.manual_seed(0)
    part = block(kind, **network)
    method = METHODS[kind].from_config(part, len(part["stages"]) if stage is None else stage)
    if isinstance(method, LearnedMethod):
        for level in method.network.levels:  # a fresh head is almost silent
            torch.nn.init.normal_(level.head.output.weight, std=0.05)
    return method


def blobs(seed, detail=(5, 6, 5)):
    """A smooth random image in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 1, *detail, generator=generator)
    return torch.nn.functional.interpolate(coarse, SHAPE, mode="trilinear")
