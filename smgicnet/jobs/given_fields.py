"""Displacements that another program has computed, one file an ordered pair, in place of a method that registers."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from smgicnet.core.layout import LEARN2REG, given_file
from smgicnet.core.provenance import files_digest
from smgicnet.imaging.displacements import to_voxels
from smgicnet.imaging.field_formats import Geometry, read_geometry
from smgicnet.imaging.transform_chain import displacement_of, read_transforms
from smgicnet.jobs.kept_pairs import identity
from smgicnet.jobs.registering import Measured, MethodFiles, Pair, PreparedImages
from smgicnet.methods.contract import Registration

log = logging.getLogger(__name__)
UNKNOWN = float("nan")  # the time that the other program took


class GivenFields(PreparedImages):
    """The registrations of pairs of ``images`` as files give them, for a method of type ``fields``."""

    def __init__(self, files: MethodFiles, images: Mapping[str, Path]):
        super().__init__(images)
        self.program: dict[str, str] = {}
        self.block, self._facts = files.block, files.facts()
        self._grids: dict[str, Geometry] = {}

    def register(self, fixed: str, moving: str) -> Measured:
        """Read the displacement of one ordered pair. Raises `InputError` for a file that is missing or damaged."""
        meaning = "voxels" if self.block["layout"] == LEARN2REG else None
        transforms = read_transforms([self._file(fixed, moving)], self._grid(fixed), self._grid(moving), meaning)
        found = displacement_of(transforms, self._grid(fixed))
        displacement = to_voxels(found, self.volume(fixed).affine, self.volume(moving).affine)
        return Measured(Registration(torch.from_numpy(displacement)[None], None, UNKNOWN), {})

    def identities(self, pairs: Sequence[Pair], versions: Mapping) -> dict[Pair, str]:
        """Return the identity of each unordered pair's registrations: both images and both files."""
        found, seen = {}, {}
        for pair in pairs:
            files = [self._file(*one) for one in (pair, pair[::-1])]
            digests = files_digest([*(self.images[name] for name in pair), *files])
            for file in files:
                if (same := seen.setdefault(files_digest([file]), file)) != file:
                    log.warning("%s holds the same field as %s: is one of them that of another pair?", file, same)
            found[pair] = identity(digests, {**self._facts, "versions": versions})
        return found

    def _file(self, fixed: str, moving: str) -> Path:
        return given_file(self.block["folder"], self.block["layout"], fixed, moving)

    def _grid(self, name: str) -> Geometry:
        if name not in self._grids:
            self._grids[name] = read_geometry(self.images[name])
        return self._grids[name]
