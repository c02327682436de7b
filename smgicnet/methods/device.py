"""The device that computes, what is moved to it, and the peak memory of a piece of work."""

from __future__ import annotations

import fcntl
import logging
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

import numpy as np
import torch
from torch import nn

from smgicnet.methods.contract import NetworkMethod

OnDevice = TypeVar("OnDevice", bound=NetworkMethod)
log = logging.getLogger(__name__)
LOCKS = Path("/tmp")  # the same for all jobs of a machine: schedulers give each a TMPDIR of its own
_CLAIMS: list[IO[str]] = []  # the lock of this process's GPU
_CPU = Path("/proc/cpuinfo")
_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def pick_device() -> torch.device:
    """Return the GPU where there is one, and of several GPUs one that no other job of the same user has picked."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    if torch.cuda.device_count() > 1 and not _CLAIMS:
        _claim_gpu()
    return torch.device("cuda")


def has_gpu_of_its_own() -> bool:
    """Return whether this process is the only one of its user on one of several GPUs."""
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
    """Return an array ``(D, H, W)`` as a tensor ``(1, 1, D, H, W)`` of float32 on ``device``."""
    return torch.from_numpy(np.ascontiguousarray(data, dtype=np.float32))[None, None].to(device)


def to_device(method: OnDevice) -> OnDevice:
    """Move a method to the device of `pick_device`, convolutions channels-last (docs/results/performance.md)."""
    to: Callable[..., nn.Module] = method.network.to  # torch's own types lack memory_format
    to(memory_format=torch.channels_last_3d)
    return method.to(pick_device())


def has_bfloat16(device: torch.device) -> bool:
    """Return whether the device has instructions for bfloat16, which without them is far slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return _CPU.exists() and bool({"avx512_bf16", "amx_bf16"} & set(_CPU.read_text().split()))


@dataclass
class Peak:
    """The peak memory of a piece of work.

    The memory that a CUDA graph keeps holds no tensors between its calls. Later work takes other memory, and only that
    is counted.

    Attributes
    ----------
    mib : the peak in MiB, set when the work is done; NaN before
    """

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
