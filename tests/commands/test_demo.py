"""`smgicnet demo` says how a run goes, how it ends, and how it continues after a stop or a failure."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from smgicnet.cli import main
from smgicnet.commands.demo import told
from smgicnet.commands.dry_run import PlannedJob
from smgicnet.commands.lines import CLEAR, Lines
from smgicnet.commands.progress import STAGES, Progress, stage_of
from smgicnet.config.completion import complete
from smgicnet.jobs.study import Study
from tests.support import ROOT
from tests.support.stage_files import CONFIG, write_stages

DEMO = [sys.executable, "-m", "smgicnet.cli", "demo", "--configfile", "config.yaml", "--cores", "2"]


@pytest.fixture
def folder(tmp_path):
    """A folder with a picture, which then is not drawn."""
    (tmp_path / "results/demo").mkdir(parents=True)
    (tmp_path / "results/demo/picture.png").touch()
    return tmp_path


def start(folder, **options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True} | options
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # where the tests ignore it, as after `&` in a script
    return subprocess.Popen(DEMO, cwd=folder, env=environment, preexec_fn=heard, **options)


def wait_for(path, process):
    while not path.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)


def is_alive(pid):
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().split(") ")[1][:1]
    except FileNotFoundError:
        return False


def on_a_terminal(folder):
    """Run the demo on a terminal; returns its exit status and all that it wrote there."""
    master, slave = os.openpty()
    process = start(folder, stdout=slave, stderr=slave)
    os.close(slave)
    said = b""
    try:
        while content := os.read(master, 4096):
            said += content
    except OSError:  # so a terminal ends on Linux
        pass
    os.close(master)
    return process.wait(), said.decode().replace("\r\n", "\n")


def test_it_stops_on_request_and_continues_to_the_headline(folder):
    table = write_stages(folder, "test -e go || {{ echo $$ >>pids; sleep 300; }}; sleep 1.5; touch {output}")
    process = start(folder)
    wait_for(folder / "pids", process)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "on 2 cores (4 jobs)" in said
    assert re.search(r"^ +0:\d\d  making the people +about .* left$", said, re.MULTILINE)
    assert "Stopping" in said
    assert said.endswith("Stopped. The same command continues the run; what is done is kept.\n")
    assert "failed" not in said
    assert "Traceback" not in said
    assert not any(map(is_alive, (folder / "pids").read_text().split()))

    (folder / "go").touch()
    code, said = on_a_terminal(folder)
    assert code == 0, said
    assert "(3 jobs)" in said
    assert "making the people" not in said
    for stage in ("registering and scoring the test pairs with Initial w.pose", "tables and statistics"):
        assert re.search(rf"^(.*\x1b\[K)? +\d+:\d\d  {stage} +about .* left$", said, re.MULTILINE)
    assert re.search(r"\r\x1b\[K +\d+:\d\d  about .* left, . of 3 jobs: registering", said), "the renewed line"
    ending = said[said.index("Done after") :]
    assert f"Who wins on mini ({table.replace('.csv', '.md')}):" in ending
    assert "Initial w.pose has the highest mean Dice, 0.500 (±0.062). Initial follows with 0.250 (±0.050)" in ending
    assert "smgicnet register --fixed" in ending[ending.index("What to do next:") :]
    log = (folder / "results/demo/run.log").read_text()
    assert "rule write_cohort" in log
    assert "rule write_cohort" not in said
    assert (folder / "results/report.html").is_file()


def test_a_failure_shows_the_end_of_the_jobs_log_and_where_logs_are(folder):
    work = """seq 100 >{log}; printf 'the disk is \\\\033[31mfull\\\\n' >>{log}; exit 1"""
    write_stages(folder, work)
    process = start(folder)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert re.search(r"failed: registering and scoring the test pairs with Initial", said)
    assert re.search(r"The end of results/raw-(initial|pose)\.log:\n\n  \| 82\n", said)
    assert re.search(r"  \| 100\n  \| the disk is .*full\n", said)
    assert "\x1b" not in said
    assert f"Snakemake's log: {folder}/results/demo/run.log" in said
    assert "the same command continues the run" in said


def test_without_a_workflow_it_says_what_can_be_done(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text("{}")
    assert main(["demo", "--configfile", "config.yaml"]) == 2
    assert "smgicnet demo --picture" in capsys.readouterr().err


def test_every_rule_has_a_stage_in_words():
    text = "\n".join(path.read_text() for path in (ROOT / "rules").rglob("*.smk"))
    blocks = re.split(r"^(?= *(?:use )?rule )", text, flags=re.MULTILINE)
    rules = {}
    for block in blocks:
        if found := re.match(r" *(?:use rule \w+ as|rule) (\w+)", block):
            rules[found[1]] = block
    made = {name for name, block in rules.items() if "output:" in block or "use rule" in block}
    assert len(made) > 40
    assert {*STAGES} == made


def test_a_training_is_told_by_method_arm_and_level():
    study = Study(complete({**CONFIG, "methods": CONFIG["methods"] | {"lapirn": {"type": "lapirn"}}}, "test"))
    wildcards = {"method": "lapirn", "arm": "affine", "stage": "2"}
    assert stage_of("train_stage", wildcards, study) == "training LapIRN after affine pre-registration, level 2 of 3"
    assert stage_of("train_stage", wildcards | {"arm": "raw"}, study) == "training LapIRN, level 2 of 3"
    assert stage_of("gather_metrics", wildcards, study) == "registering and scoring the test pairs with LapIRN"
    assert stage_of("something_new", {}, study) == "something new"


def job(name, seconds, inputs=()):
    return PlannedJob("rule", 1, 0, seconds, 0, False, tuple(inputs), (name,))


def test_the_time_left_follows_what_jobs_take():
    progress = Progress([job("a", 20), job("b", 20), job("c", 40, ["a", "b"])], 2)
    assert progress.left(0) == 60
    progress.start(1, "rule", ["a"], 0)
    progress.start(2, "rule", ["b"], 0)
    assert progress.left(10) == 50
    progress.finish(1, 60)
    progress.finish(2, 60)  # three times as long as expected; 20 s of what was expected count besides
    assert progress.ended == 2
    assert progress.pace(60) == pytest.approx(140 / 60)
    assert progress.left(60) == pytest.approx(40 * 140 / 60)
    progress.start(3, "rule", ["c"], 60)
    assert progress.left(1000) > 0
    progress.finish(3, 1060)
    assert progress.left(1060) == 0


def test_a_job_that_is_late_raises_the_time_left_before_it_ends():
    progress = Progress([job("a", 10), job("b", 10, ["a"])], 1)
    progress.start(1, "rule", ["a"], 0)
    assert progress.left(5) == 15
    assert progress.left(100) > 40


def test_a_job_that_was_not_planned_does_no_harm():
    progress = Progress([job("a", 10)], 1)
    progress.start(7, "new", ["z"], 0)
    assert progress.left(0) == 10
    progress.finish(7, 5)
    assert progress.left(5) > 0


def test_events_are_told_as_they_come_and_pieces_of_lines_are_kept():
    reading, writing = os.pipe()
    events = told(reading, every=0.05)
    assert next(events) == []
    os.write(writing, b'{"job": 1}\n{"jo')
    assert next(events) == [{"job": 1}]
    os.write(writing, b'b": 2}\n')
    assert next(events) == [{"job": 2}]
    os.close(writing)
    assert list(events) == []


def test_elsewhere_than_on_a_terminal_lines_are_plain(tmp_path):
    with open(tmp_path / "said", "w+") as stream, Lines(stream) as lines:
        lines.show("renewed")
        lines.say("stays")
        stream.seek(0)
        assert stream.read() == "stays\n"


def test_on_a_terminal_a_long_line_is_cut_to_its_width(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "20")
    master, slave = os.openpty()
    with open(slave, "w") as stream, Lines(stream) as lines:
        lines.show("x" * 50)
        lines.say("stays")
    said = b""
    while not said.endswith(b"\n"):
        said += os.read(master, 1000)
    assert said.decode() == f"{CLEAR}{'x' * 16}...{CLEAR}stays\r\n"
    os.close(master)


@pytest.mark.long
def test_the_smallest_run_from_nothing_to_its_page(tmp_path):
    command = [*DEMO[:4], "--configfile", str(ROOT / "config/miniature.yaml"), "--snakefile", str(ROOT / "Snakefile")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    said = done.stdout.splitlines()
    places = [next(number for number, line in enumerate(said) if text in line) for text in (
        "First comes a picture", "It takes about", "making the people", "writing the page", "Done after", "Who wins on",
        "Open this page:", "What to do next:",
    )]  # fmt: skip
    assert places == sorted(places)
    before, after = map(float, re.search(r"true error (.*) mm before, (.*) mm after", done.stdout).groups())
    assert before > 10
    assert after < 4
    assert (tmp_path / "results/demo/picture.png").read_bytes().startswith(b"\x89PNG")
    page = re.search(r"Open this page: (.*)", done.stdout)[1]
    assert "Traceback" not in (tmp_path / "results/demo/run.log").read_text()
    assert "</html>" in Path(page).read_text()
    assert json.loads((tmp_path / "results/miniature/tables/table1.json").read_text())["parameters"]["paper_rows"]
