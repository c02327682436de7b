"""The conversion of the weights files that the authors of LapIRN and ICNet publish to weights of this project.

The names of tensors are those of the published files (``docs/baselines.md``). Two conventions differ: in a published
file the components of a field are in the order of ``grid_sample`` (the last array axis first), and the arrays have the
orientation of the authors' images.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from smgicnet.config.completion import complete_method
from smgicnet.core.errors import InputError
from smgicnet.core.files import require_distinct
from smgicnet.imaging.grids import Grid
from smgicnet.methods import METHODS
from smgicnet.methods.weights import Weights, write_weights

PUBLISHED_GRID = Grid((160, 192, 144), 1.0)


@dataclass(frozen=True)
class Publication:
    """The differences between the published files of a method and this project's.

    Attributes
    ----------
    rename : a function from a published tensor's name to ours, or to None for an unknown name
    head : a pattern for the last layer's weight, whose first dimension is the field's components
    fed : a pattern for the weights of layers that see a field in their last three input channels
    channels : a function from the tensors to the method's ``channels``
    orientation : the orientation of the authors' images, as this project's arrays have it
    """

    rename: Callable[[str], str | None]
    head: str
    fed: str
    channels: Callable[[Mapping[str, Tensor]], int]
    orientation: str


def _lapirn_name(name: str) -> str | None:
    prefix = next(prefix for prefix in ("model_lvl2.model_lvl1.", "model_lvl2.", "") if name.startswith(prefix))
    level = 2 - prefix.count("model")
    parts = {
        r"input_encoder_lvl1\.([02])\.weight": r"encoder.\1.weight",
        r"down_conv\.weight": "down.weight",
        r"resblock_group_lvl1\.([02468])\.conv([12])\.weight": None,
        r"up\.weight": "up.weight",
        r"output_lvl1\.([02])\.weight": r"head.\1.weight",
    }
    for pattern, ours in parts.items():
        if match := re.fullmatch(pattern, name.removeprefix(prefix)):
            own = match.expand(ours) if ours else f"blocks.{int(match[1]) // 2}.conv{match[2]}.weight"
            return f"levels.{level}.{own}"
    return None


def _icnet_name(name: str) -> str | None:
    if match := re.fullmatch(r"(eninput|ec[1-9]|dc[1-8]|dc9)\.0\.weight", name):
        layer = match[1]
        if layer == "dc9":
            return "head.weight"
        number = 0 if layer == "eninput" else int(layer[2:])
        stack, place = ("encoders", number) if layer.startswith("e") else ("decoders", number - 1)
        return f"{stack}.{place // 2}.{place % 2}.0.weight"
    if match := re.fullmatch(r"up([1-4])\.0\.(weight|bias)", name):
        return f"ups.{int(match[1]) - 1}.0.{match[2]}"
    return None


PUBLICATIONS = {
    "lapirn": Publication(
        _lapirn_name,
        head=r"levels\.\d\.head\.2\.weight",
        fed=r"levels\.[12]\.encoder\.0\.weight",
        channels=lambda tensors: tensors["down_conv.weight"].shape[0],
        orientation="LPS",
    ),
    "icnet": Publication(
        _icnet_name,
        head=r"head\.weight",
        fed="(?!)",
        channels=lambda tensors: tensors["eninput.0.weight"].shape[0],
        orientation="SPL",
    ),
}


def import_weights(kind: str, source: Path, out: Path, *, variant: str | None, orientation: str | None) -> int:
    """Write the published weights ``source`` (.pth) of ``kind`` as a weights file ``out``; returns the parameters.

    ``variant`` of LapIRN is read from the file's name where it is not given. ``orientation`` is that of the authors'
    images, where it is not given LPS for LapIRN and, as its arrays are read in reverse, SPL for ICNet. Raises
    `InputError` for a file that is missing, unreadable, or not exactly that network.
    """
    require_distinct([out], [source])
    publication = PUBLICATIONS[kind]
    tensors = _read(kind, source)
    renamed = {name: publication.rename(name) for name in tensors}
    names = {name: own for name, own in renamed.items() if own is not None}
    unknown = sorted(tensors.keys() - names.keys())
    try:
        channels = publication.channels(tensors)
    except KeyError:
        channels = None
    if unknown or channels is None:
        found = f"it has {', '.join(unknown[:3])}" if unknown else "tensors are missing"
        raise InputError(source, f"not the published weights of {kind}: {found}", "Check which file this is")
    network = {"channels": channels, "orientation": orientation or publication.orientation}
    if kind == "lapirn":
        network["variant"] = variant or _variant(source)
    method = complete_method({"type": kind, "network": network}, f"import-weights {kind}")
    stages = len(method["stages"])
    expected = METHODS[kind].from_block(method, stages).network.state_dict()
    ours = {own: _reorder(own, tensors[name], publication) for name, own in names.items()}
    _compare(source, kind, {k: v.shape for k, v in ours.items()}, {k: v.shape for k, v in expected.items()})
    write_weights(Weights(method, stages, PUBLISHED_GRID, ours), out)
    return sum(tensor.numel() for tensor in ours.values())


def _read(kind: str, source: Path) -> dict[str, Tensor]:
    if not Path(source).is_file():
        raise InputError(source, "no such file", f"Give the .pth file that the authors of {kind} publish")
    try:
        tensors = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(source, f"not a torch file ({type(error).__name__})", "Download it again") from error
    if not isinstance(tensors, Mapping) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise InputError(source, "it holds no state dict of tensors", "Give the published .pth file as it is")
    return dict(tensors)


def _variant(source: Path) -> str:
    found = [variant for variant in ("diff", "disp") if variant in Path(source).name]
    if len(found) != 1:
        raise InputError(source, "its name does not tell LapIRN's variant", "Give --variant diff or --variant disp")
    return found[0]


def _reorder(name: str, tensor: Tensor, publication: Publication) -> Tensor:
    """Bring field components in a tensor from the order of ``grid_sample`` to that of the array axes."""
    if re.fullmatch(publication.head, name):
        return tensor.flip(0)
    if re.fullmatch(publication.fed, name):
        return torch.cat([tensor[:, :2], tensor[:, 2:].flip(1)], dim=1)
    return tensor


def _compare(source: Path, kind: str, found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    missing = sorted(expected.keys() - found.keys())
    wrong = sorted(name for name in expected.keys() & found.keys() if found[name] != expected[name])
    if missing or wrong:
        what = f"{len(missing)} tensors are missing" if missing else f"{wrong[0]} has shape {tuple(found[wrong[0]])}"
        raise InputError(source, f"not the published weights of {kind}: {what}", "Check which file this is")
