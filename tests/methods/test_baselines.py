"""ICNet and LapIRN: parameters, terms, and that the published weights files load and nothing else does."""

import re

import pytest
import torch
import torch.nn.functional as F

from smgicnet import cli
from smgicnet.core.errors import InputError
from smgicnet.methods import METHODS
from smgicnet.methods.icnet import match_histogram
from smgicnet.methods.icnet import normalise as icnet_normalise
from smgicnet.methods.lapirn import multi_resolution_ncc
from smgicnet.methods.lapirn import normalise as lapirn_normalise
from smgicnet.methods.published_weights import import_weights
from smgicnet.methods.weights import read_weights
from smgicnet.registration.fields import exp, jacobian_determinant, warp
from tests.support.images import blobs
from tests.support.methods import block, build
from tests.support.published import published_icnet, published_lapirn


@pytest.mark.parametrize(
    ("kind", "network", "expected"),
    [("icnet", {"channels": 8}, 1_111_840), ("lapirn", {"channels": 28}, 923_748)],
)
def test_parameter_counts_are_the_published_ones(kind, network, expected):
    assert sum(p.numel() for p in build(kind, **network).network.parameters()) == expected


def test_icnet_cannot_exceed_its_range():
    method = build("icnet", displacement_range=3)
    torch.nn.init.constant_(method.network.head.weight, 1e4)
    assert method.register(blobs(1), blobs(2)).forward.abs().max() == 3


def test_icnet_normalises_to_zero_mean_and_unit_variance_whatever_the_scale():
    image = blobs(1)
    spiked = image * 40 + 7
    spiked[0, 0, 0, 0, 0] = 1e6
    for one in (image, spiked):
        out = icnet_normalise(torch.cat([one, one]))
        assert out.mean().abs() < 1e-4
        assert out.std() == pytest.approx(1, abs=1e-2)
    torch.testing.assert_close(icnet_normalise(image), icnet_normalise(image * 3 - 1))
    assert torch.isfinite(icnet_normalise(torch.zeros(1, 1, 8, 8, 8))).all()


def test_histogram_matching_undoes_another_contrast():
    image, other = blobs(1, (8, 16, 8)), blobs(2)
    darker = 0.2 + 0.5 * image**2
    matched = match_histogram(torch.cat([darker, other]), torch.cat([image, other]))
    head = image > image.mean()
    assert (darker - image)[head].abs().mean() > 0.1
    assert (matched[:1] - image)[head].abs().mean() < 0.03  # the two means do not map to each other
    torch.testing.assert_close(matched[1:], other, atol=1e-4, rtol=0)
    blank = torch.zeros(1, 1, *other.shape[2:])
    assert torch.equal(match_histogram(blank, other), blank)
    assert torch.equal(match_histogram(other, blank), other)


def test_icnet_terms_by_their_definitions():
    method = build("icnet")
    a, b = blobs(1), blobs(2)
    terms = method.objective(a, b)
    x, y = icnet_normalise(match_histogram(a, b)), icnet_normalise(b)
    y_moving, x_fixed = icnet_normalise(match_histogram(b, a)), icnet_normalise(a)
    xy, yx = method.network(torch.cat([x, y], 1)), method.network(torch.cat([y_moving, x_fixed], 1))
    similarity = F.mse_loss(warp(x, xy, padding="border"), y) + F.mse_loss(
        warp(y_moving, yx, padding="border"), x_fixed
    )
    torch.testing.assert_close(terms["similarity"], similarity)
    inverse = F.mse_loss(xy, -warp(yx, xy, padding="border")) + F.mse_loss(yx, -warp(xy, yx, padding="border"))
    torch.testing.assert_close(terms["inverse"], inverse)
    smoothness = sum(u.diff(dim=d).square().mean() for u in (xy, yx) for d in (2, 3, 4)) / 3
    torch.testing.assert_close(terms["smoothness"], smoothness)
    assert terms["antifold"] == 0  # nothing moves by a voxel yet
    torch.nn.init.normal_(method.network.head.weight, std=20)
    xy, yx = method.network(torch.cat([x, y], 1)), method.network(torch.cat([y_moving, x_fixed], 1))
    overtaken = [(-u.diff(dim=d) - 1).relu() for u in (xy, yx) for d in (2, 3, 4)]
    antifold = method.objective(a, b)["antifold"]
    assert antifold > 0
    torch.testing.assert_close(antifold, sum((d * d * d).mean() for d in overtaken) / 3)


@pytest.mark.parametrize("variant", ["diff", "disp"])
def test_lapirn_levels(variant):
    method = build("lapirn", variant=variant)
    outputs = method.network(blobs(1), blobs(2))
    assert [tuple(o.velocity.shape[2:]) for o in outputs] == [(4, 8, 4), (8, 16, 8), (16, 32, 16)]
    for output in outputs:
        expected = exp(output.velocity, 7) if variant == "diff" else output.velocity
        torch.testing.assert_close(output.displacement, expected, rtol=1e-3, atol=1e-4)
    assert method.weights["smoothness"] == {"diff": 3.5, "disp": 1.0}[variant]
    result = method.register(blobs(1), blobs(2))
    assert (result.inverse is None) == (variant == "disp")


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_lapirn_trains_its_newest_level_with_its_windows(stage):
    method = build("lapirn", stage=stage)
    last = method.network(lapirn_normalise(blobs(1)), lapirn_normalise(blobs(2)))[-1]
    warped = warp(last.moving, last.displacement, padding="border")
    terms = method.objective(blobs(1), blobs(2))
    torch.testing.assert_close(
        terms["similarity"], multi_resolution_ncc(warped, last.fixed, (3, 5, 7)[stage - 1], stage)
    )
    doubled = sum((2 * last.velocity).diff(dim=d).square().mean() for d in (2, 3, 4)) / 3
    torch.testing.assert_close(terms["smoothness"], doubled)
    assert method.register(blobs(1), blobs(2)).forward.shape == (1, 3, 16, 32, 16)


def test_lapirn_folding_is_optional_and_the_volume_that_is_turned_over():
    part = block("lapirn", variant="disp")
    part["objective"]["weights"]["folding"] = 1000.0
    method = METHODS["lapirn"].from_block(part, 3)
    torch.nn.init.normal_(method.network.levels[2].head[2].weight, std=1000)
    u = method.network(lapirn_normalise(blobs(1)), lapirn_normalise(blobs(2)))[-1].displacement
    expected = (-jacobian_determinant(u)).relu().mean()
    assert expected > 0
    torch.testing.assert_close(method.objective(blobs(1), blobs(2))["folding"], expected)
    assert "folding" not in build("lapirn").weights


def test_multi_resolution_ncc_of_an_image_with_itself():
    image = blobs(1, (16, 32, 16))
    assert multi_resolution_ncc(image, image, 7, 3) == pytest.approx(-1.75, abs=0.05)


PUBLISHED = {"lapirn": published_lapirn, "icnet": published_icnet}
FILES = {"lapirn": "LapIRN_diff_fea7.pth", "icnet": "model.pth"}


@pytest.fixture(params=PUBLISHED)
def published(request, tmp_path):
    """Kind, tensors and file in the layout that its authors publish."""
    tensors = PUBLISHED[request.param]()
    torch.save(tensors, tmp_path / FILES[request.param])
    return request.param, tensors, tmp_path / FILES[request.param]


def test_published_weights_load_whole(published, tmp_path, capsys):
    kind, tensors, path = published
    assert len(tensors) == {"lapirn": 48, "icnet": 27}[kind]
    out = tmp_path / "out.pt"
    assert cli.main(["import-weights", kind, str(path), str(out)]) == 0
    count = sum(t.numel() for t in tensors.values())
    assert f"{count:,} parameters" in capsys.readouterr().out
    weights = read_weights(out)
    method = weights.build()
    assert weights.stage == len(block(kind)["stages"])
    assert weights.grid.shape == (160, 192, 144)
    ours = torch.cat([p.flatten() for p in method.network.state_dict().values()]).sort().values
    theirs = torch.cat([t.flatten() for t in tensors.values()]).sort().values
    assert torch.equal(ours, theirs)
    result = method.register(blobs(1), blobs(2))
    assert torch.isfinite(result.forward).all()


def test_published_field_components_are_in_the_order_of_grid_sample(tmp_path):
    """A published network whose first output channel is large moves along the last array axis of its input."""
    tensors = published_icnet()
    tensors["dc9.0.weight"][0], tensors["dc9.0.weight"][1:] = 1e3, 0
    torch.save(tensors, tmp_path / "model.pth")
    import_weights("icnet", tmp_path / "model.pth", tmp_path / "out.pt", variant=None, orientation="RAS")
    forward = read_weights(tmp_path / "out.pt").build().register(blobs(1), blobs(2)).forward
    assert forward[:, :2].abs().max() == 0
    assert forward[:, 2].max() == 7


def test_lapirn_levels_are_taken_from_their_own_prefix(tmp_path):
    tensors = published_lapirn()
    for name in tensors:
        tensors[name].fill_(3.0 if name.startswith("model_lvl2.model") else 2.0 if name.startswith("model") else 1.0)
    torch.save(tensors, tmp_path / "LapIRN_disp_fea7.pth")
    import_weights("lapirn", tmp_path / "LapIRN_disp_fea7.pth", tmp_path / "out.pt", variant=None, orientation=None)
    weights = read_weights(tmp_path / "out.pt")
    assert weights.block["network"]["variant"] == "disp"
    assert weights.block["network"]["orientation"] == "LPS"
    for name, tensor in weights.network.items():
        assert tensor.unique().item() == 3 - int(re.match(r"levels\.(\d)", name)[1])


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda t: t.pop(next(iter(t))), "missing"),
        (lambda t: t.update(extra=torch.zeros(1)), "it has extra"),
        (lambda t: t.update({list(t)[1]: torch.zeros(1, 2, 3)}), "has shape"),
        (lambda t: t.clear(), "missing"),
    ],
)
def test_another_file_is_named_as_such(published, tmp_path, damage, problem):
    kind, tensors, path = published
    damage(tensors)
    torch.save(tensors, path)
    with pytest.raises(InputError, match=rf"{path.name}.*not the published weights of {kind}.*{problem}"):
        import_weights(kind, path, tmp_path / "out.pt", variant="diff", orientation=None)
    assert not (tmp_path / "out.pt").exists()


def test_files_that_are_no_weights(tmp_path, capsys):
    path = tmp_path / "w.pth"
    arguments = ["import-weights", "lapirn", str(path), str(tmp_path / "out.pt")]
    assert cli.main(arguments) == 2
    assert "no such file" in capsys.readouterr().err
    path.write_bytes(b"<html>not found</html>")
    assert cli.main(arguments) == 2
    assert "not a torch file" in capsys.readouterr().err
    torch.save([1, 2], path)
    assert cli.main(arguments) == 2
    assert "no state dict" in capsys.readouterr().err
    torch.save(published_lapirn(), path)
    assert cli.main(arguments) == 2  # the name does not tell diff from disp
    assert "--variant" in capsys.readouterr().err


def test_histogram_matching_goes_by_the_head_and_not_by_its_surroundings():
    """The same intensities of the head, half as bright, in a field of view that is larger."""
    generator = torch.Generator().manual_seed(0)
    head = 1 + torch.rand(1000, generator=generator)
    reference = torch.cat([head, torch.zeros(1000)]).view(1, 1, 10, 10, 20)
    image = torch.cat([head / 2, torch.zeros(3000)]).view(1, 1, 10, 20, 20)
    matched = match_histogram(image, reference).flatten()
    torch.testing.assert_close(matched[:1000], head, atol=0.02, rtol=0)
    assert matched[1000:].abs().max() == 0
