"""Displacements from EasyReg's field, which holds RAS coordinates in the moving image: ``run_easyreg.py IN OUT``."""

import sys

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine

coordinates = nib.load(sys.argv[1])
voxels = np.stack(np.meshgrid(*map(np.arange, coordinates.shape[:3]), indexing="ij"), -1)
displacement = np.squeeze(coordinates.get_fdata()) - apply_affine(coordinates.affine, voxels)
nib.save(nib.Nifti1Image(displacement.astype(np.float32), coordinates.affine), sys.argv[2])
