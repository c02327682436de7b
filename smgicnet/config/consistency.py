"""What no schema can say: which parts of a config fit each other."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping

from smgicnet.config.schemas import schema
from smgicnet.core.errors import InputError


def check_reference(config: Mapping, source: str) -> None:
    reference = config["evaluation"]["reference"]
    if reference["arm"] not in config["methods"].get(reference["method"], {}).get("arms", []):
        raise InputError(
            source,
            f"evaluation.reference: no method {reference['method']} runs in the arm {reference['arm']}",
            f"Name one of {', '.join(config['methods'])}, in one of its arms",
        )


def check_consistency(config: Mapping, source: str, section: str = "methods") -> None:
    """What a schema cannot say."""
    for name, method in config["methods"].items():
        where = f"{section}.{name}"
        for index, stage in enumerate(method["stages"]):
            if (stage["iterations"] is None) == (stage["epochs"] is None):
                raise InputError(
                    source, f"{where}.stages.{index} needs iterations or epochs", "Give exactly one of them"
                )
        if "levels" in method.get("network", {}):
            _check_levels(method, where, source)
        _check_grids(method, where, config["datasets"], source)
        if method["weights"] and not os.path.isfile(method["weights"]):
            raise InputError(
                source, f"{where}.weights: there is no file {method['weights']}", "Correct the path, or remove the key"
            )


def _check_grids(method: Mapping, where: str, datasets: Mapping, source: str) -> None:
    stride = grid_stride(method)
    for name, dataset in datasets.items():
        shape = dataset["grid"]["shape"]
        if any(n % stride for n in shape):
            fitting = [math.ceil(n / stride) * stride for n in shape]
            other = ", or fewer network.levels or a smaller network.depth" if "levels" in method["network"] else ""
            raise InputError(
                source,
                f"datasets.{name}.grid.shape {shape} is not divisible by {stride}, as {where} needs",
                f"Choose multiples of {stride}, such as {fitting}{other}",
            )


def grid_stride(method: Mapping) -> int:
    """The number by which the grid of a completed method block has to be divisible: its schema's, or by its levels.

    Each of SM-GICNet's levels below the images' own grid halves it and has one stride more.
    """
    network = method.get("network", {})
    if "levels" not in network:
        return schema(f"methods/{method['type']}").get("grid_stride", 1)
    if not network["full_resolution"]:
        return 2 ** (network["levels"] + 1)
    return max(network["finest_stride"] * 2 ** network["depth"], 2 ** network["levels"] if network["levels"] > 1 else 1)


def _check_levels(method: Mapping, where: str, source: str) -> None:
    levels = method["network"]["levels"]
    count = len(method["stages"])
    if count < levels:
        raise InputError(source, f"{where}.stages has {count} entries", f"Give {levels} at least, one a level")
    for key, values in method["objective"].items():
        if isinstance(values, list) and len(values) != levels:
            what = f"{where}.objective.{key} has {len(values)} entries"
            raise InputError(source, what, f"Give {levels}, one a level")
    paired = [t for t in ("symmetric", "inverse", "gradient_inverse") if method["objective"]["weights"][t] > 0]
    for key, needed, why in (
        ("antisymmetric", "symmetric", "both directions"),
        ("midpoint", "antisymmetric", "directions whose velocities are each other's negatives"),
    ):
        if method["network"][key] and not method["network"][needed]:
            raise InputError(
                source,
                f"{where}.network: {key} needs {why}, and {needed} is false",
                f"Set {needed} to true, or {key} to false",
            )
    if not method["network"]["symmetric"] and paired:
        raise InputError(
            source,
            f"{where}: {paired} compare two directions, and network.symmetric is false",
            "Set these weights to 0",
        )
