"""The displacement of every pair, kept in files: a new metric is scored, and a shown pair drawn, without registering.

A file holds the displacement in voxels, and its inverse where the method has one, float16 and compressed, or float32 of
a pair that figures show; with them stand a digest of all that they were made from and what was measured beside.
"""

from __future__ import annotations

import json
import logging
import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from smgicnet.core.files import atomic_path
from smgicnet.core.layout import pair_file
from smgicnet.jobs.registering import Measured, Pair
from smgicnet.methods.contract import Registration

log = logging.getLogger(__name__)


def field_file(folder: Path, fixed: str, moving: str) -> Path:
    """Return the file in which the displacement of an ordered pair is kept."""
    return pair_file(folder, fixed, moving, ".npz")


def _unsettled(folder: Path, fixed: str, moving: str) -> Path:
    return pair_file(folder, fixed, moving, ".npz.unsettled")


class KeptFields:
    """Displacements of ordered pairs in ``folder``, each under the digest of what it was made from.

    ``identities`` are the digests of unordered pairs; a file with another one is never taken. Pairs in ``exact`` are
    kept in float32, so that what figures show is as it was registered.

    The kept displacements are rounded. They count from `settle` on, which is called when the pair is scored: a job that
    ends before registers the pair again, so that its scores are those of the displacements as they were registered.
    """

    def __init__(self, folder: Path, identities: Mapping[Pair, str], exact: frozenset[Pair] = frozenset()):
        self._folder, self._exact = folder, exact
        self._identities = {ordered: one for pair, one in identities.items() for ordered in (pair, pair[::-1])}

    def add(self, fixed: str, moving: str, measured: Measured) -> None:
        """Write a registration and what was measured beside it, for `settle`.

        Raises `InputError` where nothing can be written.
        """
        shown = (fixed, moving) in self._exact or (moving, fixed) in self._exact
        kind, result = np.float32 if shown else np.float16, measured.registration
        arrays = {"displacement": _stored(result.forward, kind)}
        if result.inverse is not None:
            arrays["inverse"] = _stored(result.inverse, kind)
        facts = {"identity": self._identities[fixed, moving], "seconds": result.seconds, "beside": measured.beside}
        with atomic_path(_unsettled(self._folder, fixed, moving)) as part, open(part, "wb") as file:
            np.savez_compressed(file, facts=json.dumps(facts), **arrays)

    def settle(self, pair: Pair) -> None:
        """Keep what was added of a pair, in both directions: its scores are kept."""
        for ordered in (pair, pair[::-1]):
            if (written := _unsettled(self._folder, *ordered)).is_file():
                os.replace(written, field_file(self._folder, *ordered))

    def get(self, fixed: str, moving: str) -> Measured | None:
        """Return the registration of a pair as it is kept; None where there is none of this identity."""
        path = field_file(self._folder, fixed, moving)
        if not path.is_file():
            return None
        try:
            with open(path, "rb") as file, np.load(file) as kept:
                facts = json.loads(str(kept["facts"]))
                if facts["identity"] != self._identities[fixed, moving]:
                    return None
                inverse = _read(kept["inverse"]) if "inverse" in kept else None
                registration = Registration(_read(kept["displacement"]), inverse, facts["seconds"])
                return Measured(registration, facts["beside"])
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
            log.warning("%s cannot be read (%s): the pair is registered again", path, error)
            return None


def _stored(field: torch.Tensor, kind: type) -> np.ndarray:
    return field.detach()[0].cpu().numpy().astype(kind)


def _read(stored: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(stored.astype(np.float32))[None]
