"""Which source files a training, a registration and its scores depend on: their digests stand in params and records."""

from __future__ import annotations

from smgicnet.config import schema
from smgicnet.label_protocols import LABEL_TABLE
from smgicnet.provenance import source_digest

TRAINING = (
    "training.py",
    "cuda_graph.py",
    "sampling.py",
    "losses.py",
    "fields.py",
    "train_job.py",
    "device.py",
    "distributed.py",
    "weights.py",
    "methods/contract.py",
    LABEL_TABLE,
)
REGISTERING = (
    "register_job.py",
    "device.py",
    "weights.py",
    "fields.py",
    "affine.py",
    "transforms_io.py",
    "methods/contract.py",
)
SCORING = (*REGISTERING, "evaluation.py", "hausdorff.py", "foreground.py", "label_protocols.py", LABEL_TABLE)


def training_code(kind: str) -> str:
    """Digest of what trains a method of this type."""
    return source_digest(*TRAINING, *own_files(kind, "code"))


def registering_code(kind: str, *, scored: bool) -> str:
    """Digest of what registers with a method of this type, and of what scores."""
    return source_digest(*(SCORING if scored else REGISTERING), *own_files(kind, "code", "registering_code"))


def own_files(kind: str, *keys: str) -> list[str]:
    """The files that the method itself is made of: its module and those that its schema names."""
    described = schema(f"methods/{kind}")
    return [f"methods/{kind}.py", *(name for key in keys for name in described.get(key, []))]
