"""Registration jobs: the affine arm's composition, and weights that fit the method."""

import hashlib

import numpy as np
import pytest
import torch

from smgicnet.config.completion import complete_method
from smgicnet.core.errors import InputError
from smgicnet.imaging.grids import Grid
from smgicnet.jobs.registering import register_aligned
from smgicnet.methods.contract import Displacements, Method
from smgicnet.methods.loading import load_method
from smgicnet.methods.weights import Weights, write_weights
from smgicnet.preparation.alignments import Alignment
from smgicnet.registration.fields import compose, exp, warp
from tests.support.images import SHAPE, blobs
from tests.support.methods import block, build
from tests.support.published_synthmorph import keras, write_h5


class Known(Method):
    """Gives a known deformation and remembers what it was shown."""

    def __init__(self):
        coarse = torch.randn(1, 3, 3, 4, 3, generator=torch.Generator().manual_seed(0))
        self.velocity = torch.nn.functional.interpolate(coarse, SHAPE, mode="trilinear") * 1.5

    @classmethod
    def from_block(cls, config, stage):
        return cls()

    def fields(self, fixed, moving):
        self.shown = moving
        return Displacements(exp(self.velocity), exp(-self.velocity))


@pytest.fixture
def pair():
    """The affines of two subjects whose grids differ in place and spacing, and an affine map between their worlds."""
    fixed = np.diag([4.0, 4, 4, 1])
    moving = np.array([[5.0, 0, 0, -3], [0, 5, 0, 2], [0, 0, 5, 1], [0, 0, 0, 1]])
    matrix = np.array([[1.2, 0.2, 0, -6], [-0.2, 1.2, 0, 8], [0, 0.05, 1.25, -2], [0, 0, 0, 1.0]])
    return fixed, moving, Alignment(matrix, 2.5)


def test_affine_and_deformation_are_one_map(pair):
    fixed, moving, alignment = pair
    method, images = Known(), {"f": blobs(1), "m": blobs(2)}
    result = register_aligned(method, images["f"], images["m"], (fixed, moving), alignment)
    # a fixed voxel, in mm: deformed first, then through the affine into the moving world and its voxels
    voxel = np.array([7.0, 16, 8])
    u = exp(method.velocity)[0, :, 7, 16, 8].numpy()
    world = alignment.matrix @ np.append(fixed[:3, :3] @ (voxel + u) + fixed[:3, 3], 1)
    expected = (np.linalg.inv(moving) @ world)[:3]
    np.testing.assert_allclose(voxel + result.forward[0, :, 7, 16, 8].numpy(), expected, atol=1e-3)
    # what the network was shown, deformed, is the moving image through the whole map
    whole = torch.ones_like(images["m"])
    inside = (warp(whole, result.forward) > 0.99) & (warp(whole, exp(method.velocity)) > 0.99)
    assert inside.float().mean() > 0.3
    twice = warp(method.shown, exp(method.velocity))
    once = warp(images["m"], result.forward)
    assert (twice - once)[inside].abs().mean() < 0.02
    assert result.seconds > 2.5
    roundtrip = compose(result.inverse, result.forward)[0, :, 5:11, 10:22, 5:11].norm(dim=0)
    assert roundtrip.mean() < 0.15
    assert result.forward.norm(dim=1).mean() > 1


def test_without_alignment_the_method_is_run_as_it_is(pair):
    fixed, moving, _ = pair
    method, images = Known(), {"f": blobs(1), "m": blobs(2)}
    assert torch.equal(
        register_aligned(method, images["f"], images["m"], (fixed, moving), None).forward, exp(method.velocity)
    )
    assert torch.equal(method.shown, images["m"])


def test_weights_of_another_method_are_refused(tmp_path):
    method = build("lapirn")
    write_weights(Weights(block("lapirn"), 3, Grid(SHAPE, 1.0), method.network.state_dict()), tmp_path / "l.pt")
    loaded, trained = load_method({"type": "lapirn"}, tmp_path / "l.pt", 4.0)
    assert trained["network"]["channels"] == 4
    assert torch.equal(loaded.fields(blobs(1), blobs(2))[0], method.fields(blobs(1), blobs(2))[0])
    with pytest.raises(InputError, match=r"l\.pt.*holds the weights of lapirn"):
        load_method({"type": "icnet"}, tmp_path / "l.pt", 4.0)


def test_published_weights_of_another_checksum_are_refused(tmp_path):
    write_h5(tmp_path / "w.h5", keras(2))
    found = hashlib.sha256((tmp_path / "w.h5").read_bytes()).hexdigest()
    grid = {"shape": [32, 32, 32]}
    part = {"type": "synthmorph", "features": 2, "grid": grid, "published": {"sha256": found}}
    method, _ = load_method(complete_method(part, "test"), tmp_path / "w.h5", 4.0)
    assert method.register(blobs(1), blobs(2)).forward.shape == (1, 3, *SHAPE)
    part["published"]["sha256"] = "0" * 64
    with pytest.raises(InputError, match=rf"w\.h5: its sha256 is {found}, not 0000"):
        load_method(complete_method(part, "test"), tmp_path / "w.h5", 4.0)
