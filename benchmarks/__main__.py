"""Speed and memory, side by side in one process: ``make bench``, or ``python -m benchmarks --quick``.

Machines are shared and noisy: the ratio of two forms timed in turn counts, not a time.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.planning import bench_dag
from benchmarks.timing import DEVICE, in_turn, report
from smgicnet.cohort.rendering import to_labels
from smgicnet.cohort.template import load_template
from smgicnet.config.completion import complete, complete_method, load
from smgicnet.core.provenance import hardware
from smgicnet.imaging.foreground import brain_centre
from smgicnet.imaging.grids import Grid
from smgicnet.imaging.images import Volume
from smgicnet.methods import METHODS
from smgicnet.methods.contract import LearnedMethod
from smgicnet.methods.device import has_bfloat16, to_device
from smgicnet.preparation import preprocessing
from smgicnet.preparation.label_protocols import map_labels, roi_names
from smgicnet.preparation.preprocessing import common_affine
from smgicnet.registration.fields import Flow, resample
from smgicnet.registration.losses import local_ncc
from smgicnet.scoring.hausdorff import hausdorff95_mm
from smgicnet.scoring.jacobian import jacobian_metrics
from smgicnet.scoring.overlap import dice, present_labels, warp_labels
from smgicnet.scoring.pair_metrics import ndv_percent
from smgicnet.training.loop import step_gradients, weighted_total

ROOT = Path(__file__).parent.parent


def convolution_ncc(image: torch.Tensor, other: torch.Tensor, window: int, eps: float = 1e-5) -> torch.Tensor:
    """Local NCC as the field's code has it: five convolutions with a kernel of ones, differentiated by autograd."""
    kernel = image.new_ones(1, 1, *[window] * 3)
    sums = [F.conv3d(x, kernel, padding=window // 2) for x in (image, other, image**2, other**2, image * other)]
    n = window**3
    cross = sums[4] - sums[0] * sums[1] / n
    var_i, var_j = sums[2] - sums[0] ** 2 / n, sums[3] - sums[1] ** 2 / n
    return -(cross**2 / (var_i * var_j + eps)).mean()


def bench_machine() -> tuple[float, float]:
    """What the machine can do: floating point operations a second of a matrix product, bytes a second of a copy. A GPU
    multiplies as it convolves, in TF32."""
    side, length = (8192, 2**30) if DEVICE.type == "cuda" else (2048, 2**26)
    a, b = torch.rand(2, side, side, device=DEVICE)
    x = torch.rand(length, device=DEVICE)
    y = torch.empty_like(x)
    torch.set_float32_matmul_precision("high")
    seconds = in_turn({"product": lambda: a @ b, "copy": lambda: y.copy_(x)}, 5)
    torch.set_float32_matmul_precision("highest")  # torch's default, as the package has it
    operations, traffic = 2 * side**3 / seconds["product"], 2 * x.nbytes / seconds["copy"]
    print("\nThe machine\n| | matrix product (GFLOP/s) | copy, reading and writing (GB/s) |\n|---|---|---|")
    print(f"| in float32 | {operations / 1e9:.0f} | {traffic / 1e9:.1f} |", flush=True)
    return operations, traffic


def bench_ncc(sizes: list[int], repeats: int, bandwidth: float) -> None:
    """Forward and backward with respect to the warped image."""
    shares = {}
    for size in sizes:
        warped, fixed = torch.rand(2, 1, 1, size, size, size, device=DEVICE)
        warped.requires_grad_()

        def step(form, warped=warped, fixed=fixed):
            warped.grad = None
            form(warped, fixed, 9).backward()

        forms = {"convolution": lambda s=step: s(convolution_ncc), "running sums": lambda s=step: s(local_ncc)}
        seconds = report(f"Local NCC, window 9, {size} cubed, forward and backward", forms, repeats)
        traffic = (5 + 3) * 3 * 2 * warped.nbytes  # sums of five maps and of three, along each axis, read and written
        shares[size] = traffic / seconds["running sums"] / bandwidth
    print("\nThe box sums alone, copied at the machine's speed\n| | of the running sums' time (%) |\n|---|---|")
    for size, share in shares.items():
        print(f"| {size} cubed | {100 * share:.0f} |", flush=True)


def bench_steps(size: int, channels: int, repeats: int, peak: float) -> None:
    """A training step of each level: both directions in one batch against one after the other, as the field has NCC."""
    part = {"type": "smgicnet", "network": {"channels": channels}}
    grid = {"source": {"kind": "phantom"}, "grid": {"shape": [size] * 3}}
    block = complete({"datasets": {"d": grid}, "methods": {"m": part}})["methods"]["m"]
    image_a, image_b = torch.rand(2, 1, 1, size, size, size, device=DEVICE)
    rates = {}
    for level in range(1, 5):
        methods = []
        for recompute in (False, True):
            torch.manual_seed(0)
            network = {**block["network"], "recompute": recompute}
            methods.append(to_device(METHODS["smgicnet"].from_block({**block, "network": network}, level)))

        def step(both: bool, ncc: Callable = local_ncc, recompute=False, half=False, methods=methods):
            method = methods[recompute]
            method.network.zero_grad(set_to_none=True)
            half_precision = torch.autocast(DEVICE.type, torch.bfloat16, enabled=half)
            with half_precision, patch("smgicnet.registration.losses.local_ncc", ncc):
                terms = method.objective(image_a, image_b) if both else one_after_the_other(method, image_a, image_b)
            weighted_total(terms, method.weights).backward()

        forms = {
            "one after the other, NCC by convolution": lambda s=step: s(False, convolution_ncc),
            "one after the other": lambda s=step: s(False),
            "one batch": lambda s=step: s(True),
            "one batch, recomputed": lambda s=step: s(True, recompute=True),
        }
        if has_bfloat16(DEVICE):
            forms["one batch, bfloat16"] = lambda s=step: s(True, half=True)
            forms["one batch, recomputed, bfloat16"] = lambda s=step: s(True, recompute=True, half=True)
        anew = {}
        for recompute, half in product((False, True), repeat=2) if DEVICE.type == "cuda" else ():
            if has_bfloat16(DEVICE) or not half:
                name = f"one batch{', recomputed' * recompute}{', bfloat16' * half}, CUDA graph"
                recording = partial(graphed_step, methods[recompute], "bfloat16" if half else "float32")
                forms[name] = recording(image_a, image_b)
                anew[name] = lambda recording=recording: recording(image_a, image_b)()
        seconds = report(f"Training step of level {level}, {size} cubed, {channels} channels", forms, repeats, anew)
        with FlopCounterMode(display=False) as counter:
            step(True)
        rates[level] = counter.get_total_flops() / seconds["one batch"]
    print("\nConvolutions of one batch\n| | GFLOP/s | of the matrix product's (%) |\n|---|---|---|")
    for level, rate in rates.items():
        print(f"| level {level} | {rate / 1e9:.0f} | {100 * rate / peak:.0f} |", flush=True)


def graphed_step(method: LearnedMethod, precision: str, *pair: torch.Tensor) -> Callable[[], object]:
    """A step as training does it on a GPU."""
    return partial(step_gradients(method, precision), *pair)


def one_after_the_other(method, image_a: torch.Tensor, image_b: torch.Tensor) -> dict[str, torch.Tensor]:
    """The same objective from two passes of the network, A to B and then B to A, joined afterwards."""
    network = method.network
    passes = [network(image_a, image_b), network(image_b, image_a)]
    joined = [join_levels(*pair) for pair in zip(*passes, strict=True)]
    method.network = lambda moving, fixed: joined
    try:
        return method.objective(image_a, image_b)
    finally:
        method.network = network


def join_levels(one, two):
    """Two directions' outputs of a level as the batch that one pass would have given."""
    if one is None:
        return None
    if isinstance(one, int):
        return one
    if isinstance(one, torch.Tensor):
        return torch.cat([one, two])
    if isinstance(one, tuple):
        return type(one)(*map(join_levels, one, two))
    values = {name: join_levels(getattr(one, name), getattr(two, name)) for name in one.__dataclass_fields__}
    joined = type(one)(**values)
    if isinstance(one, Flow):
        joined.__dict__["displacement"] = torch.cat([one.displacement, two.displacement])  # computed once, by each
    return joined


def bench_registration(size: int, repeats: int) -> None:
    """A pair, its field and the inverse, by untrained networks of the published sizes and by the real anatomies', which
    has no pose level here: that needs the mean image of a training."""
    plus = load(ROOT / "config/anatomies.yaml")["methods"]["smgicnet-plus"]
    plus = {**plus, "pose": {**plus["pose"], "rotations": 0}}
    blocks = {
        "LapIRN, 28 channels": complete_method({"type": "lapirn"}, "benchmark"),
        "SM-GICNet, 32 channels": complete_method({"type": "smgicnet"}, "benchmark"),
        "SM-GICNet plus, 16 channels": plus,
        "the same, finest_stride 1": {**plus, "network": {**plus["network"], "finest_stride": 1}},
    }
    pair = torch.rand(2, 1, 1, size, size, size, device=DEVICE).unbind()
    methods = {
        name: to_device(METHODS[block["type"]].from_block(block, len(block["stages"])))
        for name, block in blocks.items()
    }
    forms = {name: lambda m=method: m.register(*pair) for name, method in methods.items()}
    report(f"Registration of a pair, {size} cubed, field and inverse", forms, repeats)


def bench_scoring(size: int, repeats: int) -> None:
    """The parts of scoring a pair, on one thread: the template's label map and the same, deformed."""
    template = load_template()
    volume, grid = Volume(map_labels(to_labels(template.regions)), template.affine), Grid((size,) * 3, 192 / size)
    affine = common_affine(volume, brain_centre(template.regions > 0), grid)
    labels = preprocessing.resample(volume, affine, grid.shape, order=0)
    coarse = torch.randn(1, 3, *[7] * 3, generator=torch.Generator().manual_seed(0))
    field = resample(coarse, grid.shape) * 6 / grid.spacing  # about 6 mm
    rois = present_labels(labels, list(roi_names()))
    warped, brain, threads = warp_labels(labels, field), labels > 0, torch.get_num_threads()
    torch.set_num_threads(1)
    parts = {
        "warp the labels": lambda: warp_labels(labels, field),
        "Dice": lambda: dice(labels, warped, rois),
        "HD95": lambda: hausdorff95_mm(labels, warped, rois, np.full(3, grid.spacing)),
        "Jacobian": lambda: jacobian_metrics(field, brain),
        "NDV, by its authors' package": lambda: ndv_percent(field, brain),
    }
    seconds = in_turn(parts, repeats)
    torch.set_num_threads(threads)
    overlap = dice(labels, warped, rois).mean()
    print(f"\n{len(rois)} ROIs, whose Dice is {overlap:.2f}.\n")
    print(f"Scoring a pair, {size} cubed, one core\n| part | s |\n|---|---|")
    for name, value in seconds.items():
        print(f"| {name} | {value:.3f} |")
    print(f"| together without NDV | {sum(list(seconds.values())[:-1]):.3f} |", flush=True)


def bench_start() -> None:
    """What a user waits for before anything happens."""
    python = [sys.executable, "-m"]
    with tempfile.TemporaryDirectory() as folder:
        dry = ["snakemake", "-n", "--cores", "1", "--directory", folder]
        commands = {
            "smgicnet register --help": [*python, "smgicnet.cli", "register", "--help"],
            "snakemake -n, default config": [*python, *dry, "--configfile", str(ROOT / "config/config.yaml")],
        }
        run = {
            name: lambda c=command: subprocess.run(c, check=True, cwd=ROOT, capture_output=True)
            for name, command in commands.items()
        }
        print("\nStart-up\n| command | s |\n|---|---|")
        for name, value in in_turn(run, 3).items():
            print(f"| `{name}` | {value:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs")
    names = ["ncc", "steps", "registration", "scoring", "start", "dag"]
    parser.add_argument("--parts", nargs="+", choices=names, default=names, help="by default all")
    arguments = parser.parse_args()
    print(f"On {hardware()}, torch {torch.__version__}, {torch.get_num_threads()} threads.")
    sizes, size, repeats = ([32], 32, 1) if arguments.quick else ([64, 128], 128, 3)
    trained = size if DEVICE.type == "cuda" else size // 2
    peak, bandwidth = bench_machine()
    parts = {
        "ncc": lambda: bench_ncc(sizes, repeats, bandwidth),
        "steps": lambda: bench_steps(*((32, 4) if arguments.quick else (trained, 16)), repeats=repeats, peak=peak),
        "registration": lambda: bench_registration(size, repeats),
        "scoring": lambda: bench_scoring(size, repeats),
        "start": bench_start,
        "dag": bench_dag,
    }
    for name in arguments.parts:
        parts[name]()


if __name__ == "__main__":
    main()
