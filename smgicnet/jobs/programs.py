"""The environments of programs from outside, made before the first of their pairs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from smgicnet.core.errors import InputError, printable
from smgicnet.core.layout import PROGRAM_FOLDER
from smgicnet.core.provenance import write_record

TOLD = 1500  # characters of what an installer has printed last


def make_environment(environment: Mapping[str, Any], record: Path) -> None:
    """Make the environment of a program in the folder of ``record``, which is written at the end.

    ``environment`` is that of a completed block of type ``command``: with ``pip``, each line of arguments is a call of
    ``pip install`` in a virtual environment; with ``conda``, the file is given to mamba or conda. What was there before
    is removed. Raises `InputError` where an installer fails.
    """
    folder = record.parent / PROGRAM_FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    if lines := environment.get("pip"):
        _run([sys.executable, "-m", "venv", str(folder)], "a virtual environment")
        python = str(folder / "bin" / "python")
        for line in lines:
            _run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *line.split()], line)
        freeze = subprocess.run([python, "-m", "pip", "freeze"], capture_output=True, text=True, check=True)
        installed = freeze.stdout.split("\n")[:-1]
    else:
        conda = shutil.which("mamba") or shutil.which("conda")
        if conda is None:
            raise InputError(environment["conda"], "neither mamba nor conda is on the PATH", "Install one of them")
        _run([conda, "env", "create", "--yes", "--prefix", str(folder), "--file", environment["conda"]], conda)
        listed = subprocess.run([conda, "list", "--prefix", str(folder), "--export"], capture_output=True, text=True)
        installed = [line for line in listed.stdout.splitlines() if not line.startswith("#")]
    write_record(record, environment=dict(environment), installed=installed)


def _run(command: Sequence[str], what: str) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    if done.returncode:
        problem = f"it cannot be installed: {printable(done.stdout)[-TOLD:].strip()}"
        raise InputError(what, problem, "Correct `environment` in the method's block, or see to the network")
