"""A program of its own command line as a method: it sees two images in files, and what it writes is read."""

from __future__ import annotations

import contextlib
import json
import math
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from smgicnet.config.blocks import own_settings
from smgicnet.config.building import build
from smgicnet.config.programs import PROGRAMS, sees_labels
from smgicnet.core.commands import Limits, Outcome, Scratch, run_command
from smgicnet.core.errors import InputError, printable
from smgicnet.core.layout import PROGRAM_FOLDER, PROGRAM_RECORD, environment_digest, program_environment
from smgicnet.core.provenance import contents_digest
from smgicnet.imaging.displacements import to_voxels
from smgicnet.imaging.field_formats import Geometry, read_geometry
from smgicnet.imaging.images import read_labels, write_volume
from smgicnet.imaging.transform_chain import displacement_of, read_transforms
from smgicnet.methods.contract import Displacements, Labels, Method, Registration, RegistrationFailed

READ_ONLY = 0o444
VERSION_LIMITS = Limits(120, 1)
LARGEST_LABEL = 255


@dataclass(frozen=True)
class CommandConfig:
    """The method's settings, see ``config/schemas/methods/command.schema.yaml``."""

    program: str | None
    command: str
    transforms: tuple[str, ...]
    vectors: str | None
    labels: str | None
    environment: Mapping[str, Any]
    requires: tuple[str, ...]
    install: str
    variables: tuple[str, ...]
    version: str | None
    seconds: str | None
    threads: int
    gpu: bool
    limits: Limits


class Command(Method):
    """A program that is run for each pair in a folder of its own, which is removed after it.

    ``spacing`` (mm) is that of the images' voxels. What the program sees are NIfTI files of two grids with RAS axes
    whose centres are the origin: as every method here, it knows no more of where heads lie than the grids show.
    """

    can_fail = True

    def __init__(self, config: CommandConfig, spacing: float):
        self.config, self.spacing = config, spacing

    @classmethod
    def from_block(cls, block: Mapping[str, Any], stage: int = 0) -> Command:
        return cls(build(CommandConfig, own_settings(block)), 1.0)

    def on_spacing(self, spacing: float) -> None:
        self.spacing = spacing

    @property
    def needs_labels(self) -> bool:  # type: ignore[override]
        return sees_labels(self.config.command)

    def facts(self) -> dict[str, str]:
        return {"program": self.version, **({"installed": self._installed} if self._record.is_file() else {})}

    @property
    def _record(self) -> Path:
        return Path(program_environment(environment_digest(self.config.environment)), PROGRAM_RECORD)

    @property
    def _installed(self) -> str:
        """The digest of what its environment holds."""
        return contents_digest(one.encode() for one in json.loads(self._record.read_text())["installed"])

    @cached_property
    def version(self) -> str:
        """The version that the program prints."""
        if self.config.version is None:
            return "not asked for"
        with Scratch.made() as scratch:
            command = self.config.version.replace("{programs}", shlex.quote(str(PROGRAMS)))
            outcome = self._run(f"{{ {command}\n}} 2>/dev/null", scratch, VERSION_LIMITS)
        printed = printable(outcome.output).strip().splitlines()
        return printed[0] if printed and not outcome.failure else "not known"

    def fields(self, fixed: Tensor, moving: Tensor) -> Displacements:
        found = self.register(fixed, moving)
        return Displacements(found.forward, found.inverse)

    def register(self, fixed: Tensor, moving: Tensor, labels: Labels = None) -> Registration:
        """Register by the program.

        Raises `RegistrationFailed` where it leaves no result that can be used, and `Interrupted` after a signal.
        """
        with Scratch.made() as scratch:
            folder = scratch.folder
            given = self._write_inputs(folder, (fixed, moving), labels)
            grids = [read_geometry(given[name]) for name in ("fixed", "moving")]  # before the command has the files
            (folder / "out").mkdir()
            places = {**given, "out": folder / "out", "programs": PROGRAMS}
            command = self.config.command.format(
                **{name: shlex.quote(str(path)) for name, path in places.items()},
                threads=self.config.threads,
                spacing=f"{self.spacing:g}",
            )
            outcome = self._run(command, scratch, self.config.limits)
            if outcome.failure:
                raise RegistrationFailed(outcome.failure.replace(str(folder), ""))
            try:
                return self._read(grids, folder / "out", outcome, fixed)
            except InputError as error:
                raise RegistrationFailed(str(error).replace(f"{folder / 'out'}/", "")) from None

    def _write_inputs(self, folder: Path, images: Sequence[Tensor], labels: Labels) -> dict[str, Path]:
        """Write what the command may read, each file by the name of its place; masks and labels where it names them."""
        written: dict[str, np.ndarray] = {}
        for name, image in zip(("fixed", "moving"), images, strict=True):
            data = image[0, 0].cpu().numpy().astype(np.float32)
            written |= {name: data, f"{name}_mask": (data > 0).astype(np.uint8)}
        if labels is not None:
            written |= {f"{name}_labels": data for name, data in zip(("fixed", "moving"), labels, strict=True)}
        files = {}
        for name, data in written.items():
            if name in ("fixed", "moving") or f"{{{name}}}" in self.config.command:
                files[name] = folder / f"{name}.nii.gz"
                affine = np.diag([self.spacing] * 3 + [1.0])
                affine[:3, 3] = -self.spacing * (np.array(data.shape) - 1) / 2
                write_volume(files[name], data, affine, fast=True)
                files[name].chmod(READ_ONLY)
        return files

    def _run(self, command: str, scratch: Scratch, limits: Limits) -> Outcome:
        environment, shell = self.config.environment, ["bash", "-euo", "pipefail", "-c", command]
        paths = []
        if image := environment.get("container"):
            gpu = ["--nv"] if self.config.gpu else []
            folder = str(scratch.folder)
            binds = ["--bind", f"{folder},{PROGRAMS}", "--pwd", folder, "--home", folder]
            image = str(Path(image).absolute()) if Path(image).exists() else image
            runner = "apptainer" if shutil.which("apptainer") else "singularity"
            shell = [runner, "exec", *gpu, "--contain", *binds, image, *shell]
        elif environment:
            paths = [str((self._record.parent / PROGRAM_FOLDER / "bin").absolute())]
        config = self.config
        return run_command(
            shell, scratch, limits, threads=config.threads, passed=config.variables, paths=paths, gpu=config.gpu
        )

    def _read(self, grids: Sequence[Geometry], out: Path, outcome: Outcome, like: Tensor) -> Registration:
        """Return what the program has written. Raises `InputError` for what is not there, or not of this pair."""
        for name in (*self.config.transforms, *([self.config.labels] if self.config.labels else [])):
            if not (out / name).is_file():
                raise InputError(name, "the command wrote no such file", "See what it printed")
        seconds, memory = self._seconds(outcome), outcome.memory_mib
        fixed, moving = grids
        if self.config.labels:
            moved = read_labels(out / self.config.labels)
            if moved.data.shape != fixed.shape or not np.allclose(moved.affine, fixed.affine, atol=1e-3):
                raise InputError(self.config.labels, "it is not on the fixed image's grid", "Write it there")
            if moved.data.min(initial=0) < 0 or moved.data.max(initial=0) > LARGEST_LABEL:
                problem = f"it has labels outside 0 to {LARGEST_LABEL}, which no label map has that it was given"
                raise InputError(self.config.labels, problem, "Write the moving image's labels")
            unknown = like.new_full((1, 3, *fixed.shape), torch.nan)
            return Registration(unknown, None, seconds, labels=moved.data.astype(np.uint8), memory_mib=memory)
        chain = read_transforms([out / name for name in self.config.transforms], fixed, moving, self.config.vectors)
        found = to_voxels(displacement_of(chain, fixed), fixed.affine, moving.affine)
        return Registration(torch.from_numpy(found)[None].to(like.device), None, seconds, memory_mib=memory)

    def _seconds(self, outcome: Outcome) -> float:
        """Return the time that the program says, or that of the whole command."""
        if self.config.seconds is None:
            return outcome.seconds
        said = re.search(self.config.seconds, outcome.output)
        with contextlib.suppress(ValueError):
            seconds = float(said[1] if said else "")
            if 0 <= seconds < math.inf:
                return seconds
        problem = "it finds no number of seconds in what the command printed"
        raise InputError(self.config.seconds, problem, "Correct the method's `seconds`")
