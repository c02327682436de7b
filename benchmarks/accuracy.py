"""What trained weights reach on a dataset's pairs, SM-GICNet's with and without views and instance optimisation.

``python -m benchmarks.accuracy results/DATASET WEIGHTS.pt ... --refine 0 14 --views none mirror``: weights of any
level, or names of shipped ones, both directions of every pair; each row's difference in Dice to the first, with a 95 %
interval from a bootstrap over people. The workflow's tables are the judge of a method; this is for finding one.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from itertools import permutations, product
from pathlib import Path

import numpy as np
import torch

from smgicnet.cohort.kinds.label_maps import RENDERING
from smgicnet.commands.train import prepared_subjects
from smgicnet.core.provenance import hardware
from smgicnet.core.shipped import find_weights
from smgicnet.imaging.images import read_image
from smgicnet.jobs.register import scored_subject
from smgicnet.methods.device import image_tensor, to_device
from smgicnet.methods.weights import Weights, read_weights
from smgicnet.preparation.label_protocols import roi_names
from smgicnet.scoring.evaluation import score_pair
from smgicnet.scoring.pair import ScoredSubject
from smgicnet.scoring.resampling import bootstrap_interval

VIEWS = {"none": (False, 0), "mirror": (True, 0), "shift": (False, 1), "both": (True, 1)}
# metrics as `smgicnet.scoring.metrics` names them: their column, their decimals, and what is worst, if that is shown
SHOWN = {
    "dice": ("Dice", 4, min),
    "parcels_dice": ("parcels", 3, None),
    "endpoint_error_mm": ("EPE (mm)", 2, max),
    "inverse_consistency_mm": ("inverse (mm)", 3, None),
    "folds_percent": ("folds (%)", 4, None),
    "ndv_percent": ("NDV (%)", 4, None),
    "seconds": ("s", 2, None),
}


def scores(
    trained: Weights,
    registering: Mapping[str, Mapping],
    images: Mapping[str, np.ndarray],
    subjects: Mapping[str, ScoredSubject],
) -> dict[str, np.ndarray]:
    """What every ordered pair scores, by metric, as ``(n, n)``, NaN on the diagonal and where there is no such score.

    ``registering``: parts of the method's block other than by default, where they differ.
    """
    parts = {key: {**trained.block[key], **part} for key, part in registering.items() if key in trained.block}
    method = to_device(trained.build(parts))
    tensors = {name: image_tensor(image, method.device) for name, image in images.items()}
    method.warm_up(*list(tensors.values())[:2])
    names = list(images)
    registered = {pair: method.register(*(tensors[name] for name in pair)) for pair in permutations(names, 2)}
    found = {metric: np.full((len(names), len(names)), np.nan) for metric in SHOWN}
    for (fixed, moving), result in registered.items():
        ends, back = (subjects[fixed], subjects[moving]), registered[moving, fixed]
        for row in score_pair(*ends, result, back, roi_names(), only=set(SHOWN)):
            if row["roi"] in ("", "mean"):
                found[row["metric"]][names.index(fixed), names.index(moving)] = row["value"]
    return found


def difference(found: np.ndarray, first: np.ndarray) -> str:
    """To the first row: the mean over pairs and its interval."""
    differences = found - first
    differences = (differences + differences.T) / 2
    low, high = bootstrap_interval(differences, resamples=2000, seed=0)
    interval = "" if np.isnan(low) else f" ({low:+.3f} to {high:+.3f})"
    return f"{np.nanmean(differences):+.3f}{interval}"


def shown(metric: str, values: np.ndarray) -> str:
    """The mean over pairs, and the worst of them."""
    _, decimals, worst = SHOWN[metric]
    values = values[~np.isnan(values)]
    if not values.size:
        return "–"
    return f"{values.mean():.{decimals}f}" + (f" ({worst(values):.{min(decimals, 3)}f})" if worst else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="results/DATASET, of `snakemake quality cohorts`")
    parser.add_argument("weights", nargs="+", help="files, or names of shipped weights")
    parser.add_argument("--split", choices=["train", "val", "test"], default="test", help="an image of each person")
    parser.add_argument("--views", choices=VIEWS, nargs="+", default=["none"], help="several are compared")
    parser.add_argument("--refine", type=int, nargs="+", default=[0], help="iterations; several are compared")
    parser.add_argument("--smoothness", type=float, nargs="+", default=[0.3], help="of the refinement; as above")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    files = prepared_subjects(arguments.folder, excluding=False)[arguments.split]
    files = [one for one in files if RENDERING not in one.name]
    images = {one.name: read_image(one.image).data for one in files}
    subjects = {one.name: scored_subject(one) for one in files}
    print(f"{len(images)} people, {len(images) * (len(images) - 1)} ordered pairs, on {hardware()}\n")
    columns = ["weights", "views", "iterations", "smoothness", "Dice to the first (95 %)"]
    columns += [column + (" (worst)" if worst else "") for column, _, worst in SHOWN.values()]
    print(f"| {' | '.join(columns)} |")
    print("|---" * len(columns) + "|")
    first = None
    for weights in arguments.weights:
        path = find_weights(weights)
        trained, name = read_weights(path), "/".join(Path(weights).parts[-4:-1]) or weights
        has_options = "views" in trained.block
        for views, iterations in product(arguments.views, arguments.refine) if has_options else [("none", 0)]:
            mirror, shift = VIEWS[views]
            for smoothness in arguments.smoothness if iterations else arguments.smoothness[:1]:
                refinement = {"iterations": iterations, "smoothness": smoothness}
                registering = {"views": {"mirror": mirror, "shift": shift}, "refinement": refinement}
                found = scores(trained, registering, images, subjects)
                against = difference(found["dice"], first) if first is not None else "–"
                first = found["dice"] if first is None else first
                cells = [name, views, iterations, smoothness if iterations else "–", against]
                cells += [shown(metric, found[metric]) for metric in SHOWN]
                print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    main()
