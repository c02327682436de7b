"""A program that registers by centres of mass: ``python shift.py FIXED MOVING OUT.txt`` writes ITK's transform."""

import sys

import nibabel as nib
import numpy as np
from scipy.ndimage import center_of_mass

fixed, moving = (nib.load(path) for path in sys.argv[1:3])
centres = [one.affine @ [*center_of_mass(np.asarray(one.dataobj)), 1] for one in (fixed, moving)]
shift = (centres[1] - centres[0])[:3] * [-1, -1, 1]
with open(sys.argv[3], "w") as file:
    file.write("#Insight Transform File V1.0\nTransform: AffineTransform_double_3_3\nParameters: 1 0 0 0 1 0 0 0 1 ")
    file.write(" ".join(map(str, shift)) + "\nFixedParameters: 0 0 0\n")
