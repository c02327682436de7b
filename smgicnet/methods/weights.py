"""Weights files, which hold a network, the config that built it and the grid that it was trained on."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from smgicnet.config.blocks import registering_keys, with_defaults
from smgicnet.core.errors import InputError
from smgicnet.core.files import atomic_path
from smgicnet.imaging.grids import Grid
from smgicnet.methods import METHODS
from smgicnet.methods.contract import LearnedMethod

REMEDY = "Give a weights.pt that this project's training wrote"


@dataclass(frozen=True)
class Weights:
    """A method as it was trained up to a stage.

    Attributes
    ----------
    block : the completed block of the method; in the file its key is ``method``
    stage : the last trained stage, from 1
    grid : the common grid of the training images
    network : the tensors of the network, by name
    """

    block: Mapping[str, Any]
    stage: int
    grid: Grid
    network: Mapping[str, torch.Tensor]

    def build(self, registering: Mapping[str, Any] | None = None) -> LearnedMethod:
        """Return the method with these weights, loaded strictly.

        ``registering`` are parts of the config block that concern registration alone and replace those of the training.
        """
        method: LearnedMethod = METHODS[self.block["type"]].from_block(
            {**self.block, **(registering or {})}, self.stage
        )
        method.network.load_state_dict(self.network, strict=True)
        method.spacing = self.grid.spacing
        return method


def save(value: object, path: str | Path) -> None:
    """Write a value as `torch.save` does, but atomically, and to the same bytes for the same value.

    The archive of `torch.save` would carry the file's name.
    """
    buffer = io.BytesIO()
    torch.save(value, buffer)
    with atomic_path(path) as part:
        part.write_bytes(buffer.getvalue())


def write_weights(weights: Weights, path: str | Path, dtype: torch.dtype = torch.float32) -> None:
    """Write a weights file that `read_weights` reads, with floating point tensors as ``dtype``."""
    network = {name: _stored(tensor, dtype) for name, tensor in weights.network.items()}
    grid = {"shape": list(weights.grid.shape), "spacing": weights.grid.spacing}
    block = json.loads(json.dumps(weights.block))  # the same bytes whatever the config's YAML shares by anchors
    save({"method": block, "stage": weights.stage, "grid": grid, "network": network}, path)


def export_weights(source: str | Path, out: str | Path) -> None:
    """Write weights in half precision. Raises `InputError` for a source that `read_weights` does not read."""
    weights = read_weights(source)
    _require_finite(source, weights.network, torch.float16)
    write_weights(weights, out, torch.float16)


def _stored(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    tensor = tensor.detach().cpu().contiguous()
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def read_weights(path: str | Path) -> Weights:
    """Read a file of tensors and plain values only (``weights_only``), as float32.

    Raises `InputError` for anything else.
    """
    return weights_of(weights_content(path), path)


def weights_content(path: str | Path) -> bytes:
    """Read the bytes of a weights file. Raises `InputError` where there are none."""
    if not os.path.isfile(path):
        raise InputError(path, "no such weights file", REMEDY)
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def weights_of(stored: bytes, path: str | Path) -> Weights:
    """Return what `read_weights` reads from a file ``path`` that holds the bytes ``stored``."""
    try:
        _require_whole(stored)
        content = torch.load(io.BytesIO(stored), map_location="cpu", weights_only=True)
        grid = Grid(tuple(content["grid"]["shape"]), float(content["grid"]["spacing"]))
        others = registering_keys(content["method"])
        trained = {key: value for key, value in content["method"].items() if key not in others}
        block = with_defaults(trained)  # the file may be of a version that had fewer keys
        for tensor in content["network"].values():
            if tensor.is_complex() or tensor.numel() * tensor.itemsize > tensor.untyped_storage().nbytes():
                raise TypeError("a tensor that is complex, or larger than what is stored of it")
        network = {name: _stored(tensor, torch.float32) for name, tensor in content["network"].items()}
        weights = Weights(block, content["stage"], grid, network)
        weights.build()  # it loads strictly, and so finds here what would be wrong when the weights are used
    except Exception as error:
        raise _unreadable(path, error) from error
    _require_finite(path, network, torch.float32)
    return weights


def _unreadable(path: str | Path, error: Exception) -> InputError:
    return InputError(path, f"not a weights file of this project ({type(error).__name__})", REMEDY)


def _require_whole(stored: bytes) -> None:
    """Raise ``ValueError`` where a checksum of the archive that `torch.save` writes is wrong: torch looks at none."""
    if zipfile.is_zipfile(io.BytesIO(stored)):
        with zipfile.ZipFile(io.BytesIO(stored)) as archive:
            packed = any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist())
            if packed or archive.testzip():
                raise ValueError("a wrong checksum, or members that torch did not write")


def _require_finite(path: str | Path, network: Mapping[str, torch.Tensor], dtype: torch.dtype) -> None:
    for name, tensor in network.items():
        if not torch.isfinite(_stored(tensor, dtype)).all():
            kind = str(dtype).removeprefix("torch.")
            raise InputError(path, f"its tensor {name} holds values that are not finite in {kind}", "Train it again")
