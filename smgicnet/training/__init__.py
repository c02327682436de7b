"""The training loop: what a step sees, what it does, and how several devices share it.

Public: `loop`, `checkpoint`, `sampling`, `distributed`, `cuda_graph`. It may import core, registration, preparation
and methods.
"""
