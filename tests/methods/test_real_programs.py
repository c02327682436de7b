"""The ready blocks of programs that the package index has, in environments of their own, on a head that was moved."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.spatial.transform import Rotation

from smgicnet.config.completion import complete_method
from smgicnet.core.layout import PROGRAM_RECORD, environment_digest, program_environment
from smgicnet.jobs.programs import make_environment
from smgicnet.methods.command import Command
from tests.support.heads import real_brain

SPACING = 4.0
TURN, SHIFT = Rotation.from_rotvec([0.05, -0.08, 0.1]).as_matrix(), np.array([1.5, -1.0, 0.5])  # in voxels

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def pair():
    """A brain, the same brain turned and shifted, and where each of its voxels went, in voxels."""
    fixed = real_brain().data / real_brain().data.max()
    centre = (np.array(fixed.shape) - 1) / 2
    moving = ndimage.affine_transform(fixed, TURN.T, centre - TURN.T @ (centre + SHIFT), order=1)
    voxels = np.argwhere(fixed > 0.1)
    expected = (voxels - centre) @ TURN.T + centre + SHIFT - voxels
    return [torch.from_numpy(data.astype(np.float32))[None, None] for data in (fixed, moving)], voxels, expected


@pytest.mark.parametrize("program", ["greedy", "fireants", "convexadam", "elastix", "antspyx-quick"])
def test_it_finds_where_a_head_was_moved(program, pair, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    part = complete_method({"type": "command", "program": program}, "test")
    environment = part["environment"]
    make_environment(environment, Path(program_environment(environment_digest(environment)), PROGRAM_RECORD))
    method = Command.from_block(part)
    method.on_spacing(SPACING)
    images, voxels, expected = pair
    found = method.register(*images)
    displacement = found.forward[0].numpy()[:, *voxels.T].T
    error = SPACING * np.linalg.norm(displacement - expected, axis=1)
    assert np.median(SPACING * np.linalg.norm(expected, axis=1)) > 6
    assert np.median(error) < 1
    assert method.version not in ("not known", "not asked for")
