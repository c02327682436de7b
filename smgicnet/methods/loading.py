"""It makes the method of a config block with its weights, ready to register."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smgicnet.config.blocks import registering_keys
from smgicnet.core.checksums import require_checksums
from smgicnet.core.errors import InputError
from smgicnet.methods import METHODS
from smgicnet.methods.contract import Method, PublishedMethod
from smgicnet.methods.device import to_device
from smgicnet.methods.native_grid import OnNativeGrid
from smgicnet.methods.weights import read_weights


def load_method(config: Mapping[str, Any], weights: Path | None, spacing: float) -> tuple[Method, Mapping[str, Any]]:
    """Return the method of a config block on the device that `pick_device` picks, and the block as it was trained.

    ``weights`` are this project's or, for a `PublishedMethod`, its authors'; ``spacing`` (mm) is the common grid's.
    Raises `InputError` when the weights are of another type of method.
    """
    if weights is None:
        return METHODS[config["type"]].from_config(config, 0), config
    if issubclass(METHODS[config["type"]], PublishedMethod):
        require_checksums(weights, config["published"]["sha256"])
        method: PublishedMethod = METHODS[config["type"]].from_config(config, 0)
        method.load(weights)
        return OnNativeGrid(to_device(method), spacing), config
    trained = read_weights(weights)
    if trained.method["type"] != config["type"]:
        raise InputError(
            weights,
            f"it holds the weights of {trained.method['type']}",
            f"Give those of a method of type {config['type']}",
        )
    registering = {key: config[key] for key in registering_keys(config) if key in config}
    return to_device(trained.build(registering)), {**trained.method, **registering}
