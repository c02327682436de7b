"""A cohort of the paper's size: memory of preprocessing, the training reader's speed and memory, order of the pairs.

``python -m benchmarks.scale`` makes 360 synthetic scans of 256 cubed in a temporary folder (of a few different brains:
files of their own, not links), prepares them one after the other in one process, and reads pairs of the prepared images
as a training does. ``--subjects 12`` shows in two minutes that it runs.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import tempfile
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import ndimage

from smgicnet.config.completion import complete_method
from smgicnet.core.layout import PREPARED
from smgicnet.core.provenance import hardware
from smgicnet.imaging.grids import Grid
from smgicnet.imaging.images import read_labels, write_volume
from smgicnet.methods import METHODS
from smgicnet.methods.loading import load_method
from smgicnet.preparation.label_protocols import roi_names
from smgicnet.preparation.preprocessing import prepare, write_prepared
from smgicnet.scoring.overlap import dice, present_labels, warp_labels
from smgicnet.training.sampling import ImageSet, PairSampler

BRAINS = 3
GRID = Grid((128, 128, 128), 1.5)


def resident() -> tuple[float, float]:
    """MiB of this process that are its own, and those of mapped files, which the system takes back at need."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return tuple(int(fields[key].split()[0]) / 1024 for key in ("RssAnon", "RssFile"))


def make_scans(folder: Path, subjects: int, size: int) -> list[tuple[Path, Path]]:
    """Smooth random brains, ellipsoids of two tissues, as int16 ``.nii.gz`` of 1 mm with a label map each."""
    files, affine = [], np.diag([1.0, 1, 1, 1])
    axes = np.meshgrid(*[np.linspace(-1, 1, size, dtype=np.float32)] * 3, indexing="ij", sparse=True)
    for number in range(subjects):
        image, labels = (folder / f"sub-{number:03d}{kind}.nii.gz" for kind in ("", "-labels"))
        if number < BRAINS:
            rng = np.random.default_rng(number)
            brain = sum((axis / r) ** 2 for axis, r in zip(axes, (0.55, 0.65, 0.5))) < 1
            white = ndimage.gaussian_filter(rng.standard_normal((size,) * 3, dtype=np.float32), size / 40) > 0
            noise = 40 * rng.standard_normal((size,) * 3, dtype=np.float32)
            write_volume(image, (brain * np.maximum(400 + 300 * white + noise, 1)).astype(np.int16), affine)
            write_volume(labels, (brain * np.where(white, 2, 3)).astype(np.uint8), affine)
        else:
            for path, source in zip((image, labels), files[number % BRAINS]):
                shutil.copy(source, path)
        files.append((image, labels))
    return files


def bench_preprocessing(scans: list[tuple[Path, Path]], folder: Path) -> list[Path]:
    """Prepare every scan in this process, and say how the memory went."""
    prepared, start, size = [], time.perf_counter(), sum(image.stat().st_size for image, _ in scans)
    print(f"\n{len(scans)} scans, {size / 1e9:.1f} GB.\n\n**Scans one after the other in one process**\n")
    print("| subjects done | seconds each | own memory (MiB) | highest so far (MiB) |\n|---|---|---|---|")
    for number, (image, labels) in enumerate(scans, start=1):
        out = {kind: folder / f"{number:03d}" / name for kind, name in PREPARED.items()}
        write_prepared(prepare(image, labels, GRID), out)
        prepared.append(out["image"])
        if number in (2, len(scans) // 4, len(scans) // 2, len(scans)):
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            seconds = (time.perf_counter() - start) / number
            print(f"| {number} | {seconds:.2f} | {resident()[0]:.0f} | {peak:.0f} |", flush=True)
    return prepared


def bench_reader(paths: list[Path], batches: int) -> None:
    """Pairs in a training's order, and the step that consumes them."""
    before = resident()
    images, sampler = ImageSet(paths), PairSampler(len(paths), 1, seed=1)
    seconds = []
    for step in range(batches):
        start = time.perf_counter()
        for pair in sampler.batch(step):
            images.batch(pair)
        seconds.append(time.perf_counter() - start)
    after, rate = resident(), batches / sum(seconds)
    stored = sum(path.stat().st_size for path in paths)
    print("\n**The training reader**\n")
    print("| | random pairs | pairs a second | slowest (s) | own memory (MiB) | mapped files (MiB) |")
    print("|---|---|---|---|---|---|")
    grown = " | ".join(f"{later - earlier:.0f}" for earlier, later in zip(before[:2], after[:2]))
    what = f"{len(paths)} images of {GRID.shape[0]} cubed, {stored / 1e9:.2f} GB on disk"
    print(f"| {what} | {batches} | {rate:.0f} | {max(seconds):.3f} | {grown} |")
    print("\n**Training steps beside the reader**\n\n| | s | times as long as reading a pair |\n|---|---|---|")
    block = complete_method({"type": "smgicnet", "network": {"channels": 16}}, "benchmark")
    for stage in (1, 2, 3, 4):
        method = METHODS["smgicnet"].from_block(block, stage)
        pair = [image[None].contiguous() for image in images.batch([0, 1])]
        start = time.perf_counter()
        sum(method.objective(*pair).values()).backward()
        step = time.perf_counter() - start
        print(f"| level {stage} | {step:.2f} | {step * rate:.0f} |")


def bench_order(subjects: int) -> None:
    """The order of an epoch's pairs."""
    tracemalloc.start()
    start, sampler = time.perf_counter(), PairSampler(subjects, 1, seed=1)
    sampler.batch(0)
    peak, seconds = tracemalloc.get_traced_memory()[1] / 2**20, time.perf_counter() - start
    tracemalloc.stop()
    print("\n**The order of an epoch's pairs**\n\n| | ms | MiB |\n|---|---|---|")
    print(f"| {sampler.pairs:,} pairs of {subjects} training subjects | {1000 * seconds:.1f} | {peak:.1f} |")


def bench_storage(run: Path) -> None:
    """Dice of a trained method's test pairs from images as they are stored, and from float32 before storing."""
    weights = run / "raw/smgicnet/seed-1/level-4/weights.pt"
    table = pd.read_csv(run / "cohort/participants.tsv", sep="\t", index_col="subject")
    names = table.index[table["split"] == "test"].tolist()
    reports = {n: json.loads((run / f"raw/subjects/{n}/preprocessing.json").read_text()) for n in names}
    grid = Grid(tuple(reports[names[0]]["grid_shape"]), reports[names[0]]["grid_spacing_mm"])
    method, _ = load_method({"type": "smgicnet"}, weights, grid.spacing)
    exact = {n: torch.from_numpy(prepare(run / "cohort" / n / "rendered.nii.gz", None, grid).image) for n in names}
    stored = ImageSet([run / f"raw/subjects/{n}/image.nii" for n in names]).batch(range(len(names)))
    labels = {n: read_labels(run / f"raw/subjects/{n}/labels.nii").data.astype(np.uint8) for n in names}
    differences = []
    for i, fixed in enumerate(names):
        for j, moving in enumerate(names):
            if i != j:
                pairs = ((exact[fixed][None, None], exact[moving][None, None]), (stored[i : i + 1], stored[j : j + 1]))
                rois = [
                    roi for roi in present_labels(labels[fixed], list(roi_names())) if (labels[moving] == roi).any()
                ]
                scores = [
                    dice(labels[fixed], warp_labels(labels[moving], method.register(*pair).forward), rois).mean()
                    for pair in pairs
                ]
                differences.append(abs(scores[0] - scores[1]))
    print("\n**Stored as uint16 instead of float32: differences of Dice, in millionths**\n")
    print("| | mean | highest |\n|---|---|---|")
    what = f"{len(differences)} test pairs of {run.name}"
    print(f"| {what} | {1e6 * np.mean(differences):.1f} | {1e6 * max(differences):.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subjects", type=int, default=360)
    parser.add_argument("--size", type=int, default=256, help="voxels along each axis of a scan")
    parser.add_argument("--batches", type=int, default=2000, help="pairs that the reader reads")
    parser.add_argument("--run", type=Path, help="results/anatomies of a finished run, to compare the ways of storing")
    arguments = parser.parse_args()
    print(f"On {hardware()}.")
    bench_order(280)
    if arguments.run:
        bench_storage(arguments.run)
    with tempfile.TemporaryDirectory() as folder:
        scans = make_scans(Path(folder), arguments.subjects, arguments.size)
        prepared = bench_preprocessing(scans, Path(folder) / "prepared")
        bench_reader(prepared, arguments.batches)


if __name__ == "__main__":
    main()
