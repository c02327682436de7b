"""Importing the package changes nothing in the process; programs change it at their start."""

import os
import subprocess
import sys

from smgicnet.core.files import PACKAGE
from smgicnet.core.process import keep_waiting_short

IMPORT_ALL = """
import importlib, logging, os, pkgutil
import matplotlib, sklearn, torch  # sklearn sets an environment variable of its own

def state():
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    return {
        **{("environment", name): value for name, value in os.environ.items()},
        **{("level", one.name): one.level for one in loggers if isinstance(one, logging.Logger) and one.level},
        "handlers": list(logging.root.handlers),
        "disabled loggers": logging.root.manager.disable,
        **{("matplotlib", name): value for name, value in matplotlib.rcParams.items()},
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
    }

before = state()
import smgicnet
for module in pkgutil.walk_packages(smgicnet.__path__, "smgicnet."):
    importlib.import_module(module.name)
after = state()
changed = [name for name in before | after if before.get(name) != after.get(name)]
assert not changed, changed
"""


def run(code: str, **environment: str) -> subprocess.CompletedProcess:
    inherited = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "MPLBACKEND")}
    inherited["PYTHONPATH"] = str(PACKAGE.parent)
    return subprocess.run([sys.executable, "-c", code], env=inherited | environment, capture_output=True, text=True)


def test_importing_every_module_changes_nothing_in_the_process():
    done = run(IMPORT_ALL)
    assert done.returncode == 0, done.stderr


def test_importing_the_command_line_imports_no_torch_which_would_read_the_setting_too_early():
    assert run("import sys, smgicnet.cli; sys.exit('torch' in sys.modules)").returncode == 0


def test_threads_wait_as_the_user_has_set_it(monkeypatch):
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    keep_waiting_short()
    assert os.environ["GOMP_SPINCOUNT"] == "3000"
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    keep_waiting_short()
    assert os.environ["GOMP_SPINCOUNT"] == "7"


def test_the_command_line_sets_how_threads_wait_before_anything_else():
    code = (
        "import os, smgicnet.cli\ntry: smgicnet.cli.main(['--version'])\nfinally: print(os.environ['GOMP_SPINCOUNT'])"
    )
    assert run(code).stdout.splitlines()[-1] == "3000"
