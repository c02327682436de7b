"""A job of a program from outside that is interrupted: started again, it keeps what is done and ends in the same bytes.

Times and memory differ between any two runs and are left out.
"""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from smgicnet.config.completion import complete_method
from smgicnet.core.interruption import REQUEUE
from smgicnet.jobs import register as register_job
from smgicnet.jobs.kept_fields import KeptFields
from smgicnet.jobs.kept_pairs import KeptPairs
from tests.support import ROOT
from tests.support.compare import timeless
from tests.support.registering import register

NAMES = ["s1", "s2", "s3"]
WAITS = 4  # the call that waits: of the second of three pairs, the second direction
# a program that starts at once: a translation of its own for each pair of images
SHIFTS = """set -- $(cat {fixed} {moving} | cksum)
printf '%s\\n' '#Insight Transform File V1.0' 'Transform: AffineTransform_double_3_3' \\
  "Parameters: 1 0 0 0 1 0 0 0 1 $(($1 % 5)).$(($1 % 997)) 1 0" 'FixedParameters: 0 0 0' > {out}/t.txt"""
JOB = """
import json, sys
from pathlib import Path
from smgicnet.cohort.subjects import SubjectFiles
from smgicnet.core.logs import job_log
from tests.support.registering import register
folder, names = Path(sys.argv[1]), ["s1", "s2", "s3"]
subjects = {name: SubjectFiles(name, folder / f"{name}.nii", folder / f"{name}_labels.nii") for name in names}
with job_log(folder / "log"):
    register(folder / "run", subjects, names, json.loads(sys.argv[2]), fields=sys.argv[3] == "fields")
"""


class Killed(BaseException):
    """As SIGKILL: nothing after it runs."""


def block(before=""):
    """Return the completed block of the program; ``before`` are commands that come before it."""
    part = {"type": "command", "label": "stand-in", "command": before + SHIFTS, "transforms": ["t.txt"]}
    return complete_method(part, "test")


def count(folder):
    """Return how often the program was called."""
    calls = folder / "calls"
    return len(calls.read_text().splitlines()) if calls.is_file() else 0


def displacements(folder):
    """Return the displacement of each ordered pair that is kept, as bytes."""
    found = {}
    for path in sorted((folder / "fields").rglob("*.npz")):
        with np.load(path) as kept:
            found[path.name] = kept["displacement"].tobytes()
    return found


@pytest.mark.parametrize(
    ("number", "fields"), [(signal.SIGTERM, False), (signal.SIGKILL, True)], ids=["SIGTERM", "SIGKILL, fields are kept"]
)
def test_an_interrupted_job_of_a_program_ends_in_the_same_bytes(tmp_path, subjects, number, fields):
    calls, go = tmp_path / "calls", tmp_path / "go"
    wait = f"[ $(wc -l < {calls}) -ne {WAITS} ] || while [ ! -e {go} ]; do sleep 0.05; done"
    config = block(f"echo call >> {calls}; {wait}; ")
    go.touch()
    undisturbed = register(tmp_path / "undisturbed", subjects, NAMES, config, fields=fields)
    assert count(tmp_path) == 6
    calls.unlink()
    go.unlink()

    (tmp_path / "tmp").mkdir()
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp"), "PYTHONPATH": str(ROOT)}
    job = [sys.executable, "-c", JOB, str(tmp_path), json.dumps(config), "fields" if fields else ""]
    process = subprocess.Popen(job, env=environment, start_new_session=True)
    limit = time.monotonic() + 120
    while count(tmp_path) < WAITS and time.monotonic() < limit and process.poll() is None:
        time.sleep(0.05)
    os.killpg(process.pid, number)
    assert process.wait(60) == (REQUEUE if number == signal.SIGTERM else -signal.SIGKILL)
    assert count(tmp_path) == WAITS
    assert not (tmp_path / "run/0/metrics.csv").exists()
    assert number == signal.SIGKILL or list((tmp_path / "tmp").iterdir()) == []

    go.touch()
    subprocess.run(job, env=environment, check=True)
    assert count(tmp_path) == WAITS + 4  # the first pair is not registered again
    assert timeless(tmp_path / "run/0/metrics.csv").equals(undisturbed)
    assert displacements(tmp_path / "run") == displacements(tmp_path / "undisturbed")
    assert len(set(displacements(tmp_path / "run").values())) == 6 * fields


@pytest.mark.parametrize(
    ("where", "name", "call"),
    [
        (register_job, "score_pair", 3),
        (register_job, "score_pair", 4),
        (KeptPairs, "add", 2),
        (KeptFields, "settle", 2),
    ],
)
def test_a_job_that_is_killed_while_it_scores_or_keeps_ends_in_the_same_bytes(
    tmp_path, subjects, monkeypatch, where, name, call
):
    """Kept displacements are rounded: they may not stand for a pair that was not scored to the end."""
    undisturbed = register(tmp_path / "undisturbed", subjects, NAMES, block(), fields=True)
    real, calls = getattr(where, name), []

    def killed(*arguments, **options):
        calls.append(arguments)
        if len(calls) == call:
            raise Killed
        return real(*arguments, **options)

    monkeypatch.setattr(where, name, killed)
    with pytest.raises(Killed):
        register(tmp_path / "run", subjects, NAMES, block(), fields=True)
    monkeypatch.undo()
    assert register(tmp_path / "run", subjects, NAMES, block(), fields=True).equals(undisturbed)
    assert displacements(tmp_path / "run") == displacements(tmp_path / "undisturbed")
