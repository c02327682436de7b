"""The decisions that are made when a run starts: they are written down once, and the run's jobs read them.

A job on a node with other software then aligns with the engine that was chosen, and weights that arrive while others
are registering change nothing in this run.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from smgicnet.core import layout
from smgicnet.core.errors import InputError
from smgicnet.core.provenance import write_text
from smgicnet.preparation.affine import choose_engine

ENGINES = ("", "flirt", "ants", "pose")


@dataclass(frozen=True)
class Decisions:
    """The choices of one run.

    ``engine``: what aligns in the affine arm, ``flirt``, ``ants`` or ``pose``; empty where no method runs in it.
    ``reason``: why it was chosen, as a sentence; empty without an engine.
    ``absent``: names of the methods that are left out, since the weights that their authors publish, or the programs
    that they run, are not there.
    """

    engine: str
    reason: str
    absent: tuple[str, ...]


def decide(config: Mapping, *, conda: bool, image: bool = False) -> Decisions:
    """Choose, by what this machine has and, with ``conda``, what the environments bring.

    With ``image`` jobs run in the image of the workflow's container, and what this machine has does not count.
    Raises `InputError` where the config asks for an engine that is not there.
    """
    published = {name: block["published"] for name, block in config["methods"].items() if "published" in block}
    lacking = {name for name, weights in published.items() if not Path(weights["file"]).is_file()}
    lacking |= {name for name, block in config["methods"].items() if missing_programs(block, image=image)}
    absent = tuple(name for name in config["methods"] if name in lacking)
    running = [block for name, block in config["methods"].items() if name not in absent]
    if not any("affine" in block["arms"] for block in running):
        return Decisions("", "", absent)
    engine = config["affine"]["engine"]
    chosen = _engine_in_image(engine) if image and engine in ("auto", "flirt") else choose_engine(engine, conda=conda)
    return Decisions(*chosen, absent)


def _engine_in_image(engine: str) -> tuple[str, str]:
    """Return the engine that the image has, with the reason. Raises `InputError` where FLIRT is asked for."""
    if engine == "flirt":
        problem = "it is flirt, which the image of the workflow's container does not have"
        raise InputError("affine.engine", problem, "Set it to ants or pose, or run without --sdm apptainer")
    return "ants", "ANTs, as the image of the workflow's container has it."


def missing_programs(block: Mapping, *, image: bool = False) -> list[str]:
    """Return what a method's block says it needs and there is not: programs on the PATH, variables with a ``$``.

    The ``image`` of the workflow's container has none of them but Python, and makes environments by pip alone.
    """
    needed = list(block.get("requires", ()))
    environment = block.get("environment", {})
    if "container" in environment and (image or not shutil.which("singularity")):
        needed.append("apptainer")
    if "conda" in environment and (image or not (shutil.which("mamba") or shutil.which("conda"))):
        needed.append("conda")
    if image:
        return [one for one in needed if one != "python"]
    return [one for one in needed if not (os.environ.get(one[1:]) if one[0] == "$" else shutil.which(one))]


def _path(config: Mapping) -> Path:
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]
    return Path(layout.decisions(digest))


def write_decisions(config: Mapping, decisions: Decisions) -> None:
    """Write them down for the jobs of a run of this completed config."""
    write_text(_path(config), json.dumps(asdict(decisions), indent=2) + "\n")


def read_decisions(config: Mapping) -> Decisions:
    """Read what was decided when the run of this completed config started.

    Raises `InputError` where the file is missing or does not fit the config: a job never chooses again.
    """
    path, remedy = _path(config), "Start the workflow again: it writes this file when it starts"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        decisions = Decisions(found["engine"], found["reason"], tuple(found["absent"]))
        if decisions.engine not in ENGINES or set(decisions.absent) - config["methods"].keys():
            raise ValueError("an engine or a method that there is not")
    except FileNotFoundError:
        raise InputError(
            path, "it is not there, and a job needs what was decided when its run started", remedy
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(path, f"not readable ({error})", remedy) from None
    return decisions
