"""A network that sees every pair in the frame of the mean training image."""

from dataclasses import replace

import pytest
import torch

from smgicnet.methods import METHODS
from smgicnet.training.loop import train
from tests.support.methods import block
from tests.support.trainings import Killed, killer


def test_a_training_keeps_its_mean_image_and_resumes_identically(job):
    def fresh():
        torch.manual_seed(0)
        part = block()
        part["pose"] = {"rotations": 100, "upright": True}
        return METHODS["smgicnet"].from_block(part, 4)

    def with_places(method, folder):
        places = method.places(lambda index: job.images.one(index, torch.device("cpu")), len(job.images))
        return replace(job, folder=folder, places=places)

    undisturbed, resumed = fresh(), fresh()
    train(undisturbed, with_places(undisturbed, job.folder / "a"))
    killed = fresh()
    interrupted = with_places(killed, job.folder / "b")
    with pytest.raises(Killed):
        train(killed, interrupted, killer(4))
    train(resumed, with_places(resumed, job.folder / "b"))
    mean = undisturbed.network.state_dict()["mean_image"]
    assert mean.any()
    for name, value in undisturbed.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name]), name
