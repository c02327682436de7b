"""A step as a CUDA graph does what the step does; most of it needs a GPU.

On a machine with one: ``python -m pytest tests/training/test_cuda_graph.py``.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from smgicnet.methods import METHODS
from smgicnet.training.cuda_graph import GraphedGradients, gradients
from smgicnet.training.loop import Objective, train
from tests.support.images import blobs
from tests.support.methods import LEARNED, build
from tests.support.trainings import Killed, killer

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
CASES = [(kind, "float32", {}) for kind in LEARNED if METHODS[kind].same_steps] + [
    ("smgicnet", "bfloat16", {}),
    ("smgicnet", "float32", {"recompute": True}),
    ("smgicnet", "bfloat16", {"recompute": True}),
    ("smgicnet", "float32", {"antisymmetric": True, "midpoint": True, "passes": 2, "force_window": 5}),
    ("lapirn", "bfloat16", {}),
]


def stepped(kind, precision, network, graphed, steps=4):
    """Loss terms of some steps of gradient descent, batches changing, and the last gradients."""
    method = build(kind, weights={"labels": 1.0} if network.get("midpoint") else None, **network).to("cuda")
    objective = Objective(method, precision)
    learn = GraphedGradients(objective) if graphed else lambda *batch: gradients(objective, *batch)
    totals = []
    for step in range(steps):
        pair = [blobs(2 * step + side).cuda() for side in (0, 1)]
        labels = [tuple((image * 5).floor() for image in pair)] if network.get("midpoint") else []
        totals.append(learn(*pair, *labels)["total"].item())
        with torch.no_grad():
            for parameter in objective.parameters():
                parameter -= 1e-3 * parameter.grad
    return totals, torch.cat([one.grad.flatten().float() for one in objective.parameters()])


@needs_gpu
@pytest.mark.parametrize(("kind", "precision", "network"), CASES)
def test_a_graph_finds_the_gradients_of_the_plain_step(kind, precision, network):
    plain, graphed = (stepped(kind, precision, network, graphed) for graphed in (False, True))
    assert len(set(plain[0])) == 4  # each batch counts
    torch.testing.assert_close(graphed[0], plain[0], rtol=1e-3, atol=1e-5)
    difference = (graphed[1] - plain[1]).norm() / plain[1].norm()
    assert difference < (0.1 if precision == "bfloat16" else 1e-2)  # sampling adds in no fixed order


@needs_gpu
def test_a_training_by_graphs_is_one_by_plain_steps(job):
    """Levels below learn from the third step on, a pair is registered between steps, and one training is resumed."""

    def trained(name, same_steps, on_log=None):
        method = build().to("cuda")
        method.same_steps = same_steps
        return train(method, replace(job, folder=job.folder / name, validate=registering), on_log)

    def registering(method):
        found = method.register(blobs(0).cuda(), blobs(1).cuda())
        return found.forward.abs().mean().item()

    plain, graphed = trained("plain", False), trained("graphed", True)
    with pytest.raises(Killed):
        trained("again", True, killer(3))
    for history in (graphed, trained("again", True)):
        for column in ("total", "validation_dice"):
            np.testing.assert_allclose(history[column], plain[column], rtol=1e-2)


@needs_gpu
def test_a_batch_of_another_form_is_refused():
    learn = GraphedGradients(Objective(build().to("cuda"), "float32"))
    pair = [blobs(side).cuda() for side in (0, 1)]
    learn(*pair)
    with pytest.raises(ValueError, match=r"\(1, 1, 16, 16, 16\).*after \(1, 1, 16, 32, 16\)"):
        learn(*(image[:, :, :, :16] for image in pair))


def test_gradients_are_those_of_the_weighted_total_and_start_anew():
    method = build("icnet")
    objective = Objective(method, "float32")
    for _ in range(2):
        values = gradients(objective, blobs(0), blobs(1))
        found = [one.grad for one in objective.parameters()]
    total = sum(weight * method.objective(blobs(0), blobs(1))[name] for name, weight in method.weights.items())
    torch.testing.assert_close(found, list(torch.autograd.grad(total, list(objective.parameters()))))
    assert values.pop("total") == total
    assert values.keys() == method.weights.keys()
