"""Fixtures of all tests; what is no fixture and is shared is in `tests.support`."""

import os
import threading

import pytest
import torch

from smgicnet.core import download
from tests.support.server import Server

torch.set_num_threads(1)  # small tensors: more threads only wait for each other
os.environ.setdefault("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "1")  # read once, when ants is imported

FIRST = ("test_workflow.py", "test_cohorts.py")  # minutes each: with two processes neither should be left for the end


@pytest.fixture(autouse=True)
def one_thread():
    """Again for each test: what another one called may have set another number."""
    torch.set_num_threads(1)


@pytest.fixture
def server(monkeypatch):
    """A web server that answers, and downloads that try again at once."""
    monkeypatch.setattr(download, "WAIT_S", 0.0)
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name not in FIRST)
