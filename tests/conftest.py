"""Shared pieces of the tests."""

import os

import torch

torch.set_num_threads(1)  # small tensors: more threads only wait for each other
os.environ.setdefault("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "1")  # read once, when ants is imported
