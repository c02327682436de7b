"""Checks that no schema can express: which parts of a config fit each other.

A check that not every method needs has a name, and applies to the methods whose schema gives that name under
``checks``; a schema's ``grid_stride`` is a number, or the name of a rule in `STRIDES`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from smgicnet.config.blocks import row_name
from smgicnet.config.levels import check_levels, levels_stride
from smgicnet.config.programs import check_command
from smgicnet.config.schemas import schema
from smgicnet.core.errors import InputError
from smgicnet.core.shipped import find_weights

# functions of a completed method block, its dotted key and the config's file
CHECKS = {"levels": check_levels, "command": check_command}
STRIDES = {"levels": levels_stride}  # functions of the network of a completed method block


def check_reference(config: Mapping, source: str) -> None:
    """Raise `InputError` when the method that the others are compared with does not run in the arm that is named."""
    reference = config["evaluation"]["reference"]
    if reference["arm"] not in config["methods"].get(reference["method"], {}).get("arms", []):
        raise InputError(
            source,
            f"evaluation.reference: no method {reference['method']} runs in the arm {reference['arm']}",
            f"Name one of {', '.join(config['methods'])}, in one of its arms",
        )


def check_robustness(config: Mapping, source: str) -> None:
    """Raise `InputError` when the study of changed heads names a dataset that there is not."""
    named, there = config["evaluation"]["robustness"]["datasets"] or [], config["datasets"]
    if unknown := [name for name in named if name not in there]:
        problem = f"evaluation.robustness.datasets: there is no dataset {', '.join(unknown)}"
        raise InputError(source, problem, f"Name some of {', '.join(there)}")


def check_methods(methods: Mapping, datasets: Mapping, source: str, section: str = "methods") -> None:
    """Raise `InputError` for the first completed method block that fits itself or one of the ``datasets`` not.

    ``section`` is the dotted key that the ``methods`` stand under, and ``source`` the config's file, for messages.
    """
    for name, method in methods.items():
        where = f"{section}.{name}"
        for index, stage in enumerate(method["stages"]):
            if (stage["iterations"] is None) == (stage["epochs"] is None):
                raise InputError(
                    source, f"{where}.stages.{index} needs iterations or epochs", "Give exactly one of them"
                )
        for check in schema(f"methods/{method['type']}").get("checks", []):
            CHECKS[check](method, where, source)
        _check_grids(method, where, datasets, source)
        if method["weights"]:
            _check_weights(method["weights"], where, source)


def check_names(config: Mapping, source: str) -> None:
    """Raise `InputError` when two rows of the tables would have one name."""
    seen: dict[str, str] = {}
    for name, method in config["methods"].items():
        for arm in method["arms"]:
            row = row_name(method, arm, config["affine"])
            if row in seen:
                problem = f"methods.{seen[row]} and methods.{name} are both called {row!r} in tables and figures"
                raise InputError(source, problem, f"Give methods.{name} another label, or leave one of them out")
            seen[row] = name


def _check_weights(given: str, where: str, source: str) -> None:
    try:
        find_weights(given)
    except InputError as error:
        problem = f"{where}.weights: there is no file {given}, and no weights of that name come with the package"
        raise InputError(source, problem, f"{error.remedy}, or remove the key") from None


def _check_grids(method: Mapping, where: str, datasets: Mapping, source: str) -> None:
    stride = grid_stride(method)
    for name, dataset in datasets.items():
        shape = dataset["grid"]["shape"]
        if any(n % stride for n in shape):
            fitting = [math.ceil(n / stride) * stride for n in shape]
            other = schema(f"methods/{method['type']}").get("smaller_stride")
            raise InputError(
                source,
                f"datasets.{name}.grid.shape {shape} is not divisible by {stride}, as {where} needs",
                f"Choose multiples of {stride}, such as {fitting}" + (f", or {other}" if other else ""),
            )


def grid_stride(method: Mapping) -> int:
    """Return the number by which the grid of a completed method block has to be divisible, as its schema says."""
    stride = schema(f"methods/{method['type']}").get("grid_stride", 1)
    return STRIDES[stride](method["network"]) if stride in STRIDES else stride
