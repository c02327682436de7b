"""Dice of SM-GICNet's trained weights on a dataset's test pairs, with and without instance optimisation.

``python -m benchmarks.accuracy results/DATASET WEIGHTS.pt ... --refine 0 50``: weights of any level, both directions of
every pair. The workflow's tables are the judge of a method; this is for finding one.
"""

from __future__ import annotations

import argparse
from itertools import permutations
from pathlib import Path

import numpy as np
import torch

from smgicnet.device import image_tensor, to_device
from smgicnet.evaluation import dice, jacobian_metrics, present_labels, warp_labels
from smgicnet.images import read_image, read_labels
from smgicnet.preprocessing import roi_names
from smgicnet.provenance import hardware
from smgicnet.standalone import prepared_subjects
from smgicnet.weights import Weights, read_weights


def scores(
    trained: Weights, refinement: dict, images: dict, labels: dict
) -> tuple[list[float], list[float], list[float]]:
    """Mean Dice, folded voxels (%) and seconds of every ordered pair."""
    method = to_device(trained.build({"refinement": {**trained.method["refinement"], **refinement}}))
    tensors = {name: image_tensor(image, method.device) for name, image in images.items()}
    method.warm_up(*list(tensors.values())[:2])
    overlaps, folds, seconds = [], [], []
    for fixed, moving in permutations(images, 2):
        result = method.register(tensors[fixed], tensors[moving])
        forward = result.forward.cpu()
        rois = present_labels(labels[moving], present_labels(labels[fixed], list(roi_names())))
        overlaps.append(float(dice(labels[fixed], warp_labels(labels[moving], forward), rois).mean()))
        folds.append(jacobian_metrics(forward, labels[fixed] > 0)["folds_percent"])
        seconds.append(result.seconds)
    return overlaps, folds, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="results/DATASET, of `snakemake quality cohorts`")
    parser.add_argument("weights", type=Path, nargs="+")
    parser.add_argument("--refine", type=int, nargs="+", default=[0], help="iterations; several are compared")
    parser.add_argument("--window", type=int, nargs="+", default=[None], help="of the refinement's NCC")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    subjects = prepared_subjects(arguments.folder, excluding=False)["test"]
    images = {one.name: read_image(one.image).data for one in subjects}
    labels = {one.name: read_labels(one.labels).data.astype(np.uint8) for one in subjects}
    print(f"{len(images)} people, {len(images) * (len(images) - 1)} ordered pairs, on {hardware()}\n")
    print("| weights | iterations | window | Dice | SD | worst | folds (%) | s |\n|---|---|---|---|---|---|---|---|")
    for weights in arguments.weights:
        trained, name = read_weights(weights), "/".join(weights.parts[-4:-1])
        for iterations in arguments.refine:
            for window in arguments.window if iterations else [None]:
                refinement = {"iterations": iterations, "window": window}
                found, folds, seconds = map(np.array, scores(trained, refinement, images, labels))
                row = f"| {name} | {iterations} | {window or '–'} | {found.mean():.4f} | {found.std(ddof=1):.4f} | "
                print(f"{row}{found.min():.3f} | {folds.mean():.4f} | {np.median(seconds):.2f} |", flush=True)


if __name__ == "__main__":
    main()
