"""Times of several forms of one thing, taken in turn, and their memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median

import torch
from torch.profiler import ProfilerActivity, profile

from smgicnet.methods import device
from smgicnet.methods.device import pick_device

DEVICE = pick_device()


def in_turn(functions: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of each function, called in turn so that a neighbour's load meets all of them."""
    seconds = {name: [] for name in functions}
    for repeat in range(repeats + 1):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            if DEVICE.type == "cuda":
                torch.cuda.synchronize()
            if repeat:  # the first round warms up
                seconds[name].append(time.perf_counter() - start)
    return {name: median(values) for name, values in seconds.items()}


def peak_memory(function: Callable[[], object]) -> float:
    """Largest rise of the live tensors' sum in ``function``, in MiB, from the allocator's own events."""
    if DEVICE.type == "cuda":
        before = torch.cuda.memory_allocated()
        with device.peak_memory(DEVICE) as peak:
            function()
        return peak.mib - before / 2**20
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        function()
    live = lowest = peak = 0
    for event in record.profiler.kineto_results.events():
        if event.name() == "[memory]":
            live += event.nbytes()
            lowest = min(lowest, live)  # what was there before may be freed first
            peak = max(peak, live - lowest)
    return peak / 2**20


def report(
    title: str, functions: dict[str, Callable[[], object]], repeats: int, anew: Mapping[str, Callable] | None = None
) -> dict[str, float]:
    """Print a line a form: time, memory and their ratios to the first form's. Returns the seconds. ``anew``: what to
    measure the memory of instead, where a form has taken its memory before it is called."""
    seconds = in_turn(functions, repeats)
    memory = {name: peak_memory(function) for name, function in {**functions, **(anew or {})}.items()}
    first = next(iter(functions))
    print(f"\n{title}\n| form | s | speed-up | MiB | of the memory |\n|---|---|---|---|---|")
    for name in functions:
        ratio = seconds[first] / seconds[name]
        share = memory[name] / memory[first]
        print(f"| {name} | {seconds[name]:.4f} | {ratio:.2f} | {memory[name]:.0f} | {share:.2f} |", flush=True)
    return seconds
