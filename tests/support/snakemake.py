"""Snakemake, run as a user would."""

import subprocess
import sys

from tests.support import ROOT


def snakemake(folder, *arguments, check=True):
    """Run Snakemake as a user would, in another working folder and with one core; returns the code and all it said."""
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--workflow-profile", str(ROOT / "profiles/default"), "--directory", str(folder), *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder)
    if check:
        assert done.returncode == 0, done.stdout
    return done
