"""Twins of people, rendered from their label maps in memory: pairs of images whose true map is known."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from zlib import crc32

import numpy as np
import torch
from nibabel.affines import apply_affine

from smgicnet.cohort.phantom import PhantomConfig, PhantomSubject, make_phantom
from smgicnet.cohort.template import Template
from smgicnet.commands.registering import Registered, Settings, register_scans
from smgicnet.config.building import build
from smgicnet.config.completion import complete
from smgicnet.core.shipped import DEFAULT, find_weights
from smgicnet.imaging.displacements import apply_field, grid_points, to_voxels
from smgicnet.imaging.images import Volume, as_nifti, scan_of
from smgicnet.methods.weights import Weights, weights_content, weights_of
from smgicnet.preparation.label_protocols import map_labels, roi_names
from smgicnet.scoring.overlap import dice, present_labels, warp_labels

SEED, SPACING = 1, 2.0  # mm, of the voxels
SPARSE = 5  # of so many of a brain's voxels the error of one is looked at


@dataclass(frozen=True)
class Twin:
    """A rendered person, the template of whose map it is one, and the world map of where it was moved to."""

    subject: PhantomSubject
    anatomy: str
    world: np.ndarray

    @property
    def labels(self) -> Volume:
        return Volume(self.subject.labels.data, self.world @ self.subject.labels.affine)

    @property
    def image(self) -> Volume:
        return Volume(self.subject.image.data, self.world @ self.subject.image.affine)


@dataclass(frozen=True)
class Bench:
    """What registers: the shipped weights."""

    trained: Weights
    path: Path

    @classmethod
    def shipped(cls) -> Bench:
        path = find_weights(DEFAULT)
        return cls(weights_of(weights_content(path), path), path)

    def register(self, fixed: Volume, moving: Volume, settings: Settings) -> Registered:
        scans = [scan_of(as_nifti(one.data.astype(np.float32), one.affine), "a brain") for one in (fixed, moving)]
        return register_scans(scans, self.trained, self.path, settings)


@cache
def recipe() -> PhantomConfig:
    """How twins are made: as the workflow makes them by default, of voxels of `SPACING`."""
    source = {"kind": "phantom", "spacing": SPACING, "shape": None, "seed": SEED}
    whole = complete({"datasets": {"twins": {"source": source}}, "methods": {"initial": {"type": "initial"}}})
    block = whole["datasets"]["twins"]["source"]
    return build(PhantomConfig, {field.name: block[field.name] for field in fields(PhantomConfig)})


def twin(template: Template, anatomy: str, number: int, spacing: float = SPACING) -> Twin:
    """One of the twins of an anatomy, on voxels of a spacing in mm."""
    index = crc32(f"{anatomy} {number}".encode())
    return Twin(make_phantom(index, replace(recipe(), spacing=spacing), template), anatomy, np.eye(4))


def how_wrong(displacement: Volume, fixed: Twin, moving: Twin, seen: Volume) -> dict[str, float]:
    """The true error of a map in mm, where the moving scan ``seen`` shows what belongs there, and the mean Dice."""
    labels = [map_labels(one.labels.data) for one in (fixed, moving)]
    voxels = torch.from_numpy(to_voxels(displacement.data, fixed.labels.affine, moving.labels.affine))[None]
    among = present_labels(labels[0], list(roi_names()))
    found = {"dice": float(np.nanmean(dice(warp_labels(labels[1], voxels), labels[0], among)))}
    if fixed.anatomy == moving.anatomy:
        brain = labels[0] > 0
        points = grid_points(brain.shape, fixed.labels.affine)[brain][::SPARSE]
        own = apply_affine(np.linalg.inv(fixed.world), points)
        truth = apply_field(moving.subject.from_template, apply_field(fixed.subject.to_template, own))
        truth = apply_affine(moving.world, truth)
        index = apply_affine(np.linalg.inv(seen.affine), truth)
        there = ((index >= -0.5) & (index < np.array(seen.data.shape) - 0.5)).all(-1)
        errors = np.linalg.norm(points + displacement.data[brain][::SPARSE] - truth, axis=-1)[there]
        found |= {"error_mm": float(errors.mean()), "error_p95_mm": float(np.quantile(errors, 0.95))}
    return found
