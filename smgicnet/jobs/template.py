"""The steps of a group's mean image, from files to files: a first mean, each person brought to it, the next mean.

A folder of a round holds ``template.nii.gz`` with its record, ``template.json``, and below ``members`` a folder for
each person with the map from the template to the person, as `smgicnet.methods.saved_flow` reads it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from smgicnet.core.errors import InputError
from smgicnet.core.layout import TEMPLATE, TEMPLATE_RECORD
from smgicnet.core.provenance import contents_digest, files_digest, write_record
from smgicnet.imaging.images import read_image, write_volume
from smgicnet.methods.contract import FlowMethod
from smgicnet.methods.device import image_tensor, to_device
from smgicnet.methods.saved_flow import RECORD, VELOCITY, flow_facts, read_flow, write_flow
from smgicnet.methods.sources import source_of
from smgicnet.methods.weights import Weights, weights_content, weights_of
from smgicnet.preparation.preprocessing import Prepared, prepare
from smgicnet.registration.group_mean import GroupMean, Member, first_places, sharpness
from smgicnet.registration.posed_flow import PosedFlow, straight

log = logging.getLogger(__name__)
MARGIN = 10.0  # mm of background around the mean brain
BRAIN = 0.1  # of the mean image's largest value
LEAST = 2  # people
WHITE = 1000.0  # what a brain's brightest voxels have in a template


@dataclass(frozen=True)
class Registrar:
    """The method and weights that bring a template to people.

    ``weights``: their file. ``registering``: parts of the method's block that differ from the file's.
    """

    weights: Path
    registering: Mapping[str, Any]

    @cached_property
    def _content(self) -> bytes:
        return weights_content(self.weights)

    @cached_property
    def trained(self) -> Weights:
        return weights_of(self._content, self.weights)

    @cached_property
    def method(self) -> Any:
        """The method, ready to register. Raises `InputError` for one that cannot make a template."""
        method = to_device(self.trained.build(self.registering))
        if not isinstance(method, FlowMethod) or getattr(method, "mean_image", None) is None:
            problem = "its method has no velocity, or sees brains as they lie"
            raise InputError(self.weights, problem, "Give the weights of a SM-GICNet with an upright pose")
        return method

    @property
    def digest(self) -> str:
        """The digest of the weights and of how they are used."""
        return contents_digest([self._content, json.dumps(self.registering, sort_keys=True).encode()])

    def prepared(self, image: Path) -> Prepared:
        """Return a brain on the network's grid."""
        return prepare(image, None, self.trained.grid)


def require_people(images: Sequence[Path], folder: Path) -> None:
    """Raise `InputError` for fewer than two images."""
    if len(images) < LEAST:
        raise InputError(folder, f"a template of {len(images)} image", "Give two images or more, of different people")


def start_template(images: Sequence[Path], registrar: Registrar, spacing: float, folder: Path) -> None:
    """Write the mean of brains that only a global map brings together, on voxels of ``spacing`` mm, to a folder.

    Raises `InputError` for fewer than two images, and for one that cannot be used.
    """
    require_people(images, folder)
    method = registrar.method
    tensors, affines = [], []
    for path in images:
        person = registrar.prepared(path)
        tensors.append(image_tensor(person.image, method.device))
        affines.append(torch.from_numpy(person.affine))
    with torch.no_grad():
        places = first_places(tensors, affines, method.mean_image, method.pose.rotations)
        still = torch.eye(4, dtype=torch.float64)
        flows = [straight(still, place) for place in places]
        coarse = _grid(registrar.trained.grid.spacing, *_cube(registrar))
        members = [
            Member(image, torch.linalg.inv(affine), flow)
            for image, affine, flow in zip(tensors, affines, flows, strict=True)
        ]
        box = _box(GroupMean.of(flows, *coarse).image(members), coarse[0])
        mean = GroupMean.of(flows, *_grid(spacing, *box))
        image = mean.image(_members(images, flows, registrar))
    _write(folder, mean, image, registrar, images)


def bring_template(template: Path, image: Path, registrar: Registrar, folder: Path) -> None:
    """Write the map from a template to a person, to a folder of the person's."""
    fixed, moving = (registrar.prepared(path) for path in (template, image))
    method = registrar.method
    tensors = [image_tensor(one.image, method.device) for one in (fixed, moving)]
    with torch.no_grad():
        sources = [source_of(one, method.device) for one in (fixed, moving)]
        flow, _ = method.flow(*tensors, sources, lambda *_: None)
    flow = flow.within(torch.from_numpy(fixed.affine), torch.from_numpy(moving.affine))
    write_flow(folder / VELOCITY, flow)
    write_record(folder / RECORD, velocity=flow_facts(flow), made_from=_made_from(template, image, registrar))


def is_brought(template: Path, image: Path, registrar: Registrar, folder: Path) -> bool:
    """Return whether a folder holds the map from this template to this person already."""
    try:
        made_from = json.loads((folder / RECORD).read_text(encoding="utf-8"))["made_from"]
    except (OSError, ValueError, KeyError):
        return False
    return bool(made_from == _made_from(template, image, registrar))


def _made_from(template: Path, image: Path, registrar: Registrar) -> dict[str, str]:
    """Return the digests of what a person's map is made from."""
    return {"template": files_digest([template]), "image": files_digest([image]), "method": registrar.digest}


def average_template(
    before: Path,
    images: Sequence[Path],
    members: Sequence[Path],
    registrar: Registrar,
    folder: Path,
    report: Callable[[], None] = lambda: None,
) -> None:
    """Write the next template to a folder, from the one ``before`` and each person's image and folder."""
    grid = read_image(before)
    flows = [read_flow(one) for one in members]
    with torch.no_grad():
        mean = GroupMean.of(flows, torch.from_numpy(grid.affine), grid.data.shape)
        image = mean.image(_members(images, flows, registrar), report)
    _write(folder, mean, image, registrar, images)


def _members(images: Sequence[Path], flows: Sequence[PosedFlow], registrar: Registrar) -> Iterator[Member]:
    """Return people's scans as they are, one after the other, which are not all in memory."""
    for path, flow in zip(images, flows, strict=True):
        person = registrar.prepared(path)
        image = source_of(person, registrar.method.device).image
        yield Member(image, torch.from_numpy(np.linalg.inv(person.native.affine)), flow)


def _cube(registrar: Registrar) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners of a field of view of the network's size about 0, mm."""
    half = np.array(registrar.trained.grid.shape) * registrar.trained.grid.spacing / 2
    return -half, half


def _grid(spacing: float, low: np.ndarray, high: np.ndarray) -> tuple[Tensor, tuple[int, ...]]:
    """Return the affine map and the shape of a grid between two corners, mm."""
    shape = tuple(int(n) for n in np.ceil((high - low) / spacing))
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = (low + high) / 2 - spacing * (np.array(shape) - 1) / 2
    return torch.from_numpy(affine), shape


def _box(image: Tensor, affine: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners of the box around a brain, with `MARGIN`, mm."""
    filled = np.argwhere((image[0, 0] > BRAIN * image.max()).cpu().numpy())
    ends = np.stack([filled.min(0), filled.max(0) + 1]) - 0.5
    low, high = ends * np.diag(affine.numpy())[:3] + affine.numpy()[:3, 3]
    return low - MARGIN, high + MARGIN


def _write(folder: Path, mean: GroupMean, image: Tensor, registrar: Registrar, images: Sequence[Path]) -> None:
    shown = torch.where(image > BRAIN * image.max(), WHITE * image, 0)  # a few people's edge is no brain
    data = shown[0, 0].cpu().numpy().astype(np.float32)
    write_volume(folder / TEMPLATE, data, mean.affine.numpy(), fast=True)
    facts = {"drift_mm": round(mean.drift, 4), "sharpness": round(sharpness(image), 4)}
    people = {str(path): files_digest([path]) for path in images}
    write_record(
        folder / TEMPLATE_RECORD, **facts, people=people, method=registrar.digest, weights=str(registrar.weights)
    )
    log.info("%s: mean velocity %.2f mm, sharpness %.3f", folder / TEMPLATE, mean.drift, sharpness(image))
