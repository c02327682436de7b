"""Small methods and images that several tests use."""

import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch

from smgicnet.config.completion import complete_method
from smgicnet.methods import METHODS
from smgicnet.methods.contract import LearnedMethod, PublishedMethod
from smgicnet.methods.native_grid import OnNativeGrid

ROOT = Path(__file__).parent.parent
SHAPE = (16, 32, 16)


SMALL = {
    "smgicnet": {"network": {"channels": 4, "blocks": 1}},
    "icnet": {"network": {"channels": 2}},
    "lapirn": {"network": {"channels": 4}},
    "synthmorph": {"features": 4, "grid": {"shape": [32, 32, 32], "spacing": 1.0}},
    "gradicon": {"grid": {"shape": [65, 65, 65], "spacing": None}},  # the smallest that its network takes
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
    method = METHODS[kind].from_config(part, len(part["stages"]) if stage is None else stage)
    heads = {"smgicnet": lambda level: level.head.output, "lapirn": lambda level: level.head[2]}
    if kind in heads:
        for level in method.network.levels:  # a fresh head is almost silent
            torch.nn.init.normal_(heads[kind](level).weight, std=0.05)
    return OnNativeGrid(method, 1.0) if isinstance(method, PublishedMethod) else method


def blobs(seed, detail=(5, 6, 5)):
    """A smooth random image in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 1, *detail, generator=generator)
    return torch.nn.functional.interpolate(coarse, SHAPE, mode="trilinear")


def snakemake(folder, *arguments, check=True):
    """Run Snakemake as a user would, in another working folder and with one core; returns the code and all it said."""
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--workflow-profile", str(ROOT / "profiles/default"), "--directory", str(folder), *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder)
    if check:
        assert done.returncode == 0, done.stdout
    return done


def label_blobs(seed=0, shape=(14, 16, 18), labels=(2, 3, 17)):
    """A label map of a few ragged regions, away from the border."""
    labels_map = np.zeros(shape, dtype=np.uint8)
    random = np.random.default_rng(seed)
    for label in labels:
        corner = random.integers(3, 7, size=3)
        size = random.integers(3, 6, size=3)
        box = tuple(slice(a, a + b) for a, b in zip(corner, size, strict=True))
        labels_map[box] = np.where(random.random(size) < 0.8, label, labels_map[box])
    return labels_map
