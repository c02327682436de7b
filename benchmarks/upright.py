"""A pose level for weights that were trained without one: what the pose gives alone, without training again.

``python -m benchmarks.upright WEIGHTS.pt results/DATASET OUT.pt``: the mean image is that of the training subjects, one
image of each person, and the network stays as it is. The result is registered with like any weights.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from smgicnet.cohort.kinds.label_maps import RENDERING
from smgicnet.commands.train import prepared_subjects
from smgicnet.imaging.images import read_image
from smgicnet.methods.device import image_tensor
from smgicnet.methods.weights import Weights, read_weights, write_weights
from smgicnet.registration.mean_image import mean_image
from smgicnet.registration.pose import ROTATIONS


def with_pose(trained: Weights, images: list[Path]) -> Weights:
    """The same network, which sees pairs in the frame of the mean of ``images``, prepared as it was trained on."""
    loaded = (image_tensor(read_image(path).data, torch.device("cpu")) for path in images)
    with torch.no_grad():
        network = {**trained.network, "mean_image": mean_image(loaded, ROTATIONS)}
    return replace(trained, block={**trained.block, "pose": {"rotations": ROTATIONS, "upright": True}}, network=network)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path)
    parser.add_argument("folder", type=Path, help="results/DATASET, of `snakemake quality cohorts`")
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    people = [one for one in prepared_subjects(arguments.folder, excluding=False)["train"] if RENDERING not in one.name]
    write_weights(with_pose(read_weights(arguments.weights), [one.image for one in people]), arguments.out)
    print(f"{arguments.out}: the mean of {len(people)} people's images")


if __name__ == "__main__":
    main()
