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


def load_method(block: Mapping[str, Any], weights: Path | None, spacing: float) -> tuple[Method, Mapping[str, Any]]:
    """Return the method of a config block on the device that `pick_device` picks, and the block as it was trained.

    ``weights`` are this project's or, for a `PublishedMethod`, its authors'; ``spacing`` (mm) is the common grid's.
    Raises `InputError` when the weights are of another type of method.
    """
    if weights is None:
        method: Method = METHODS[block["type"]].from_block(block, 0)
        method.on_spacing(spacing)
        return method, block
    if issubclass(METHODS[block["type"]], PublishedMethod):
        require_checksums(weights, block["published"]["sha256"])
        published: PublishedMethod = METHODS[block["type"]].from_block(block, 0)
        published.load(weights)
        return OnNativeGrid(to_device(published), spacing), block
    trained = read_weights(weights)
    if trained.block["type"] != block["type"]:
        raise InputError(
            weights,
            f"it holds the weights of {trained.block['type']}",
            f"Give those of a method of type {block['type']}",
        )
    registering = {key: block[key] for key in registering_keys(block) if key in block}
    learned = to_device(trained.build(registering))
    learned.on_spacing(spacing)
    return learned, {**trained.block, **registering}
