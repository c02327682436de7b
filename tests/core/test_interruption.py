"""A first signal is noted and a second one ends the process; handlers are put back."""

import signal
import subprocess
import sys

from smgicnet.core.interruption import watch


def test_the_same_signal_twice_is_not_held_up():
    code = (
        "import os, signal, time\nfrom smgicnet.core.interruption import watch\n"
        "with watch() as stop:\n    os.kill(os.getpid(), signal.SIGTERM)\n    assert stop.asked == 'SIGTERM'\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n    time.sleep(60)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGTERM


def test_handlers_are_put_back():
    before = signal.getsignal(signal.SIGTERM)
    with watch():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before
