"""A short measurement of what each method costs on this machine: a step of each stage, a pair, an alignment."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from smgicnet.core.shipped import find_weights
from smgicnet.imaging.images import write_volume
from smgicnet.methods import METHODS
from smgicnet.methods.contract import LearnedMethod
from smgicnet.methods.device import image_tensor, to_device
from smgicnet.methods.loading import load_method
from smgicnet.preparation.affine import AffineConfig, align
from smgicnet.preparation.label_protocols import roi_names
from smgicnet.scoring.evaluation import score_pair
from smgicnet.scoring.pair import ScoredSubject
from smgicnet.training.loop import step_gradients

log = logging.getLogger(__name__)
ENOUGH = 2.0  # seconds after which no further step is timed
STEPS = 20  # at most
CROPPED = (
    128  # voxels along each axis: a method whose weights are given is timed on so much of a larger grid, and scaled
)
LARGEST = 64**3  # voxels: beyond it what has no network is timed on a coarser grid, and scaled by the voxels


def synthetic_brain(shape: tuple[int, int, int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return an ellipsoid in noise with all ROIs as blobs, ``(D, H, W)``: an image in [0, 1] and its label map."""
    random = np.random.default_rng(seed)
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    brain = sum(axis**2 for axis in axes) < 0.7
    noise = gaussian_filter(random.standard_normal(shape), [n / 24 for n in shape])
    places = random.uniform(-0.7, 0.7, (len(roi_names()), 3))
    nearest = np.argmin([sum((axis - p) ** 2 for axis, p in zip(axes, place)) for place in places], axis=0)
    labels = np.where(brain, np.array(list(roi_names()), dtype=np.uint8)[nearest], 0).astype(np.uint8)
    image = np.where(brain, 0.5 + 0.5 * noise / np.abs(noise).max(), 0).astype(np.float32)
    return image, labels


def seconds_of(work: Callable[[], object]) -> float:
    """Return the median time of a piece of work, without a first one unless that takes long enough alone."""
    times = []
    while len(times) < STEPS + 1 and sum(times[1:]) < ENOUGH and sum(times) < 10 * ENOUGH:
        begun = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begun)
    return float(np.median(times[1:] or times))


def step_seconds(block: Mapping, shape: tuple[int, int, int]) -> list[float]:
    """Return the seconds of an optimiser step of each stage of a learned method, both directions, on such a grid."""
    found = []
    for stage in range(1, len(block["stages"]) + 1):
        method = METHODS[block["type"]].from_block(block, stage)
        to_device(method)
        batch = _batch(method, shape, block["training"]["batch_size"])
        optimizer = torch.optim.Adam(method.network.parameters())
        learn = step_gradients(method, block["training"]["precision"])

        def step(learn=learn, batch=batch, optimizer=optimizer) -> None:
            learn(*batch)
            optimizer.step()

        found.append(seconds_of(step))
        log.info("  stage %d of %s: %.3g s a step", stage, block["type"], found[-1])
    return found


def _batch(method: LearnedMethod, shape: tuple[int, int, int], count: int) -> tuple:
    """What the objective takes: one brain, ``count`` times with itself."""
    image, labels = (torch.cat([image_tensor(one, method.device)] * count) for one in synthetic_brain(shape, 1))
    if not method.uses_labels:
        return image, image
    return image, image, (labels, labels)


def pair_seconds(block: Mapping, shape: tuple[int, int, int], spacing: float) -> float:
    """Return the seconds to register, score and judge an unordered pair, both directions."""
    learned = issubclass(METHODS[block["type"]], LearnedMethod)
    scale = 1.0
    if not learned and np.prod(shape) > LARGEST and "published" not in block:
        factor = (np.prod(shape) / LARGEST) ** (1 / 3)
        smaller = tuple(round(n / factor) for n in shape)
        scale, shape, spacing = float(np.prod(shape) / np.prod(smaller)), smaller, spacing * factor
    if learned:
        if block["weights"] and np.prod(shape) > CROPPED**3:  # stages on fine images cost as much as they have voxels
            smaller = tuple(min(n, CROPPED) for n in shape)
            scale, shape = float(np.prod(shape) / np.prod(smaller)), smaller
        method = _learned(block, spacing)
    else:
        file = Path(block["published"]["file"]) if "published" in block else None
        method, _ = load_method(block, file, spacing)
    affine = np.diag([spacing, spacing, spacing, 1.0])
    brains = [synthetic_brain(shape, seed) for seed in (1, 2)]
    images = [image_tensor(image, method.device) for image, _ in brains]
    subjects = [ScoredSubject(str(k), labels, affine, None, None) for k, (_, labels) in enumerate(brains)]
    method.warm_up(*images)

    def pair() -> None:
        results = [method.register(images[k], images[1 - k]) for k in (0, 1)]
        for k in (0, 1):
            score_pair(subjects[k], subjects[1 - k], results[k], results[1 - k], roi_names())
            method.failure(results[k], images[k], images[1 - k], spacing)

    found = seconds_of(pair) * scale
    log.info("  %s: %.3g s a pair, both directions, scored and judged", block["type"], found)
    return found


def _learned(block: Mapping, spacing: float) -> LearnedMethod:
    """Return a learned method on a grid of this ``spacing``, as a job that registers has it."""
    if block["weights"]:
        given, _ = load_method(block, find_weights(block["weights"]), spacing)
        assert isinstance(given, LearnedMethod)
        return given
    method: LearnedMethod = to_device(METHODS[block["type"]].from_block(block, len(block["stages"])))
    method.spacing = spacing
    method.on_spacing(spacing)
    return method


def alignment_seconds(config: AffineConfig, shape: tuple[int, int, int], spacing: float) -> float:
    """Return the seconds to align an unordered pair affinely, both directions."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{seed}.nii" for seed in (1, 2)]
        for seed, file in enumerate(files):
            write_volume(file, synthetic_brain(shape, seed)[0], np.diag([spacing, spacing, spacing, 1.0]))
        found = 2 * seconds_of(lambda: align(*files, config))
    log.info("  affine alignment by %s: %.3g s a pair, both directions", config.engine, found)
    return found
