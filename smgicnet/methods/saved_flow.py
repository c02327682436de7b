"""The map of a pair of scans in a small file, from which displacements on any grid can be made again.

``velocity.nii.gz`` holds the stationary velocity in voxels of its own grid, ``(X, Y, Z, 1, 3)``, and ``velocity`` of
``registration.json`` the rest of a `PosedFlow`. The file's affine brings the grid's voxels to the fixed scan's world.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from smgicnet.core.errors import InputError
from smgicnet.imaging.displacements import read_vectors
from smgicnet.imaging.images import write_volume
from smgicnet.registration.posed_flow import PosedFlow

VELOCITY, RECORD = "velocity.nii.gz", "registration.json"


def write_flow(path: Path, flow: PosedFlow) -> None:
    """Write the velocity of a map between two worlds, RAS mm."""
    velocity = flow.velocity[0].movedim(0, -1)[:, :, :, None].cpu().numpy()
    write_volume(path, np.ascontiguousarray(velocity), flow.to_fixed.numpy(), intent="vector", fast=True)


def flow_facts(flow: PosedFlow) -> dict[str, Any]:
    """Return the facts of the map that the record of a registration has beside the velocity."""
    return {"to_fixed": flow.to_fixed.tolist(), "to_moving": flow.to_moving.tolist(), "factor": flow.factor}


def read_flow(folder: str | Path) -> PosedFlow:
    """Return the map between the worlds of two scans, RAS mm, from the folder to which they were registered.

    `PosedFlow.displacement` makes it on any grid, and its ``inverse`` the other way round. Raises `InputError` for a
    folder without one.
    """
    record, path = Path(folder) / RECORD, Path(folder) / VELOCITY
    try:
        facts = json.loads(record.read_text(encoding="utf-8"))["velocity"]
        fixed, moving = (torch.tensor(facts[name], dtype=torch.float64) for name in ("to_fixed", "to_moving"))
        factor = int(facts.get("factor", 1))  # not said before there was one
    except (OSError, ValueError, KeyError) as error:
        remedy = "Give the folder of a registration by a method that has a velocity"
        raise InputError(record, f"it says nothing of a velocity ({type(error).__name__})", remedy) from error
    volume, _, _ = read_vectors(path, anywhere=True)
    velocity = torch.from_numpy(volume.data.reshape(*volume.data.shape[:3], 3)).movedim(-1, 0)[None]
    return PosedFlow(velocity.contiguous(), fixed, moving, factor)
