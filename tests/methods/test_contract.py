"""Every method: the output contract, A-B-A purity; every learned one: gradients, that it learns, grids that fit."""

import pytest
import torch

from smgicnet.config.completion import complete, complete_method
from smgicnet.config.consistency import grid_stride
from smgicnet.core.errors import InputError
from smgicnet.methods import METHODS
from smgicnet.methods.contract import LearnedMethod
from smgicnet.registration.fields import compose, jacobian_determinant, warp
from smgicnet.training.loop import weighted_total
from tests.support.images import SHAPE, blobs
from tests.support.methods import LEARNED, SMALL, block, build

WITHOUT_INVERSE = {"icnet", "gradicon", "command"}


@pytest.mark.parametrize("kind", METHODS)
def test_contract(kind):
    fixed, moving = blobs(1), blobs(2)
    result = build(kind).register(fixed, moving)
    assert (result.inverse is None) == (kind in WITHOUT_INVERSE)
    for field in (result.forward, result.inverse):
        if field is not None:
            assert field.shape == (1, 3, *SHAPE)
            assert field.dtype == torch.float32
            assert torch.isfinite(field).all()
            assert not field.requires_grad
    assert (jacobian_determinant(result.forward) > 0).float().mean() > 0.99
    assert result.seconds > 0
    if result.inverse is not None:
        there_and_back = compose(result.forward, result.inverse)[..., 3:-3, 3:-3, 3:-3].norm(dim=1).mean()
        assert there_and_back < 0.1 + 0.1 * result.forward.norm(dim=1).mean()


@pytest.mark.parametrize("kind", METHODS)
def test_a_b_a_purity(kind):
    method = build(kind)
    a, b, c = blobs(1), blobs(2), blobs(3)
    first = method.register(a, b).forward.clone()
    method.register(b, c)
    assert torch.equal(method.register(a, b).forward, first)


@pytest.mark.parametrize("kind", LEARNED)
def test_every_parameter_gets_a_gradient(kind):
    method = build(kind)
    weighted_total(method.objective(blobs(1), blobs(2)), method.weights).backward()
    newest, earlier = method.stage_parameters()
    assert {id(p) for p in newest + earlier} == {id(p) for p in method.network.parameters()}
    silent = [name for name, p in method.network.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent


@pytest.mark.parametrize(("kind", "network", "rate"), [
    ("smgicnet", {"channels": 8}, 2e-3), ("icnet", {"channels": 4}, 2e-3), ("lapirn", {"channels": 8}, 2e-3),
    pytest.param("lapirn", {"channels": 8, "variant": "disp"}, 2e-3, marks=pytest.mark.long),
])  # fmt: skip
def test_overfits_one_pair(kind, network, rate):
    method = build(kind, **network)
    fixed = blobs(1, (8, 16, 8))
    shift = torch.zeros(1, 3, *SHAPE)
    shift[:, 1] = 2.0
    moving = warp(fixed, shift, padding="border")
    before = (moving - fixed).square().mean()
    optimizer = torch.optim.Adam(method.network.parameters(), rate)
    for _ in range(120):  # at 80 some processors' roundings have not arrived yet
        optimizer.zero_grad()
        # the first image moves to the second
        weighted_total(method.objective(moving, fixed), method.weights).backward()
        optimizer.step()
    result = method.register(fixed, moving)
    after = (warp(moving, result.forward, padding="border") - fixed).square().mean()
    assert after < 0.3 * before
    centre = result.forward[0, :, 6:10, 12:20, 6:10].mean((1, 2, 3))
    assert centre[1] == pytest.approx(-2.0, abs=0.7)


@pytest.mark.parametrize("kind", METHODS)
def test_the_schema_builds_the_method(kind):
    part = complete_method({"type": kind, **SMALL["command"]} if kind == "command" else {"type": kind}, "test")
    method = METHODS[kind].from_block(part, len(part["stages"]))
    assert isinstance(method, LearnedMethod) == bool(part["stages"])
    assert {"label", "arms", "weights", "stages"} <= part.keys()


HALF = {"network": {"full_resolution": False, "levels": 4}}
COARSE_FEATURES = {"network": {"finest_stride": 2, "depth": 4}}


@pytest.mark.parametrize(
    ("kind", "changes", "stride"),
    [
        ("icnet", {}, 16),
        ("lapirn", {}, 8),
        ("smgicnet", {}, 16),
        ("smgicnet", HALF, 32),
        ("smgicnet", COARSE_FEATURES, 32),
    ],
)
def test_a_grid_that_does_not_fit_says_what_would(kind, changes, stride):
    shape = [5 * stride, 3 * stride, 2 * stride]
    config = {
        "datasets": {"d": {"source": {"kind": "phantom"}, "grid": {"shape": shape}}},
        "methods": {"m": {"type": kind, **changes}},
    }
    assert grid_stride(complete(config)["methods"]["m"]) == stride
    config["datasets"]["d"]["grid"]["shape"] = [shape[0], shape[1] - 3, shape[2]]
    with pytest.raises(InputError, match=rf"not divisible by {stride}, as methods\.m needs") as error:
        complete(config)
    assert str(shape) in str(error.value)


@pytest.mark.parametrize("kind", ["icnet", "lapirn"])
def test_the_network_takes_any_grid_that_fits(kind):
    method, (d, h, w) = build(kind), (16, 48, 32)
    result = method.register(torch.rand(1, 1, d, h, w), torch.rand(1, 1, d, h, w))
    assert result.forward.shape == (1, 3, d, h, w)


@pytest.mark.parametrize("kind", ["icnet", "lapirn"])
def test_orientation_changes_what_the_network_sees_and_not_where_the_field_lies(kind):
    """A network in other axes, fed with images in those, gives the same field back on RAS axes."""
    from smgicnet.registration.fields import from_orientation, to_orientation

    plain, turned = build(kind), build(kind, orientation="SPL")
    fixed, moving = torch.rand(1, 1, 16, 32, 48), torch.rand(1, 1, 16, 32, 48)
    expected = plain.register(to_orientation(fixed, "SPL"), to_orientation(moving, "SPL")).forward
    torch.testing.assert_close(turned.register(fixed, moving).forward, from_orientation(expected, "SPL"))
    assert block(kind)["network"]["orientation"] == "RAS"


def test_a_stage_trains_its_newest_level_and_those_below():
    """What stage 3 of a network of levels learns: the third level first, the two below it at their own rate."""
    method = build("smgicnet", stage=3)
    newest, earlier = method.stage_parameters()
    levels = [list(level.parameters()) for level in method.network.levels]
    assert [id(p) for p in newest] == [id(p) for p in levels[2]]
    assert {id(p) for p in earlier} == {id(p) for level in levels[:2] for p in level}
    whole = build("icnet")
    assert whole.stage_parameters()[1] == []
    assert len(whole.stage_parameters()[0]) == len(list(whole.network.parameters()))
