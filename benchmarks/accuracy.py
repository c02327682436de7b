"""Dice of trained weights on a dataset's pairs, SM-GICNet's with and without views and instance optimisation.

``python -m benchmarks.accuracy results/DATASET WEIGHTS.pt ... --refine 0 25 --views none mirror``: weights of any
level, both directions of every pair; each row's difference to the first, with a 95 % interval from a bootstrap over
people. The workflow's tables are the judge of a method; this is for finding one.
"""

from __future__ import annotations

import argparse
from itertools import permutations, product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from smgicnet.cohort.kinds.label_maps import RENDERING
from smgicnet.commands.train import prepared_subjects
from smgicnet.core.provenance import hardware
from smgicnet.imaging.images import read_image, read_labels
from smgicnet.methods.device import image_tensor, to_device
from smgicnet.methods.weights import Weights, read_weights
from smgicnet.preparation.label_protocols import roi_names
from smgicnet.scoring.comparisons import bootstrap_interval
from smgicnet.scoring.jacobian import jacobian_metrics
from smgicnet.scoring.overlap import dice, present_labels, warp_labels

VIEWS = {"none": (False, 0), "mirror": (True, 0), "shift": (False, 1), "both": (True, 1)}


class Scores(NamedTuple):
    """Of every ordered pair, ``(n, n)`` with NaN on the diagonal: mean Dice, folded voxels (%) and seconds."""

    dice: np.ndarray
    folds: np.ndarray
    seconds: np.ndarray


def scores(trained: Weights, registering: dict, images: dict, labels: dict) -> Scores:
    """``registering``: another ``views`` or ``refinement`` than by default, where it differs."""
    parts = {key: {**trained.block[key], **part} for key, part in registering.items() if key in trained.block}
    method = to_device(trained.build(parts))
    tensors = {name: image_tensor(image, method.device) for name, image in images.items()}
    method.warm_up(*list(tensors.values())[:2])
    found = Scores(*np.full((3, len(images), len(images)), np.nan))
    for (i, fixed), (j, moving) in permutations(enumerate(images), 2):
        result = method.register(tensors[fixed], tensors[moving])
        forward = result.forward.cpu()
        rois = present_labels(labels[moving], present_labels(labels[fixed], list(roi_names())))
        found.dice[i, j] = dice(labels[fixed], warp_labels(labels[moving], forward), rois).mean()
        found.folds[i, j] = jacobian_metrics(forward, labels[fixed] > 0)["folds_percent"]
        found.seconds[i, j] = result.seconds
    return found


def difference(found: Scores, first: Scores) -> str:
    """To the first row: the mean over pairs and its interval."""
    differences = found.dice - first.dice
    differences = (differences + differences.T) / 2
    low, high = bootstrap_interval(differences, resamples=2000, seed=0)
    interval = "" if np.isnan(low) else f" ({low:+.3f} to {high:+.3f})"
    return f"{np.nanmean(differences):+.3f}{interval}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="results/DATASET, of `snakemake quality cohorts`")
    parser.add_argument("weights", type=Path, nargs="+")
    parser.add_argument("--split", choices=["train", "val", "test"], default="test", help="an image of each person")
    parser.add_argument("--views", choices=VIEWS, nargs="+", default=["none"], help="several are compared")
    parser.add_argument("--refine", type=int, nargs="+", default=[0], help="iterations; several are compared")
    parser.add_argument("--windows", nargs="+", default=["3,7"], help="of the refinement's NCC; several are compared")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    subjects = prepared_subjects(arguments.folder, excluding=False)[arguments.split]
    subjects = [one for one in subjects if RENDERING not in one.name]
    images = {one.name: read_image(one.image).data for one in subjects}
    labels = {one.name: read_labels(one.labels).data.astype(np.uint8) for one in subjects}
    print(f"{len(images)} people, {len(images) * (len(images) - 1)} ordered pairs, on {hardware()}\n")
    print("| weights | views | iterations | windows | Dice | SD | worst | to the first (95 %) | folds (%) | s |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    first = None
    for weights in arguments.weights:
        trained, name = read_weights(weights), "/".join(weights.parts[-4:-1])
        has_options = "views" in trained.block
        for views, iterations in product(arguments.views, arguments.refine) if has_options else [("none", 0)]:
            mirror, shift = VIEWS[views]
            for windows in arguments.windows if iterations else arguments.windows[:1]:
                refinement = {"iterations": iterations, "windows": list(map(int, windows.split(",")))}
                registering = {"views": {"mirror": mirror, "shift": shift}, "refinement": refinement}
                found = scores(trained, registering, images, labels)
                against = difference(found, first) if first else "–"
                first = first or found
                values = found.dice[~np.isnan(found.dice)]
                overlaps = f"{values.mean():.4f} | {values.std(ddof=1):.4f} | {values.min():.3f} | {against}"
                rest = f"{np.nanmean(found.folds):.4f} | {np.nanmedian(found.seconds):.2f}"
                shown = windows if iterations else "–"
                print(f"| {name} | {views} | {iterations} | {shown} | {overlaps} | {rest} |", flush=True)


if __name__ == "__main__":
    main()
