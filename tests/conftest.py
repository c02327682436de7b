"""Shared pieces of the tests."""

import os

import pytest
import torch

torch.set_num_threads(1)  # small tensors: more threads only wait for each other
os.environ.setdefault("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "1")  # read once, when ants is imported

FIRST = ("test_workflow.py", "test_cohorts.py")  # minutes each: with two processes neither should be left for the end


@pytest.fixture(autouse=True)
def one_thread():
    """Again for each test: what another one called may have set another number."""
    torch.set_num_threads(1)


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name not in FIRST)
