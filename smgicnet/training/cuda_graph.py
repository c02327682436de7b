"""A training step's gradients: on a GPU as one CUDA graph.

A step of a small grid is hundreds of short kernels, and a GPU waits for each to be called; a graph of them is recorded
once and called as a whole, with the same result (docs/performance.md).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

WARM_UP = 3  # calls before recording: libraries choose their kernels, and caches are filled


def gradients(objective: nn.Module, *batch) -> dict[str, Tensor]:
    """Of ``objective``, a module from a batch to its total and terms, in its parameters' ``grad``, anew each time.
    Returns the terms and the ``total``."""
    for parameter in objective.parameters():
        parameter.grad = None
    total, terms = objective(*batch)
    total.backward()
    return {"total": total.detach(), **{name: term.detach() for name, term in terms.items()}}


class GraphedGradients:
    """`gradients` on a GPU, of batches of one form, as long as the same parameters learn.

    What it returns and the parameters' ``grad`` are overwritten by the next call. The objective has to do the same
    whatever the images hold, to ask nothing of the GPU and to bring nothing to it (see `fields.per_axis`);
    what it finds in a cache has to stay there. Raises ``ValueError`` for a batch of another form than the first.
    """

    def __init__(self, objective: nn.Module):
        self._objective = objective
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, *batch) -> dict[str, Tensor]:
        if self._graph is None:
            self._record(batch)
        for fixed, given in zip(tree_leaves(self._batch), tree_leaves(batch), strict=True):
            if (fixed.shape, fixed.dtype) != (given.shape, given.dtype):
                raise ValueError(f"{tuple(given.shape)} {given.dtype} after {tuple(fixed.shape)} {fixed.dtype}")
            fixed.copy_(given)
        self._graph.replay()
        for parameter, grad in self._grads:
            parameter.grad = grad
        return self._values

    def _record(self, batch: tuple) -> None:
        self._batch = tree_map(torch.clone, batch)
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP):
                gradients(self._objective, *self._batch)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        for parameter in self._objective.parameters():
            parameter.grad = None  # the graph's own are made while it is recorded
        with torch.cuda.graph(graph):
            self._values = gradients(self._objective, *self._batch)
        self._grads = [(one, one.grad) for one in self._objective.parameters()]
        self._graph = graph
