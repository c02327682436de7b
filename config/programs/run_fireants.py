"""FireANTs: centres of mass, affine, then a greedy diffeomorphism by local correlation, as its documentation has it."""

import sys
from pathlib import Path

import torch
from fireants.io import BatchedImages, Image
from fireants.registration.affine import AffineRegistration
from fireants.registration.greedy import GreedyRegistration
from fireants.registration.moments import MomentsRegistration

fixed, moving, folder, threads = sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
torch.set_num_threads(threads)
device = "cuda" if torch.cuda.is_available() else "cpu"
pair = [BatchedImages([Image.load_file(path, device=device)]) for path in (fixed, moving)]
moments = MomentsRegistration(1, *pair, moments=1)
moments.optimize()
affine = AffineRegistration(
    [8, 4, 2, 1], [200, 100, 50, 20], *pair, optimizer_lr=3e-3, cc_kernel_size=5, init_rigid=moments.get_affine_init()
)
affine.optimize()
greedy = GreedyRegistration(
    [4, 2, 1], [200, 100, 25], *pair, loss_type="cc", cc_kernel_size=7, optimizer_lr=0.5,
    smooth_grad_sigma=1, smooth_warp_sigma=0.25, init_affine=affine.get_affine_matrix().detach(),
)  # fmt: skip
greedy.optimize()
greedy.save_as_ants_transforms(str(folder / "warp.nii.gz"))
