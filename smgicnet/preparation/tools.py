"""The external tools of preprocessing: their places, and what to do where they are missing."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smgicnet.core.errors import InputError

log = logging.getLogger(__name__)
UNCHECKED = "unchecked_tools=true"
FREESURFER = "install FreeSurfer 7.4 or newer (https://surfer.nmr.mgh.harvard.edu/fswiki/DownloadAndInstall)"
FASTSURFER = "install FastSurfer (https://github.com/Deep-MI/FastSurfer) and set FASTSURFER_HOME"


@dataclass(frozen=True)
class Tool:
    """A program on the PATH or below a folder, or a Python package.

    Attributes
    ----------
    remedy : what a user can do where it is missing
    program : the program's name; by default "", for a package
    package : the package's name; by default "", for a program
    home : the environment variable that names the program's folder; by default ""
    conda : whether --use-conda brings it; by default False
    licensed : whether it needs FreeSurfer's licence file; by default False
    """

    remedy: str
    program: str = ""
    package: str = ""
    home: str = ""
    conda: bool = False
    licensed: bool = False


TOOLS = {
    "deepbet": Tool("use --use-conda, or pip install -r requirements-nodeps.lock", package="deepbet", conda=True),
    "n4": Tool("use --use-conda, or pip install antspyx", package="ants", conda=True),
    "bet": Tool(
        "use --use-conda, or install FSL (https://fsl.fmrib.ox.ac.uk) and set FSLDIR",
        program="bet",
        home="FSLDIR",
        conda=True,
    ),
    "synthstrip": Tool(FREESURFER, program="mri_synthstrip", home="FREESURFER_HOME"),
    "synthseg": Tool(FREESURFER, program="mri_synthseg", home="FREESURFER_HOME"),
    "recon-all": Tool(FREESURFER, program="recon-all", home="FREESURFER_HOME", licensed=True),
    "fastsurfer": Tool(FASTSURFER, program="run_fastsurfer.sh", home="FASTSURFER_HOME"),
}


def needed_tools(preprocessing: Mapping[str, Any]) -> dict[str, str]:
    """Return the tool of each key of a completed ``preprocessing`` block that needs one."""
    tools = {key: preprocessing[key] for key in ("skull_strip", "bias_field", "segmentation")}
    if tools["skull_strip"] == "auto":
        tools["skull_strip"] = "deepbet"
    return {key: tool for key, tool in tools.items() if tool in TOOLS}


def find_program(name: str) -> str | None:
    """Return the path of the program of a tool, or None."""
    tool = TOOLS[name]
    home = os.environ.get(tool.home)
    folders = [Path(home) / "bin", Path(home)] if home else []
    found = shutil.which(tool.program) or next(
        filter(None, (shutil.which(tool.program, path=f) for f in folders)), None
    )
    return found


def program(name: str) -> str:
    """Return the path of the program of a tool. Raises `InputError` when there is none."""
    found = find_program(name)
    if found is None:
        raise InputError(
            TOOLS[name].program, "there is no such program here", TOOLS[name].remedy[0].upper() + TOOLS[name].remedy[1:]
        )
    return found


def _problem(name: str, conda: bool) -> str | None:
    tool = TOOLS[name]
    if conda and tool.conda:
        return None
    if tool.package:
        return None if importlib.util.find_spec(tool.package) else f"the Python package {tool.package} is not installed"
    if find_program(name) is None:
        return f"{tool.program} is neither on the PATH nor below {tool.home}"
    licence = os.environ.get("FS_LICENSE") or Path(os.environ.get("FREESURFER_HOME", "."), "license.txt")
    if tool.licensed and not Path(licence).is_file():
        return "FreeSurfer's licence file is not there (FS_LICENSE)"
    return None


def require_tools(wanted: Mapping[str, Sequence[str]], *, conda: bool = False) -> None:
    """Raise one `InputError` that names every tool that is missing.

    ``wanted`` has the config keys that ask for each tool; ``conda``: environments will be made.
    """
    problems = {name: _problem(name, conda) for name in wanted}
    missing = {name: problem for name, problem in problems.items() if problem}
    if missing:
        said = "; ".join(f"{name} for {', '.join(wanted[name])}: {problem}" for name, problem in missing.items())
        remedies = "; ".join(dict.fromkeys(TOOLS[name].remedy for name in missing))
        remedies += f"; or name another tool, or say {UNCHECKED} in the profile's config"
        remedies += " if only the nodes that run jobs have them"
        raise InputError("missing tools", said, remedies[0].upper() + remedies[1:])


def run_tool(command: Sequence[str], result: Path, environment: Mapping[str, str]) -> None:
    """Run a program, whose output goes to the log line by line.

    Raises `InputError` with its last lines when it fails or ``result`` is not there in the end.
    """
    last: list[str] = []
    with subprocess.Popen(
        list(command), env={**os.environ, **environment},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
    ) as process:  # fmt: skip
        for line in process.stdout or ():
            log.info("%s", line.rstrip())
            last = [*last[-4:], line.strip()]
        status = process.wait()
    if status or not result.is_file():
        problem = f"ended with status {status}" if status else f"wrote no {result.name}"
        raise InputError(
            " ".join(command), f"{problem}, its last words: {' | '.join(last)}", "Mend what it says, and run again"
        )
