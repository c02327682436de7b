"""The environments of programs from outside, made before the first of their pairs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smgicnet.core.errors import InputError
from smgicnet.core.layout import PROGRAM_FOLDER
from smgicnet.core.provenance import write_record
from smgicnet.preparation.tools import run_tool


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
        python = folder / "bin" / "python"
        run_tool([sys.executable, "-m", "venv", str(folder)], python, {})
        for line in lines:
            pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            run_tool([*pip, *line.split()], python, {})
        freeze = subprocess.run([str(python), "-m", "pip", "freeze"], capture_output=True, text=True, check=True)
        installed = freeze.stdout.split("\n")[:-1]
    else:
        conda = shutil.which("mamba") or shutil.which("conda")
        if conda is None:
            raise InputError(environment["conda"], "neither mamba nor conda is on the PATH", "Install one of them")
        create = [conda, "env", "create", "--yes", "--prefix", str(folder), "--file", environment["conda"]]
        run_tool(create, folder / "conda-meta" / "history", {})
        listed = subprocess.run([conda, "list", "--prefix", str(folder), "--export"], capture_output=True, text=True)
        installed = [line for line in listed.stdout.splitlines() if not line.startswith("#")]
    write_record(record, environment=dict(environment), installed=installed)
