"""How far a registration moves when a part of the moving head is cut off, as a field of view does.

``python -m benchmarks.cut_heads results/DATASET brain-t1-4mm --refine 0 14``: of the moving image of every ordered test
pair, a fifth of the brain's height is cut off at its top and then at its bottom. Each is registered again, and the
distance to where the whole image's registration leads is measured in mm, as a mean over the voxels of the fixed brain
that do not lead to what was cut off.
"""

from __future__ import annotations

import argparse
from itertools import permutations
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from torch import Tensor

from smgicnet.commands.train import prepared_subjects
from smgicnet.core.provenance import hardware
from smgicnet.core.shipped import find_weights
from smgicnet.imaging.images import Volume, read_image
from smgicnet.methods.device import image_tensor, to_device
from smgicnet.methods.weights import read_weights


def left_of(brain: Volume, fraction: float, end: str) -> np.ndarray:
    """The voxels that stay when a ``fraction`` of the brain's height is cut off at its ``end``, "top" or "bottom"."""
    axis = next(k for k, code in enumerate(nib.aff2axcodes(brain.affine)) if code in "SI")
    upwards = nib.aff2axcodes(brain.affine)[axis] == "S"
    filled = np.flatnonzero((brain.data > 0).any(tuple({0, 1, 2} - {axis})))
    low, high = filled[0], filled[-1] + 1
    slices = round(fraction * (high - low))
    stays = slice(None, high - slices) if (end == "top") == upwards else slice(low + slices, None)
    left = np.zeros(brain.data.shape, bool)
    left[(*[slice(None)] * axis, stays)] = True
    return left


def moved_mm(before: Tensor, after: Tensor, fixed: Volume, moving: Volume, left: np.ndarray) -> float:
    """The mean distance between where two displacements lead from the fixed brain, but for what was cut off."""
    brain = torch.from_numpy(fixed.data > 0)
    voxels = brain.nonzero() + before[0][:, brain].T
    inside = (voxels.round() >= 0) & (voxels.round() <= torch.tensor(left.shape) - 1)
    ends = voxels.round().long().clamp(min=0).minimum(torch.tensor(left.shape) - 1)
    kept = inside.all(1) & torch.from_numpy(left)[tuple(ends.T)]
    difference = (after - before)[0][:, brain].T[kept].double() @ torch.from_numpy(moving.affine[:3, :3].T)
    return float(difference.norm(dim=1).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="results/DATASET, of `snakemake quality cohorts`")
    parser.add_argument("weights", help="a file, or the name of shipped weights")
    parser.add_argument("--fraction", type=float, default=0.2, help="of the brain's height")
    parser.add_argument("--refine", type=int, nargs="+", default=[0], help="iterations; several are compared")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    files = prepared_subjects(arguments.folder, excluding=False)["test"]
    brains = {one.name: read_image(one.image) for one in files}
    print(f"{len(brains)} people, {len(brains) * (len(brains) - 1)} ordered pairs, on {hardware()}\n")
    print("| iterations | cut off | mean (mm) | worst pair (mm) | poses in doubt |\n|---|---|---|---|---|")
    trained = read_weights(find_weights(arguments.weights))
    for iterations in arguments.refine:
        refinement = {**trained.block["refinement"], "iterations": iterations}
        method = to_device(trained.build({"refinement": refinement}))
        images = {name: image_tensor(brain.data, method.device) for name, brain in brains.items()}
        pairs = list(permutations(brains, 2))
        whole = {pair: method.register(*(images[name] for name in pair)).forward.cpu() for pair in pairs}
        for end in ("top", "bottom"):
            distances, doubts = [], 0
            for fixed, moving in pairs:
                left = left_of(brains[moving], arguments.fraction, end)
                cut = np.where(left, brains[moving].data, 0).astype(np.float32)
                found = method.register(images[fixed], image_tensor(cut, method.device))
                ends = brains[fixed], brains[moving], left
                distances.append(moved_mm(whole[fixed, moving], found.forward.cpu(), *ends))
                doubts += bool(found.pose and found.pose.doubt)
            print(f"| {iterations} | {end} | {np.mean(distances):.2f} | {max(distances):.2f} | {doubts} |", flush=True)


if __name__ == "__main__":
    main()
