"""The workflow through ``profiles/slurm`` on a real Slurm, undisturbed and under faults: `make test-cluster`.

Every run has to end in the weights and metrics of a run on this machine without a cluster. Prints a table of the faults
and writes it to ``results-cluster.md`` of the folder given. The Slurm is that of ``slurm.sh``.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from tests.support.compare import differences

ROOT = Path(__file__).resolve().parents[2]
SLURM = ROOT / "tests/cluster/slurm.sh"
NODE = subprocess.run(["hostname", "-s"], capture_output=True, text=True).stdout.strip()
SHORT, LONG = 1500, 6000  # iterations of the third level: some seconds, or more than a minute to reach a time limit


def config(iterations: int) -> dict:
    """The miniature config, with so many iterations of level 3."""
    method = {**SMGICNET, "stages": [{**STAGE, "iterations": n} for n in (20, 20, iterations, 4)]}
    return {**CONFIG, "methods": {**CONFIG["methods"], "smgicnet": method}}


STAGE = {"frozen_iterations": 2, "learning_rate": 1e-3}
SMGICNET = {
    "type": "smgicnet",
    "network": {"channels": 4, "blocks": 1},
    "training": {"checkpoint_every": 100, "validate_every": 2000},
}
CONFIG = {
    "datasets": {
        "mini": {
            "source": {
                "kind": "phantom", "subjects": {"train": 3, "val": 2, "test": 4}, "shape": [60, 70, 60], "spacing": 4,
            },
            "grid": {"shape": [16, 16, 16], "spacing": 13},
        }
    },
    "methods": {
        "initial": {"type": "initial", "arms": ["raw"]},
        "syn": {"type": "syn", "iterations": [4, 2]},
    },
    "evaluation": {"shard_size": 4, "figure_pairs": ["median"]},
}  # fmt: skip
TRAINING = Path("results/mini/raw/smgicnet/seed-1/level-3")
# of a site and of this small Slurm: what a user would write into the profile, and a shorter wait
SITE = ["--slurm-no-account", "--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "3"]
SITE += ["--seconds-between-status-checks", "3", "--latency-wait", "10"]
TARGET = "table1"


def slurm(*command: str, check: bool = True) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


class Run:
    """Snakemake on the cluster, in a folder of its own, from subjects that are prepared already."""

    def __init__(self, folder: Path, prepared: Path, iterations: int, *arguments: str):
        self.folder, self.arguments, self.started = folder, arguments, 0
        shutil.copytree(prepared, folder)
        (folder / "config.yaml").write_text(yaml.safe_dump(config(iterations)))
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "snakemake", TARGET, "--snakefile", ROOT / "Snakefile"]
        command += ["--configfile", "config.yaml", "--workflow-profile", ROOT / "profiles/slurm"]
        command += [*SITE, *self.arguments]
        self.started += 1
        self.log = self.folder / f"run-{self.started}.log"
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                list(map(str, command)), cwd=self.folder, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    def said(self) -> str:
        return self.log.read_text()

    def job(self, rule: str, state: str = "RUNNING") -> str:
        """Wait for a job of the rule in that state; returns its number."""
        for _ in self.until(f"a job of {rule} that is {state}"):
            for line in slurm("squeue", "-h", "-o", "%i|%T|%k").splitlines():
                number, current, comment = line.split("|", 2)
                if current == state and f"rule_{rule}" in comment:
                    return number
        raise AssertionError

    def in_level_3(self) -> str:
        """Wait until level 3 has written a checkpoint; returns its job's number."""
        for _ in self.until("a checkpoint of level 3"):
            if (self.folder / TRAINING / "checkpoint.pt").is_file():
                return self.job("train_stage")
        raise AssertionError

    def until(self, what: str, seconds: float = 300):
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            if self.process.poll() is not None:
                raise RuntimeError(f"Snakemake ended before there was {what}: {self.log}")
            yield
            time.sleep(0.3)
        raise RuntimeError(f"no {what} within {seconds} s: {self.log}")

    def wait(self) -> None:
        if self.process.wait(timeout=1800):
            raise RuntimeError(f"Snakemake failed: {self.log}")


def undisturbed(run: Run) -> str:
    return "nothing"


def over_memory(run: Run) -> str:
    run.wait()
    killed = run.said().count("Error in rule train_stage")
    assert killed, "no job was killed"
    return f"{killed} jobs killed by Slurm for using more than they asked for; each attempt asks for 300 MB more"


def over_time(run: Run) -> str:
    run.wait()
    assert "Error in rule train_stage" in run.said(), "no job reached its limit"
    assert "resuming from" in training_log(run)
    cuts = run.said().count("Trying to restart job")
    return f"level 3 cut at its limit {cuts} times, of one minute more each time, in the end resumed {resumed(run)}"


def cancelled(run: Run) -> str:
    job = run.in_level_3()
    slurm("scancel", job)
    run.wait()
    return f"job of level 3 cancelled with `scancel`, submitted again, resumed {resumed(run)}"


def requeued(run: Run) -> str:
    job = run.in_level_3()
    slurm("scontrol", "requeue", job)
    # Slurm holds back what was requeued for two minutes
    for _ in run.until("the job in the queue again"):
        if "PENDING" in slurm("squeue", "-h", "-j", job, "-o", "%T"):
            break
    slurm("scontrol", "update", f"JobId={job}", "StartTime=now")
    run.wait()
    return f"job of level 3 preempted and queued again by Slurm under its own number, resumed {resumed(run)}"


def resume_node(run: Run) -> None:
    """Take the node back into service, which Slurm may have done by itself when it heard from it."""
    slurm("scontrol", "update", f"NodeName={NODE}", "State=RESUME", check=False)
    for _ in run.until("the node in service again"):
        if slurm("sinfo", "-h", "-N", "-p", "cpu", "-o", "%t").strip() in ("idle", "mix", "alloc"):
            return


def drained(run: Run) -> str:
    run.in_level_3()
    slurm("scontrol", "update", f"NodeName={NODE}", "State=DRAIN", "Reason=test")
    run.job("train_stage", "RUNNING")  # what runs goes on
    time.sleep(15)
    resume_node(run)
    run.wait()
    return "node drained for 15 s: what ran went on, what waited was started after"


def node_down(run: Run) -> str:
    job = run.in_level_3()
    slurm("scontrol", "update", f"NodeName={NODE}", "State=DOWN", "Reason=test")
    time.sleep(10)
    resume_node(run)
    slurm("scontrol", "update", f"JobId={job}", "StartTime=now", check=False)
    run.wait()
    return f"node down for 10 s: its jobs lost and queued again by Slurm, level 3 resumed {resumed(run)}"


def controller_restarted(run: Run) -> str:
    run.in_level_3()
    pid = Path(os.environ.get("SLURM_TEST", "/run/slurm-test"), "pid/slurmctld.pid")
    os.kill(int(pid.read_text()), signal.SIGTERM)
    time.sleep(10)
    slurm("slurmctld")
    run.wait()
    return "controller away for 10 s: Snakemake asked again"


def snakemake_killed(run: Run) -> str:
    """And started again as docs/cluster.md says."""
    run.in_level_3()
    os.killpg(run.process.pid, signal.SIGKILL)
    run.process.wait()
    name = re.search(r"SLURM run ID: (\S+)", run.said())[1]
    slurm("scancel", f"--name={name}")
    for _ in range(100):
        if not slurm("squeue", "-h", f"--name={name}"):
            break
        time.sleep(0.3)
    unlock = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--configfile", "config.yaml"]
    unlock += ["--workflow-profile", ROOT / "profiles/slurm", "--unlock"]
    subprocess.run(list(map(str, unlock)), cwd=run.folder, check=True, capture_output=True)
    run.start()
    run.wait()
    return (
        f"Snakemake killed with SIGKILL, its jobs cancelled, unlocked and started again, level 3 resumed {resumed(run)}"
    )


def training_log(run: Run) -> str:
    return (run.folder / "results/mini/logs/train/raw-smgicnet-seed-1-level-3.log").read_text()


def resumed(run: Run) -> str:
    found = re.search(r"at iteration (\d+)", training_log(run))
    assert found, "level 3 began anew"
    return f"at iteration {int(found[1]):,}"


GPU = ("train_stage:slurm_partition=gpu", "register_shard:slurm_partition=gpu", "register_shown:slurm_partition=gpu")
LITTLE_MEMORY = ("--set-resources", *GPU, "train_stage:runtime=60", "train_stage:mem_mb=300 * attempt")
LITTLE_TIME = ("--set-resources", *GPU, "train_stage:runtime=attempt", "train_stage:slurm_extra='--signal=TERM@10'")
LITTLE_TIME += ("--retries", "8")  # on a slow machine one minute more a time may not be enough
# what is done, with which iterations of level 3 and which arguments of Snakemake
FAULTS: dict[str, tuple[Callable[[Run], str], int, tuple[str, ...]]] = {
    "none": (undisturbed, SHORT, ()),
    "job over its memory": (over_memory, SHORT, LITTLE_MEMORY),
    "job over its time": (over_time, LONG, LITTLE_TIME),
    "job cancelled by hand": (cancelled, SHORT, ()),
    "job preempted": (requeued, SHORT, ()),
    "node drained": (drained, SHORT, ()),
    "node down": (node_down, SHORT, ()),
    "controller restarted": (controller_restarted, SHORT, ()),
    "Snakemake killed": (snakemake_killed, SHORT, ()),
}


def local(folder: Path, target: str) -> None:
    """Snakemake on this machine, without a cluster."""
    command = [sys.executable, "-m", "snakemake", target, "--snakefile", ROOT / "Snakefile"]
    command += ["--configfile", "config.yaml", "--workflow-profile", ROOT / "profiles/default", "--cores", "2"]
    with open(folder / "local.log", "w") as log:
        subprocess.run(list(map(str, command)), cwd=folder, check=True, stdout=log, stderr=log)


def prepare(folder: Path, lengths: set[int]) -> tuple[Path, dict[int, Path]]:
    """Subjects, prepared once for all runs, and the runs without a cluster, by iterations of level 3.

    What is there from an earlier start and still holds is not computed again.
    """
    prepared, references = folder / "prepared", {}
    prepared.mkdir(parents=True, exist_ok=True)
    (prepared / "config.yaml").write_text(yaml.safe_dump(config(SHORT)))
    local(prepared, "results/mini/raw/quality.tsv")
    for iterations in sorted(lengths):
        references[iterations] = folder / f"reference-{iterations}"
        shutil.copytree(prepared, references[iterations], dirs_exist_ok=True)
        (references[iterations] / "config.yaml").write_text(yaml.safe_dump(config(iterations)))
        local(references[iterations], TARGET)
    return prepared, references


def main(folder: Path, chosen: list[str]) -> int:
    for old in folder.glob("run-*"):
        shutil.rmtree(old)
    print("preparing subjects, and the run without a cluster", flush=True)
    prepared, references = prepare(folder, {FAULTS[name][1] for name in chosen})
    rows = ["| fault | what happened | table, metrics and weights | s |", "|---|---|---|---|"]
    failed = 0
    for number, name in enumerate(chosen):
        fault, iterations, arguments = FAULTS[name]
        begun = time.monotonic()
        run = Run(folder / f"run-{number}", prepared, iterations, *arguments)
        try:
            happened = fault(run)
            run.wait()
            different = differences(run.folder, references[iterations])
            equal = "equal" if not different else f"different: {', '.join(different)}"
        except (RuntimeError, AssertionError, subprocess.TimeoutExpired) as error:
            happened, equal, different = str(error), "the run failed", ["run"]
            if run.process.poll() is None:
                os.killpg(run.process.pid, signal.SIGKILL)
            slurm("scancel", "--user=root", check=False)
        failed += bool(different)
        rows.append(f"| {name} | {happened} | {equal} | {time.monotonic() - begun:.0f} |")
        print(rows[-1], flush=True)
    report = folder / "faults.md"
    report.write_text("\n".join(rows) + "\n")
    (folder / "faults.json").write_text(json.dumps({"failed": failed}))
    print(f"\n{report.read_text()}\nwritten to {report}; {failed} of {len(chosen)} runs differ or failed")
    return int(failed > 0)


if __name__ == "__main__":
    wanted = sys.argv[2:] or list(FAULTS)
    sys.exit(main(Path(sys.argv[1]).resolve(), wanted))
