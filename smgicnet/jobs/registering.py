"""Registration of ordered pairs of prepared images by one method, in native poses or after an affine alignment."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from smgicnet.core.provenance import files_digest
from smgicnet.imaging.images import Volume, read_image, read_labels
from smgicnet.jobs.kept_pairs import identity
from smgicnet.methods.contract import Method, Registration, RegistrationFailed
from smgicnet.methods.device import image_tensor, peak_memory
from smgicnet.methods.loading import load_method
from smgicnet.preparation.alignments import Alignment, read_alignments, voxel_matrix
from smgicnet.registration.fields import affine_field, compose, compose_affine, warp
from smgicnet.scoring.rows import NO_RESULT

log = logging.getLogger(__name__)
Pair = tuple[str, str]


@dataclass(frozen=True)
class MethodFiles:
    """The files and settings of the method that registers.

    ``block``: the completed block of a method. ``weights``: its file of weights, or None.
    ``code``: the digest of its source. ``threads``: how many torch uses; 1 by default.
    """

    block: Mapping
    weights: Path | None
    code: str
    threads: int = 1

    def facts(self) -> dict[str, object]:
        """Return the facts of the method for a record."""
        weights = files_digest([self.weights]) if self.weights else None
        return {"weights_digest": weights, "code": self.code, "threads": self.threads}


@dataclass(frozen=True)
class Measured:
    """A registration with what a job measures beside it, by metric: peak memory in MiB, the alignment's seconds, how
    probably it failed."""

    registration: Registration
    beside: Mapping[str, float]


def result_of(register: Callable[[str, str], Measured], pair: Pair, failed: dict[Pair, str]) -> Measured | None:
    """Return what ``register`` gives of an ordered pair; None where there is no result, and ``failed`` has why."""
    try:
        return register(*pair)
    except RegistrationFailed as error:
        log.warning("%s to %s counts as failed: %s", pair[1], pair[0], error)
        failed[pair] = str(error)
        return None


def reasons(failed: Mapping[Pair, str], pairs: Iterable[Pair]) -> list[dict[str, str]]:
    """Return those of ordered pairs that have no result, each with the reason, for a record."""
    found = ((pair, failed[pair]) for pair in pairs if pair in failed)
    return [{"fixed": fixed, "moving": moving, "reason": why} for (fixed, moving), why in found]


class PreparedImages:
    """The prepared image of each subject, read when it is first needed, and kept."""

    def __init__(self, images: Mapping[str, Path]):
        self.images = images
        self._volumes: dict[str, Volume] = {}

    def volume(self, name: str) -> Volume:
        """Return the prepared image of a subject."""
        if name not in self._volumes:
            self._volumes[name] = read_image(self.images[name])
        return self._volumes[name]

    def warped(self, moving: str, displacement: torch.Tensor) -> torch.Tensor:
        """Return the image of ``moving`` pulled back by ``displacement (1, 3, D, H, W)``; ``(D, H, W)``."""
        return warp(image_tensor(self.volume(moving).data, displacement.device), displacement)[0, 0]


class PairRegistration(PreparedImages):
    """Registers pairs of ``images`` (a prepared image by subject) with one method, which is loaded once.

    ``alignments`` are files of alignments, of the affine arm: a moving image is aligned before it is registered, and
    affine and deformation are one field. ``labels`` are those of the images, which a method may need to see.
    """

    def __init__(
        self,
        files: MethodFiles,
        images: Mapping[str, Path],
        alignments: Sequence[Path],
        labels: Mapping[str, Path] | None = None,
    ):
        super().__init__(images)
        torch.set_num_threads(files.threads)
        self._files = files
        self._affine = {pair: one for path in alignments for pair, one in read_alignments(path).items()}
        spacing = self.volume(next(iter(images))).spacing[0]
        self._method, self.block = load_method(files.block, files.weights, spacing)  # the block as it was trained
        self._warm = False
        self._labels = labels if self._method.needs_labels else None

    def register(self, fixed: str, moving: str) -> Measured:
        """Register one ordered pair; the very first is registered once more before it, which loads what is lazy.

        Raises `RegistrationFailed` where the method leaves no result.
        """
        tensors = {name: image_tensor(self.volume(name).data, self._method.device) for name in (fixed, moving)}
        if not self._warm:
            self._method.warm_up(tensors[fixed], tensors[moving])
            self._warm = True
        alignment = self._affine[fixed, moving] if self._affine else None
        affines = self.volume(fixed).affine, self.volume(moving).affine
        with peak_memory(self._method.device) as peak:
            if self._labels:
                seen = (read_labels(self._labels[fixed]).data, read_labels(self._labels[moving]).data)
                result = self._method.register(tensors[fixed], tensors[moving], seen)
            else:
                result = register_aligned(self._method, tensors[fixed], tensors[moving], affines, alignment)
        beside = {"peak_memory_mib": peak.mib if result.memory_mib is None else result.memory_mib}
        if self._method.can_fail:
            beside[NO_RESULT] = 0.0
        if alignment:
            beside["affine_seconds"] = alignment.seconds
        failure = self._method.failure(result, tensors[fixed], tensors[moving], self.volume(fixed).spacing[0])
        if failure is not None:
            beside["failure_percent"] = 100 * failure
        return Measured(result, beside)

    @property
    def program(self) -> dict[str, str]:
        """The facts of a program from outside for a record: its version, and what its environment holds."""
        return self._method.facts()

    def identities(self, pairs: Sequence[Pair], versions: Mapping) -> dict[Pair, str]:
        """Return the identity of each unordered pair's registrations: both images, alignments, method, software."""
        digests = {name: files_digest([self.images[name]]) for name in {name for pair in pairs for name in pair}}
        facts = {**self._files.facts(), "versions": versions, **self.program}
        if self._labels:
            digests = {name: one + files_digest([self._labels[name]]) for name, one in digests.items()}
        found = {}
        for pair in pairs:
            both = [one for one in map(self._affine.get, (pair, pair[::-1])) if one]
            aligned = [[one.matrix.tolist(), one.seconds] for one in both]
            found[pair] = identity([digests[name] for name in pair], aligned, self._files.block, facts)
        return found


def register_aligned(
    method: Method,
    fixed: torch.Tensor,
    moving: torch.Tensor,
    affines: Sequence[np.ndarray],
    alignment: Alignment | None,
) -> Registration:
    """Register after an alignment, if there is one; its time is added, its map composed with the fields.

    ``fixed``, ``moving``: ``(1, 1, D, H, W)``; ``affines``: of both, ``(4, 4)`` from voxels to RAS mm.
    """
    if alignment is None:
        return method.register(fixed, moving)
    matrix = torch.from_numpy(voxel_matrix(alignment.matrix, *affines))
    result = method.register(fixed, warp(moving, affine_field(matrix, fixed.shape[2:], method.device)))
    inverse = result.inverse
    if inverse is not None:
        inverse = compose(inverse, affine_field(matrix.inverse(), moving.shape[2:], method.device))
    forward, seconds = compose_affine(matrix, result.forward), result.seconds + alignment.seconds
    return Registration(forward, inverse, seconds, memory_mib=result.memory_mib)
