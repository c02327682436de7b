"""A program of its own command line is contained: in time, on the disk, and in what it sees and leaves behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from smgicnet.core.commands import SUPERVISOR, Limits, Scratch, run_command
from smgicnet.core.interruption import REQUEUE, Interrupted, Stop
from smgicnet.core.supervisor import children
from smgicnet.methods.contract import RegistrationFailed
from tests.support import ROOT
from tests.support.commands import SHIFT, failure, images, method


def alive(marker):
    """Whether a process with this word in its command line runs."""
    found = []
    for one in Path("/proc").iterdir():
        if one.name.isdigit() and int(one.name) != os.getpid():
            try:
                found.append(marker.encode() in (one / "cmdline").read_bytes())
            except OSError:
                continue
    return any(found)


def test_a_command_that_hangs_is_stopped_with_all_that_it_started():
    begun = time.monotonic()
    hanging = "setsid sleep 4243 & sleep 4242 & sleep 4241; true {fixed} {moving} {out}"
    reason = failure(hanging, limits={"seconds": 1})
    assert "longer than 1 s" in reason
    assert time.monotonic() - begun < 20
    assert not any(map(alive, ("4241", "4242", "4243")))


def test_processes_that_a_command_leaves_behind_are_stopped():
    method("(setsid sleep 5251 >/dev/null 2>&1 &) ; " + SHIFT).register(*images())
    assert not alive("5251")


def test_a_command_that_fills_the_disk_is_stopped():
    writing = "while true; do head -c 3000000 /dev/zero >> {out}/big; sleep 0.05; done # {fixed} {moving}"
    assert "more than 0.02 GB" in failure(writing, limits={"gigabytes": 0.02})


def test_what_a_command_prints_counts_on_the_disk():
    printing = "while true; do head -c 3000000 /dev/zero; sleep 0.05; done # {fixed} {moving} {out}"
    assert "more than 0.02 GB" in failure(printing, limits={"gigabytes": 0.02})


def test_what_a_killed_supervisor_leaves_is_stopped():
    beside = subprocess.Popen(["sleep", "8585"])
    killing = "sleep 8584 & setsid sleep 8583 & sleep 0.3; kill -9 $PPID; sleep 8582 # {fixed} {moving} {out}"
    reason = failure(killing)
    assert "its supervisor was killed by signal 9" in reason
    assert not any(map(alive, ("8582", "8583", "8584")))
    assert beside.poll() is None
    beside.kill()
    beside.wait()


def test_what_other_work_leaves_running_is_not_adopted():
    method().register(*images())
    leaving = "import subprocess; print(subprocess.Popen(['sleep', '8686'], stdout=-3, stderr=-3).pid)"
    orphan = int(subprocess.run([sys.executable, "-c", leaving], capture_output=True, check=True).stdout)
    assert orphan not in children()
    os.kill(orphan, signal.SIGKILL)


def test_a_command_sees_no_secrets_and_leaves_inputs_and_home_as_they_are(monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    monkeypatch.setenv("MY_LICENCE", "abc")
    monkeypatch.setenv("HOME", str(tmp_path))
    reason = failure("touch ~/here; env; ls -l {fixed}; false {moving} {out}", variables=["MY_LICENCE"])
    assert "hunter2" not in reason
    assert "MY_LICENCE=abc" in reason
    assert "-r--r--r--" in reason
    assert list(tmp_path.iterdir()) == []


def test_what_a_command_does_to_its_inputs_and_its_folder_changes_nothing():
    spoiling = "rm -f {fixed} *.txt *.json; cp {moving} {fixed}; touch output.txt report.json; "
    same = method(SHIFT).register(*images()).forward
    rewriting = SHIFT + "\n" + spoiling
    torch.testing.assert_close(method(rewriting).register(*images()).forward, same)


def test_a_command_sees_a_gpu_only_if_it_asks_for_one(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    asking = 'echo "sees:$CUDA_VISIBLE_DEVICES;"; false {fixed} {moving} {out}'
    assert "sees:;" in failure(asking)
    assert "sees:3;" in failure(asking, gpu=True)


def test_a_supervisor_that_is_stopped_leaves_nothing_running(tmp_path):
    report = tmp_path / "report.json"
    command = [sys.executable, str(SUPERVISOR), str(report), str(tmp_path), "60", "1e9", "sleep", "6373"]
    running = subprocess.Popen(command)
    while not alive("6373"):
        time.sleep(0.05)
    time.sleep(0.5)
    running.send_signal(signal.SIGHUP)
    running.wait(20)
    time.sleep(0.2)
    assert not alive("6373")


def test_nothing_is_left_of_a_pair(monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    method().register(*images())
    failure("false {fixed} {moving} {out}")
    assert list(tmp_path.iterdir()) == []


STOPPED = """
import sys
from smgicnet.core.logs import job_log
from tests.support.commands import images, method
with job_log(sys.argv[1]):
    method("touch " + sys.argv[2] + "; setsid sleep 7483 & sleep 7484; true {fixed} {moving} {out}").register(*images())
"""


@pytest.mark.parametrize("all_of_them", [False, True], ids=["the job", "all of its processes"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_of_a_job_that_is_asked_to_stop(tmp_path, number, all_of_them):
    places = {"TMPDIR": str(tmp_path / "tmp"), "PYTHONPATH": str(ROOT)}
    (tmp_path / "tmp").mkdir()
    command = [sys.executable, "-c", STOPPED, str(tmp_path / "log"), str(tmp_path / "begun")]
    running = subprocess.Popen(command, env={**os.environ, **places}, start_new_session=True)
    limit = time.monotonic() + 120
    while not ((tmp_path / "begun").is_file() and alive("7483")) and time.monotonic() < limit:
        time.sleep(0.05)
    assert list((tmp_path / "tmp").iterdir())
    (os.killpg if all_of_them else os.kill)(running.pid, number)
    assert running.wait(60) == REQUEUE
    assert f"stopped by {number.name}" in (tmp_path / "log").read_text()
    assert not alive("7483")
    assert not alive("7484")
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_signal_while_files_are_read_stops_after_them(monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)

    def reading():
        with Scratch.made() as scratch:
            (scratch.folder / "read").touch()
            os.kill(os.getpid(), signal.SIGTERM)
            raise RegistrationFailed("not to be taken for the pair's own failure")

    with pytest.raises(Interrupted, match="stopped by SIGTERM"):
        reading()
    assert list(tmp_path.iterdir()) == []


def test_a_command_is_limited_to_its_threads(tmp_path):
    asking = ["bash", "-c", "echo $OMP_NUM_THREADS $TMPDIR"]
    outcome = run_command(asking, Scratch(tmp_path, Stop()), Limits(10, 1), threads=3)
    assert outcome.output.split() == ["3", str(tmp_path / "tmp")]
