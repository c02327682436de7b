"""The gradients of a training step, on a GPU as one CUDA graph.

A step on a small grid is hundreds of short kernels, and a GPU waits for each to be called. A graph of them is recorded
once and called as a whole, with the same result (docs/results/performance.md).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

WARM_UP = 3  # calls before recording, in which libraries choose their kernels and caches are filled
BatchPart = Tensor | tuple[Tensor, Tensor]  # images, or the label maps of the first and the second images


def gradients(objective: nn.Module, *batch: BatchPart) -> dict[str, Tensor]:
    """Put the gradients of ``objective`` for a batch into its parameters' ``grad``, anew each time.

    ``objective`` is a module that maps a batch to its total, a scalar, and its terms by name. Returns the terms and the
    ``total``, without gradients.
    """
    for parameter in objective.parameters():
        parameter.grad = None
    total, terms = objective(*batch)
    total.backward()
    return {"total": total.detach(), **{name: term.detach() for name, term in terms.items()}}


class GraphedGradients:
    """`gradients` on a GPU, for batches of one form, as long as the same parameters learn.

    The next call overwrites the returned tensors and the parameters' ``grad``. The objective has to do the same
    whatever the images hold, and may neither read a value from the GPU nor copy one to it (see `fields.per_axis`);
    tensors that it takes from a cache have to stay there. Raises ``ValueError`` for a batch of another form than the
    first.
    """

    def __init__(self, objective: nn.Module):
        self._objective = objective
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, *batch: BatchPart) -> dict[str, Tensor]:
        if self._graph is None:
            self._graph = self._record(batch)
        for fixed, given in zip(tree_leaves(self._batch), tree_leaves(batch), strict=True):
            if (fixed.shape, fixed.dtype) != (given.shape, given.dtype):
                raise ValueError(f"{tuple(given.shape)} {given.dtype} after {tuple(fixed.shape)} {fixed.dtype}")
            fixed.copy_(given)
        self._graph.replay()
        for parameter, grad in self._grads:
            parameter.grad = grad
        return self._values

    def _record(self, batch: tuple[BatchPart, ...]) -> torch.cuda.CUDAGraph:
        self._batch = tree_map(torch.clone, batch)
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP):
                gradients(self._objective, *self._batch)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        for parameter in self._objective.parameters():
            parameter.grad = None  # the recording allocates the graph's own gradients
        with torch.cuda.graph(graph):
            self._values = gradients(self._objective, *self._batch)
        self._grads = [(one, one.grad) for one in self._objective.parameters()]
        return graph
