"""A method that is a program of its own command line, and stand-ins for the program."""

import sys

import numpy as np
import pytest
import torch

from smgicnet.config.completion import complete_method
from smgicnet.methods.command import Command
from smgicnet.methods.contract import RegistrationFailed

SHAPE, SPACING = (12, 14, 10), 5.0
READ = f"""{sys.executable} - {{fixed}} {{moving}} {{out}} <<'END'
import sys, numpy as np, nibabel as nib
fixed, moving, out = nib.load(sys.argv[1]), nib.load(sys.argv[2]), sys.argv[3]
shape, affine = fixed.shape, fixed.affine
def save(name, array, affine=affine, intent="vector"):
    image = nib.Nifti1Image(array.astype(np.float32), affine)
    image.header.set_intent(intent)
    nib.save(image, out + "/" + name)
"""
# 10 mm to the left in RAS are +10 in ITK's LPS
SHIFT = READ + "save('warp.nii.gz', np.broadcast_to([10.0, 0, 0], (*shape, 1, 3)))\nEND"


def images():
    random = np.random.default_rng(0)
    return [torch.from_numpy(random.uniform(0, 1, (1, 1, *SHAPE)).astype(np.float32)) for _ in range(2)]


def method(command=SHIFT, **changes):
    part = {"type": "command", "label": "stand-in", "command": command, "transforms": ["warp.nii.gz"], **changes}
    found = Command.from_block(complete_method(part, "test"))
    found.on_spacing(SPACING)
    return found


def failure(command=SHIFT, **changes):
    with pytest.raises(RegistrationFailed) as caught:
        method(command, **changes).register(*images())
    return str(caught.value)
