"""Where the work is done: the device, what goes to it, and the peak memory of a piece of work."""

from __future__ import annotations

import fcntl
import logging
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import torch

from smgicnet.methods.contract import LearnedMethod

log = logging.getLogger(__name__)
LOCKS = Path("/tmp")  # the same for all jobs of a machine: schedulers give each a TMPDIR of its own
_CLAIMS: list[IO] = []  # the lock of this process's GPU
_CPU = Path("/proc/cpuinfo")
_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def pick_device() -> torch.device:
    """The GPU where there is one; of several, one that no other job of the same user has picked."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    if torch.cuda.device_count() > 1 and not _CLAIMS:
        _claim_gpu()
    return torch.device("cuda")


def has_gpu_of_its_own() -> bool:
    """Whether this process is the only one of its user on a GPU of several."""
    return bool(_CLAIMS)


def _claim_gpu() -> None:
    """Make a free GPU the current one, and lock it against other jobs until this process ends."""
    for index in range(torch.cuda.device_count()):
        name = f"smgicnet-{os.getuid()}-gpu-{torch.cuda.get_device_properties(index).uuid}.lock"
        lock = open(LOCKS / name, "w")  # noqa: SIM115 (open until the process ends)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        _CLAIMS.append(lock)
        torch.cuda.set_device(index)
        return
    log.warning("all %d GPUs have jobs already: sharing the first", torch.cuda.device_count())


def image_tensor(data: np.ndarray, device: torch.device) -> torch.Tensor:
    """``(D, H, W)`` to ``(1, 1, D, H, W)``."""
    return torch.from_numpy(np.ascontiguousarray(data, dtype=np.float32))[None, None].to(device)


def to_device(method: LearnedMethod) -> LearnedMethod:
    """The method on the device there is, its convolutions channels-last (docs/performance.md)."""
    method.network.to(memory_format=torch.channels_last_3d)
    return method.to(pick_device())


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for it; without them it is hundreds of times slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return _CPU.exists() and bool({"avx512_bf16", "amx_bf16"} & set(_CPU.read_text().split()))


@dataclass
class Peak:
    """``mib``: the peak in MiB, set when the work is done. A CUDA graph keeps its memory, empty of tensors: what comes
    after it comes on top of that, and is not counted so."""

    mib: float = float("nan")


@contextmanager
def peak_memory(device: torch.device) -> Iterator[Peak]:
    """Measure the peak while the body runs: of the GPU's tensors, or of this whole process on a CPU.

    The mark is reset first, which Linux allows; elsewhere the process's peak since its start is given.
    """
    peak = Peak()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif _RESET.exists():
        _RESET.write_text("5")  # proc(5): resets the peak resident set size
    yield peak
    if device.type == "cuda":
        peak.mib = torch.cuda.max_memory_allocated(device) / 2**20
    elif _RESET.exists():
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        peak.mib = int(line.split()[1]) / 2**10
    else:
        peak.mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
