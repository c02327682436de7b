"""The workflow as a module of another Snakefile, as snakedeploy sets it up, and with values given by --config."""

import json
import re
import shutil
import subprocess

import pytest
import yaml

from tests.support import ROOT
from tests.support.snakemake import snakemake

CONFIG = {
    "datasets": {
        "mini": {
            "source": {
                "kind": "phantom", "subjects": {"train": 3, "val": 2, "test": 3}, "shape": [48, 56, 48], "spacing": 5,
            },
            "grid": {"shape": [16, 16, 16], "spacing": 13},
        }
    },
    "methods": {"initial": {"type": "initial", "arms": ["raw"]}, "smgicnet": {"type": "smgicnet"}},
    "affine": {"engine": "ants"},
}  # fmt: skip
LOCAL = f'"{ROOT / "Snakefile"}"'
REMOTE = 'github("owner/smgicnet", path="workflow/Snakefile", tag="v1")'  # as snakedeploy writes it


def deployed(folder, snakefile=LOCAL, use="use rule * from smgicnet", config="config: config", content=CONFIG):
    """What `snakedeploy deploy-workflow` leaves in a folder, and the arguments that run it."""
    (folder / "workflow").mkdir()
    (folder / "config").mkdir()
    (folder / "config/config.yaml").write_text(yaml.safe_dump(content))
    text = ['configfile: "config/config.yaml"', "module smgicnet:", f"    snakefile: {snakefile}", f"    {config}"]
    (folder / "workflow/Snakefile").write_text("\n".join([*text, use, ""]))
    return folder, "--snakefile", str(folder / "workflow/Snakefile")


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A copy of this workflow in a git repository, which takes the place of the one at GitHub."""
    if not shutil.which("git"):
        pytest.skip("git is not here")
    place = tmp_path / "hosted/owner/smgicnet"
    for name in ("rules", "workflow", "config", "envs"):
        shutil.copytree(ROOT / name, place / name)
    (place / "smgicnet").mkdir()
    shutil.copy(ROOT / "smgicnet/__init__.py", place / "smgicnet")
    shutil.copy(ROOT / "Snakefile", place)
    for command in (
        ["init", "--quiet"],
        ["add", "."],
        ["-c", "user.name=x", "-c", "user.email=x@y", "commit", "-qm", "x"],
        ["tag", "v1"],
    ):
        subprocess.run(["git", *command], cwd=place, check=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.file://{tmp_path}/hosted/.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "https://github.com/")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # it is installed
    (tmp_path / "deployed").mkdir()
    return tmp_path / "deployed"


@pytest.mark.parametrize("prefix", [pytest.param("", marks=pytest.mark.long), "reg_"])
def test_a_module_runs_with_its_own_scripts_and_reports(tmp_path, prefix):
    """The default target is the module's, jobs of it run for real, and the layout of its jobs is kept."""
    pytest.importorskip("snakemake_executor_plugin_cluster_generic")
    where = deployed(tmp_path, use="use rule * from smgicnet" + f" as {prefix}*" * bool(prefix))
    cluster = ["--executor", "cluster-generic", "--cluster-generic-submit-cmd", "false", "--jobs", "1"]
    snakemake(*where, *cluster, "--until", f"{prefix}write_cohort", f"{prefix}audit")  # neither is submitted
    assert (tmp_path / "results/mini/cohort/participants.tsv").is_file()
    assert "Cohen" in (tmp_path / "results/audit.md").read_text()
    sizes = json.loads((tmp_path / "results/mini/cohort/shards.json").read_text())
    assert sizes.keys() == {f"{method}{part}" for method in ("initial", "smgicnet") for part in ("", "/robustness")}
    plan = snakemake(*where, "-n").stdout
    assert f"rule {prefix}write_table1" in plan
    assert f"rule {prefix}write_cohort" not in plan
    snakemake(*where, f"{prefix}cohorts", "results/audit.md", "--report", "report.html")
    assert "Audit of the paper" in (tmp_path / "report.html").read_text()


def test_a_rule_of_the_module_can_be_changed(tmp_path):
    """The module is read again for each statement, with the same config, of which nothing is taken away."""
    change = "use rule * from smgicnet\nuse rule register_shard from smgicnet with:\n    threads: 1\n"
    change += "assert config['job_minutes'] == 77"
    done = snakemake(*deployed(tmp_path, use=change), "-n", "--config", "job_minutes=77")
    assert "rule write_table1" in done.stdout


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ('config: config\n    prefix: "below"', "prefix and replace_prefix move the files of rules alone"),
        ('config: config\n    replace_prefix: {"results/": "out/"}', "prefix and replace_prefix"),
        ("config: {}", "Add `config: config` to it"),
    ],
)
def test_a_module_statement_that_cannot_work_is_refused(tmp_path, config, message):
    done = snakemake(*deployed(tmp_path, config=config), "-n", check=False)
    assert done.returncode != 0
    assert message in done.stdout


@pytest.mark.long
def test_as_snakedeploy_sets_it_up(repository):
    """The workflow comes out of a repository, and the package is installed."""
    where = deployed(repository, REMOTE)
    snakemake(*where, "--until", "write_cohort", "audit")
    assert (repository / "results/mini/cohort/participants.tsv").is_file()
    assert "Cohen" in (repository / "results/audit.md").read_text()
    plan = snakemake(*where, "-n").stdout
    assert "rule write_table1" in plan
    assert "rule audit" not in plan  # the paper's numbers are the same file as before


@pytest.mark.parametrize(
    ("package", "message"),
    [
        ("raise ImportError", "the package smgicnet is not installed beside Snakemake"),
        ('__version__ = "0.0.1"', "the package smgicnet that is installed is version 0.0.1"),
    ],
)
def test_without_the_package_the_remedy_is_said(repository, monkeypatch, package, message):
    (repository / "other/smgicnet").mkdir(parents=True)
    (repository / "other/smgicnet/__init__.py").write_text(package)
    monkeypatch.setenv("PYTHONPATH", str(repository / "other"))
    done = snakemake(*deployed(repository, REMOTE), "-n", check=False)
    assert done.returncode != 0
    assert message in done.stdout
    assert 'pip install "smgicnet[workflow] @ git+https://github.com/owner/smgicnet@v1"' in done.stdout


def test_the_two_snakefiles_are_one_workflow(tmp_path):
    """The one that snakedeploy takes has the default target of the other."""
    arguments = (deployed(tmp_path)[0], "-n", "--configfile", "config/config.yaml", "--snakefile")
    plans = [snakemake(*arguments, str(ROOT / name)).stdout for name in ("Snakefile", "workflow/Snakefile")]
    totals = [re.findall(r"^total +(\d+)$", plan, re.MULTILINE)[0] for plan in plans]
    assert totals[0] == totals[1]
    assert int(totals[0]) > 30


@pytest.mark.parametrize(
    ("given", "accepted"),
    [
        ("seeds=[3,4]", True),
        pytest.param('seeds="[3, 4]"', True, marks=pytest.mark.long),
        ("evaluation={resamples: 200, merge_sides: false, reference: {arm: raw}}", True),
        ("seeds=[3,a]", False),
        pytest.param("seeds=null", False, marks=pytest.mark.long),
        pytest.param("sedes=[3]", False, marks=pytest.mark.long),
        ("job_minutes=soon", False),
    ],
)
def test_values_of_the_command_line_are_taken_as_meant_or_named_as_its_own(tmp_path, given, accepted):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    more = ("table1", "-n", "--configfile", "config.yaml", "--config", given)
    said = snakemake(tmp_path, *more, check=accepted).stdout
    if accepted:
        assert "rule write_table1" in said
    else:
        assert f"\n--config: {given.split('=')[0] if 'sedes' not in given else 'top level'}" in said
        assert "Traceback" not in said


def test_values_of_a_file_and_of_a_profile_are_named_as_theirs(tmp_path):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({**CONFIG, "seeds": ["3"]}))
    said = snakemake(tmp_path, "-n", "--configfile", "config.yaml", check=False).stdout
    assert f"\n{tmp_path}/config.yaml: seeds.0: '3' is not of type 'integer'" in said
    (tmp_path / "profile").mkdir()
    (tmp_path / "profile/config.yaml").write_text("config: ['seeds=[a]']\n")
    more = ("-n", "--configfile", "config.yaml", "--profile", "profile")
    assert "\nconfig of the profile: seeds.0: 'a'" in snakemake(tmp_path, *more, check=False).stdout
