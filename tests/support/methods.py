"""Small methods, and completed config blocks of them."""

import sys
from copy import deepcopy
from pathlib import Path

import torch

from smgicnet.config.completion import complete_method
from smgicnet.methods import METHODS
from smgicnet.methods.contract import LearnedMethod, PublishedMethod
from smgicnet.methods.native_grid import OnNativeGrid

SHIFT = Path(__file__).with_name("shift.py")
SMALL = {
    "smgicnet": {"network": {"channels": 4, "blocks": 1}},
    "icnet": {"network": {"channels": 2}},
    "lapirn": {"network": {"channels": 4}},
    "synthmorph": {"features": 4, "grid": {"shape": [32, 32, 32], "spacing": 1.0}},
    "gradicon": {"grid": {"shape": [65, 65, 65], "spacing": None}},  # the smallest that its network takes
    "command": {
        "label": "shift",
        "command": f"{sys.executable} {SHIFT} {{fixed}} {{moving}} {{out}}/t.txt",
        "transforms": ["t.txt"],
    },
    "syn": {"iterations": [10, 5], "search_degrees": 0},  # blobs have odd best rotations
}
LEARNED = [kind for kind, method in METHODS.items() if issubclass(method, LearnedMethod)]


def block(kind="smgicnet", weights=None, **network):
    """A completed config block of a small method: ``weights`` of its objective, the rest of its network."""
    part = {"type": kind, **deepcopy(SMALL.get(kind, {}))}
    if network:
        part["network"] |= network
    levels = network.get("levels", 4)
    if levels != 4:
        part["stages"] = [{"iterations": 1}] * levels
        part["objective"] = {key: [1.0] * levels for key in ("alpha", "beta")} | {"windows": [5] * levels}
    if network.get("symmetric") is False:
        part.setdefault("objective", {})["weights"] = {"symmetric": 0, "inverse": 0, "gradient_inverse": 0}
    if weights:
        part.setdefault("objective", {}).setdefault("weights", {}).update(weights)
    return complete_method(part, "test")


def build(kind="smgicnet", stage=None, weights=None, **network):
    torch.manual_seed(0)
    part = block(kind, weights, **network)
    method = METHODS[kind].from_block(part, len(part["stages"]) if stage is None else stage)
    heads = {"smgicnet": lambda level: level.head.output, "lapirn": lambda level: level.head[2]}
    if kind in heads:
        for level in method.network.levels:  # a fresh head is almost silent
            torch.nn.init.normal_(heads[kind](level).weight, std=0.05)
    return OnNativeGrid(method, 1.0) if isinstance(method, PublishedMethod) else method
