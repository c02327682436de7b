"""ConvexAdam with MIND features, which starts from aligned images: greedy's affine comes first, as it has none."""

import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from convexAdam.convex_adam_MIND import convex_adam_pt
from nibabel.affines import apply_affine
from nibabel.processing import resample_from_to
from picsl_greedy import Greedy3D

fixed, moving, folder, threads = sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4]
torch.set_num_threads(int(threads))
Greedy3D().execute(
    f"-d 3 -threads {threads} -i {fixed} {moving} -a -dof 12 -m NCC 4x4x4 -o {folder}/affine.txt -ia-image-centers "
    "-n 100x50x10 -search 500 30 20"
)
target, source = nib.load(fixed), nib.load(moving)
matrix = np.loadtxt(folder / "affine.txt")  # from the fixed image's RAS mm to the moving one's
aligned = nib.Nifti1Image(source.get_fdata(dtype=np.float32), np.linalg.inv(matrix) @ source.affine)
onto = resample_from_to(aligned, target, order=1)
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
pair = [torch.from_numpy(np.ascontiguousarray(one.get_fdata(dtype=np.float32))) for one in (target, onto)]
found = convex_adam_pt(*pair, device=device, dtype=torch.float32 if device.type == "cpu" else torch.float16)
voxels = np.stack(np.meshgrid(*map(np.arange, target.shape), indexing="ij"), -1)
start = apply_affine(target.affine, voxels)
moved = apply_affine(matrix, apply_affine(target.affine, voxels + found))
displacement = ((moved - start) * [-1, -1, 1]).astype(np.float32)[:, :, :, None]
field = nib.Nifti1Image(displacement, target.affine)
field.header.set_intent("vector")
nib.save(field, folder / "warp.nii.gz")
