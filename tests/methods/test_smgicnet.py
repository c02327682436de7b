"""SM-GICNet: levels, symmetry, objective."""

from dataclasses import replace

import pytest
import torch

from smgicnet.config import building
from smgicnet.config.blocks import registering_block, stage_block
from smgicnet.config.completion import complete
from smgicnet.core.errors import InputError
from smgicnet.methods import METHODS
from smgicnet.registration.fields import Flow, compose, exp, resize, warp
from smgicnet.registration.losses import both_directions, local_ncc, soft_dice
from smgicnet.registration.multilevel import FinestLevel, NetworkConfig, difference_map
from smgicnet.registration.networks import AttentionGate, Block, GatedEncoderDecoder, ResidualBlock
from smgicnet.registration.wavelets import PyramidLevel
from smgicnet.training.loop import weighted_total
from tests.support.images import SHAPE, blobs
from tests.support.methods import block, build


@pytest.mark.parametrize("stage", [1, 2, 3, 4])
def test_every_level_gives_a_field_on_the_full_grid(stage):
    method = build(stage=stage)
    assert len(method.network.levels) == stage
    outputs = method.network(blobs(1), blobs(2))
    assert [o.velocity.shape[-1] for o in outputs] == [2, 4, 8, 16][:stage]
    assert method.register(blobs(1), blobs(2)).forward.shape == (1, 3, *SHAPE)


@pytest.mark.parametrize("finest_passes", [1, 2])
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_fewer_levels(levels, finest_passes):
    method = build(levels=levels, finest_passes=finest_passes)
    assert type(method.network.levels[-1]).__name__ == "FinestLevel"
    terms = method.objective(blobs(1), blobs(2))
    assert terms.keys() == method.weights.keys()


def test_directions_are_exchangeable():
    """The batch (A, B) and the batch (B, A) give the same terms: no direction is preferred."""
    method = build()
    there, back = method.objective(blobs(1), blobs(2)), method.objective(blobs(2), blobs(1))
    for name, value in there.items():
        torch.testing.assert_close(value, back[name], msg=name)


def test_objective_names_every_weighted_term_and_all_move_the_newest_level():
    method = build()
    terms = method.objective(blobs(1), blobs(2))
    assert set(terms) == {
        "similarity", "energy_similarity", "symmetric", "inverse", "multi_level", "gradient_inverse", "smoothness",
    }  # fmt: skip
    newest, earlier = method.stage_parameters()
    for name, term in terms.items():
        gradients = torch.autograd.grad(term, newest + earlier, retain_graph=True, allow_unused=True)
        moved = [g is not None and bool(g.abs().sum() > 0) for g in gradients]
        # level 4 has no energy image: that term teaches the levels below
        assert any(moved[len(newest) :] if name == "energy_similarity" else moved[: len(newest)]), name


def test_unweighted_terms_are_not_computed_and_mismatches_are_errors():
    part = block()
    part["objective"]["weights"] |= {"symmetric": 0, "inverse": 0}
    method = METHODS["smgicnet"].from_block(part, 4)
    terms = method.objective(blobs(1), blobs(2))
    assert not {"symmetric", "inverse"} & terms.keys()
    with pytest.raises(ValueError, match="terms"):
        weighted_total(terms, {**method.weights, "sharpness": 1.0})


def test_what_is_computed_again_is_the_same_and_was_not_kept():
    gradients, kept = [], []

    def pack(tensor):
        kept[-1] += tensor.nbytes
        return tensor

    for again in (False, True):
        method = build(recompute=again)
        kept.append(0)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            total = weighted_total(method.objective(blobs(1), blobs(2)), method.weights)
        total.backward()
        gradients.append([parameter.grad for parameter in method.network.parameters()])
        blocks = [part for part in method.network.modules() if isinstance(part, Block)]
        assert {part.recompute for part in blocks} == {again}
        assert {ResidualBlock, AttentionGate, GatedEncoderDecoder} < {type(part) for part in blocks}
    assert all(torch.equal(*pair) for pair in zip(*gradients, strict=True))
    assert kept[1] < 0.5 * kept[0]


def test_one_direction():
    method = build(symmetric=False)
    assert set(method.objective(blobs(1), blobs(2))) == {"similarity", "energy_similarity", "multi_level", "smoothness"}


BOTH = {"antisymmetric": True, "midpoint": True}


@pytest.mark.parametrize(
    "network",
    [
        {},
        {"midpoint": True},
        {"passes": 3},
        {"midpoint": True, "passes": 3},
        {"force_window": 3},
        {"midpoint": True, "passes": 2, "finest_passes": 2, "force_window": 3},
    ],
)
def test_an_antisymmetric_network_exchanges_the_fields_with_the_images(network):
    """The inverse of one registration is the other registration, by construction."""
    method = build(antisymmetric=True, **network)
    there, back = method.register(blobs(1), blobs(2)), method.register(blobs(2), blobs(1))
    torch.testing.assert_close(there.forward, back.inverse, atol=1e-6, rtol=0)
    torch.testing.assert_close(there.inverse, back.forward, atol=1e-6, rtol=0)
    assert there.forward.abs().max() > 1e-3
    assert method.register(blobs(1), blobs(1)).forward.abs().max() < 1e-6
    plain = build()
    difference = plain.register(blobs(1), blobs(2)).inverse - plain.register(blobs(2), blobs(1)).forward
    assert difference.abs().max() > 1e-3


def test_half_way_both_images_meet():
    """What a level sees of an image that has been moved by a known flow, and of the image itself."""
    method = build(**BOTH)
    moving = torch.nn.functional.interpolate(blobs(1), scale_factor=2, mode="trilinear")
    velocity = torch.zeros(1, 3, *moving.shape[2:])
    velocity[:, 0] = 3 * torch.sin(torch.arange(32) / 5).view(1, 32, 1, 1)
    fixed = warp(moving, exp(velocity))
    both = both_directions(moving, fixed)
    levels = [PyramidLevel(one, one.square()) for one in both]
    seen = method.network._seen(*levels, Flow(torch.cat([velocity, -velocity]), 7, recompute=False))
    inside = (slice(None), slice(None), *[slice(8, -8)] * 3)
    for one, other, before in zip(*seen, levels[0], strict=True):
        distance, was = ((x[inside] - y[inside]).abs().mean() for x, y in ((one, other), (before, before.flip(0))))
        assert distance < 0.1 * was


def test_velocities_are_float32_where_convolutions_are_not():
    network = build().network
    with torch.autocast("cpu", torch.bfloat16):
        outputs = network(blobs(1), blobs(2))
    for exact, found in zip(network(blobs(1), blobs(2)), outputs, strict=True):
        assert found.velocity.dtype is found.displacement.dtype is torch.float32
        assert not torch.equal(found.velocity, exact.velocity)
        torch.testing.assert_close(found.velocity, exact.velocity, atol=0.02, rtol=0.02)


def test_a_batch_of_both_directions_has_its_fixed_images_in_its_other_half():
    network = build().network
    both = both_directions(blobs(1), blobs(2))
    for one, other in zip(network(*both), network(both[0], None), strict=True):
        assert torch.equal(one.velocity, other.velocity)
        assert all(torch.equal(x, y) for x, y in zip(one.fixed, other.fixed, strict=True) if x is not None)


@pytest.mark.parametrize(
    ("less", "more"), [({}, {"passes": 3}), ({}, {"finest_passes": 2}), ({"antisymmetric": True}, BOTH)]
)
def test_what_is_not_the_papers_changes_the_field_and_no_parameter(less, more):
    plain, other = build(**less), build(**more)
    assert plain.network.state_dict().keys() == other.network.state_dict().keys()
    other.network.load_state_dict(plain.network.state_dict())
    fields = [method.register(blobs(1), blobs(2)).forward for method in (plain, other)]
    assert (fields[0] - fields[1]).abs().max() > 1e-5


@pytest.mark.parametrize("stage", [2, 4])
def test_the_label_term_is_the_overlap_of_the_maps_on_their_own_grid(stage):
    method = build(stage=stage, weights={"labels": 1.0})
    assert method.uses_labels
    assert not build().uses_labels
    labels = [torch.where(image > 0.5, 17, torch.where(image < 0.4, 4, 0)).float() for image in (blobs(1), blobs(2))]
    terms = method.objective(blobs(1), blobs(2), labels)
    assert set(method.weights) == set(terms) > {"labels"}
    assert all(torch.isfinite(term) for term in terms.values())
    displacement = resize(method.network(*both_directions(blobs(1), blobs(2)))[-1].displacement, SHAPE)
    expected = method.settings.alpha[stage - 1] * soft_dice(*both_directions(*labels), displacement)
    torch.testing.assert_close(terms["labels"], expected)
    gradients = torch.autograd.grad(terms["labels"], method.stage_parameters()[0])
    assert any(gradient.abs().sum() > 0 for gradient in gradients)
    with pytest.raises(ValueError, match="none are given"):
        method.objective(blobs(1), blobs(2))


@pytest.mark.parametrize("levels", [1, 3])
def test_half_resolution_is_judged_on_the_whole_grid(levels):
    method = build(levels=levels, full_resolution=False)
    assert not any(isinstance(level, FinestLevel) for level in method.network.levels)
    moving, fixed = both_directions(blobs(1), blobs(2))
    output = method.network(moving, fixed)[-1]
    assert output.velocity.shape[2:] == tuple(n // 2 for n in SHAPE)
    assert method.register(blobs(1), blobs(2)).forward.shape == (1, 3, *SHAPE)
    method.settings = replace(method.settings, alpha=[0] * (levels - 1) + [1])
    found = method.objective(blobs(1), blobs(2))["similarity"]
    torch.testing.assert_close(found, local_ncc(warp(moving, resize(output.displacement, SHAPE)), fixed, 5))


def test_the_finest_level_has_its_features_on_half_of_the_grid():
    method = build(finest_stride=2, finest_channels=6)
    finest = method.network.levels[-1]
    seen = []
    finest.trunk.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0].shape, output.shape)))
    with torch.autocast("cpu", torch.bfloat16):
        output = method.network(blobs(1), blobs(2))[-1]
    assert seen == [((1, 6, *[n // 2 for n in SHAPE]), (1, 12, *[n // 2 for n in SHAPE]))]
    assert output.velocity.shape[2:] == SHAPE
    assert output.velocity.dtype is torch.float32
    narrow, wide = (sum(p.numel() for p in build(**one).network.parameters()) for one in ({}, {"finest_channels": 8}))
    assert narrow < wide


def test_a_stage_beyond_the_levels_trains_them_all():
    part = block()
    part["stages"].append({**part["stages"][-1], "frozen_iterations": 0})
    part["network"] |= {"depth": 2, "finest_passes": 2}
    stages = [stage_block(part, stage) for stage in (3, 4, 5)]
    assert [one["network"]["depth"] for one in stages] == [3, 2, 2]
    assert [one["network"]["finest_passes"] for one in stages] == [1, 2, 2]
    methods = [METHODS["smgicnet"].from_block(one, len(one["stages"])) for one in stages]
    names = [method.network.state_dict().keys() for method in methods]
    assert names[0] < names[1] == names[2]
    newest, earlier = methods[2].stage_parameters()
    assert len(newest) + len(earlier) == len(list(methods[2].network.parameters()))
    part["stages"] = part["stages"][:3]
    whole = {"datasets": {"d": {"source": {"kind": "phantom"}}}, "methods": {"m": part}}
    with pytest.raises(InputError, match=r"stages has 3 entries.*4 at least"):
        complete(whole)


def test_labels_count_from_the_stage_that_the_config_says():
    part = block(weights={"labels": 1.0})
    part["objective"]["labels_from"] = 3
    stages = [stage_block(part, stage) for stage in (1, 2, 3, 4)]
    assert stages[1] == stage_block(block(), 2)
    methods = [METHODS["smgicnet"].from_block(one, len(one["stages"])) for one in stages]
    assert [method.uses_labels for method in methods] == [False, False, True, True]


@pytest.mark.parametrize(("key", "needed"), [("antisymmetric", "symmetric"), ("midpoint", "antisymmetric")])
def test_a_network_of_two_directions_that_sees_one_is_refused(key, needed):
    part = {"datasets": {"d": {"source": {"kind": "phantom"}}}, "methods": {"smgicnet": {"type": "smgicnet"}}}
    part["methods"]["smgicnet"]["network"] = {**BOTH}
    assert "smgicnet-no-symmetry" not in complete(part)["ablations"]["variants"]
    part["methods"]["smgicnet"]["network"] = {key: True, needed: False}
    part["methods"]["smgicnet"]["objective"] = {"weights": {"symmetric": 0, "inverse": 0, "gradient_inverse": 0}}
    with pytest.raises(InputError, match=f"{key} needs .*, and {needed} is false"):
        complete(part)


def test_an_antisymmetric_network_has_no_inverse_error_but_integration():
    errors = [build(antisymmetric=one).objective(blobs(1), blobs(2))["inverse"].item() for one in (False, True)]
    assert errors[1] < 0.1 * errors[0]


def test_every_level_can_be_judged_by_the_images_on_their_own_grid():
    """The term is then the same sum, of the levels' fields brought to that grid."""
    part = block()
    part["objective"]["whole_images"] = True
    method = METHODS["smgicnet"].from_block(part, 4)
    method.network.load_state_dict(build().network.state_dict())
    images = both_directions(blobs(1), blobs(2))
    expected = sum(
        alpha * local_ncc(warp(images[0], resize(level.displacement, images[0].shape[2:])), images[1], window)
        for level, alpha, window in zip(
            method.network(images[0], None), method.settings.alpha, method.settings.windows, strict=True
        )
    )
    torch.testing.assert_close(method.objective(blobs(1), blobs(2))["similarity"], expected)
    assert not torch.allclose(build().objective(blobs(1), blobs(2))["similarity"], expected, atol=1e-3)


def test_refinement_lowers_the_loss_of_the_pair_and_changes_nothing_kept():
    fixed, moving = blobs(1), blobs(2)
    part = block()
    plain = build()
    losses_after = []
    for iterations in (0, 5, 20):
        stage = {"share": 1, "shrink": 1, "windows": [3, 7], "learning_rate": 0.2}
        part["refinement"] |= {"iterations": iterations, "smoothness": 1.0, "stages": [stage]}
        method = METHODS["smgicnet"].from_block(part, 4)
        method.network.load_state_dict(plain.network.state_dict())
        result = method.register(fixed, moving)
        losses_after.append(local_ncc(warp(moving, result.forward), fixed, 9).item())
        assert torch.equal(method.register(fixed, moving).forward, result.forward)
        assert not result.forward.requires_grad
        assert all(parameter.grad is None for parameter in method.network.parameters())
        assert compose(result.forward, result.inverse)[..., 3:-3, 3:-3, 3:-3].norm(dim=1).mean() < 0.05
    assert losses_after[0] > losses_after[1] > losses_after[2]


def test_refinement_has_windows_of_its_own():
    part, found = block(), []
    for windows in ([9], [3], [3, 9], [3, 3]):
        stage = {**part["refinement"]["stages"][-1], "windows": windows}
        part["refinement"] |= {"iterations": 3, "stages": [stage]}
        method = METHODS["smgicnet"].from_block(part, 4)
        method.network.load_state_dict(build().network.state_dict())
        found.append(method.register(blobs(1), blobs(2)).forward)
    assert not torch.allclose(found[0], found[1], atol=1e-3)
    assert all(not torch.allclose(found[2], one, atol=1e-4) for one in found[:2])
    torch.testing.assert_close(found[3], found[1])


@pytest.mark.parametrize("key", ["refinement", "views"])
def test_what_comes_after_the_network_is_no_matter_of_training(key):
    part, other = block(), block()
    other[key][{"refinement": "iterations", "views": "shift"}[key]] = 3
    assert stage_block(part, 4) == stage_block(other, 4)
    assert registering_block(part) != registering_block(other)


def test_velocity_is_bounded_in_voxels():
    method = build(velocity_range=0.1)
    for level in method.network.levels:
        torch.nn.init.constant_(level.head.output.bias, 1e4)
    first = method.network(blobs(1), blobs(2))[0].velocity
    expected = torch.tensor([0.1 * (n / 8 - 1) / 2 for n in SHAPE])
    torch.testing.assert_close(first.amax((0, 2, 3, 4)), expected, rtol=1e-3, atol=0)


def test_difference_map():
    a, b = blobs(1), blobs(2)
    d = difference_map(a, b)
    assert d.min() == 0
    assert d.max() == 1
    torch.testing.assert_close(d, difference_map(b, a))
    assert difference_map(a, a).abs().max() == 0


def test_attention_gate_weights_the_skip_by_one_channel_below_one():
    torch.manual_seed(0)
    gate, skip = AttentionGate(4), torch.rand(1, 4, 8, 8, 8) + 0.5
    ratio = gate(skip, torch.rand(1, 4, 4, 4, 4)) / skip
    assert 0 < ratio.min() < ratio.max() < 1
    torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio))


def test_gates_and_depth_are_switchable():
    gated, plain = GatedEncoderDecoder(4, 3, True), GatedEncoderDecoder(4, 3, False)
    assert sum(isinstance(m, AttentionGate) for m in gated.modules()) == 3
    assert sum(isinstance(m, AttentionGate) for m in plain.modules()) == 0
    assert sum(isinstance(m, ResidualBlock) for m in gated.modules()) == 6
    assert GatedEncoderDecoder(4, 2, True)(torch.rand(1, 4, 8, 8, 8)).shape == (1, 8, 8, 8, 8)


def test_dataclass_and_schema_agree():
    building.build(NetworkConfig, block()["network"])
    with pytest.raises(TypeError, match="NetworkConfig"):
        building.build(NetworkConfig, {"levels": 4})
