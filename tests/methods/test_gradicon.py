"""GradICON: the published layout loads and nothing else does, and what the package finds is our displacement."""

import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch
from torch import nn

from smgicnet.config.completion import complete_method
from smgicnet.core.errors import InputError
from smgicnet.methods.contract import NativeGrid
from smgicnet.methods.gradicon import GradICON, clip_and_rescale, scale_to_brightest
from smgicnet.methods.native_grid import OnNativeGrid
from smgicnet.registration.fields import identity_grid, warp
from tests.support.published_gradicon import CHANNELS, CHANNELS_UP, NARROW, NARROW_UP, PREFIXES, published

SHAPE = (66, 65, 70)  # four halvings of a quarter of the grid have to leave two voxels

pytestmark = pytest.mark.skipif(
    find_spec("icon_registration") is None or find_spec("tqdm") is None,
    reason="icon-registration is not installed: pip install --no-deps icon-registration==1.1.9 tqdm==4.70.1",
)


def block(**changes):
    grid = {"shape": list(SHAPE), **changes.pop("grid", {})}
    return complete_method({"type": "gradicon", "grid": grid, **changes}, "test")


@pytest.fixture
def narrow(monkeypatch):
    """The package's network with few channels: the same names, fewer numbers."""
    from icon_registration import networks

    monkeypatch.setattr(
        networks, "tallUNet2", lambda dimension: networks.UNet2(5, [[2, *NARROW], NARROW_UP], dimension=dimension)
    )


@pytest.fixture
def loaded(narrow, tmp_path):
    """A narrow method with weights, and their file."""
    torch.save(published(), tmp_path / "step_2.trch")
    method = GradICON.from_block(block(), 0)
    method.load(tmp_path / "step_2.trch")
    return method, tmp_path / "step_2.trch"


def smooth(seed, shape=SHAPE):
    """A smooth random image in [0, 1]."""
    coarse = torch.rand(1, 1, 6, 5, 6, generator=torch.Generator().manual_seed(seed))
    return nn.functional.interpolate(coarse, shape, mode="trilinear")


class Constant(nn.Module):
    """Finds the same for any images."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, image_a, image_b):
        return self.value


def knowing(wrapper, value, **grid):
    """The method with a network of the package that always finds ``value``."""
    from icon_registration import network_wrappers

    method = GradICON.from_block(block(grid=grid), 0)
    method.network = getattr(network_wrappers, wrapper)(Constant(value))
    method.network.assign_identity_map([1, 1, *method.grid.shape])
    return method


def test_the_published_network_loads_whole(tmp_path):
    tensors = published(CHANNELS, CHANNELS_UP)
    learned = [name for name in tensors if "running" not in name and "tracked" not in name]
    for prefix in PREFIXES:
        count = sum(tensors[name].numel() for name in learned if name.startswith(prefix))
        assert count == pytest.approx(17.67e6, abs=0.005e6)
    torch.save(tensors, tmp_path / "w.trch")
    method = GradICON.from_block(block(), 0)
    method.load(tmp_path / "w.trch")
    assert {name for name, _ in method.network.named_parameters()} == set(learned)
    own = method.network.state_dict()
    assert own.keys() == tensors.keys()
    assert all(torch.equal(own[name], tensor) for name, tensor in tensors.items())
    assert not any(part.training for part in method.network.modules())
    assert not any(parameter.requires_grad for parameter in method.network.parameters())


def test_every_prefix_is_of_the_resolution_that_is_stated(loaded):
    from icon_registration.networks import UNet2

    sizes = {}
    for name, part in loaded[0].network.named_modules():
        if isinstance(part, UNet2):
            part.register_forward_hook(lambda _, images, __, name=name: sizes.update({f"{name}.": images[0].shape[2]}))
    loaded[0].register(smooth(1), smooth(2))
    assert {name: size / SHAPE[0] for name, size in sizes.items()} == pytest.approx(PREFIXES, rel=0.05)


def test_coordinate_grids_in_a_file_are_passed_over(loaded):
    method, path = loaded
    tensors = published()
    parents = ["", "netPhi.", "netPhi.netPhi.", "netPhi.netPhi.net.", "netPsi."]
    torch.save(tensors | {f"{one}identity_map": torch.zeros(1, 3, 4, 4, 4) for one in parents}, path)
    before = method.register(smooth(1), smooth(2)).forward
    method.load(path)
    assert torch.equal(method.register(smooth(1), smooth(2)).forward, before)
    assert tuple(method.network.identity_map.shape[2:]) == SHAPE
    torch.save(tensors | {"netPsi.net.identity_map": torch.zeros(1)}, path)  # of a U-Net, which has none
    with pytest.raises(InputError, match=r"it has netPsi\.net\.identity_map"):
        method.load(path)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda t: t.pop("netPsi.net.lastConv.bias"), r"missing tensors: 1, the first netPsi\.net\.lastConv\.bias"),
        (lambda t: t.pop("netPsi.net.batchNorms.0.running_var"), "missing tensors: 1,"),
        (lambda t: t.update(extra=torch.zeros(1)), "it has extra"),
        (lambda t: t.update({"netPsi.net.lastConv.bias": torch.zeros(4)}), r".*lastConv\.bias has shape \(4,\), not"),
        (lambda t: t.clear(), "missing tensors: 188,"),
    ],
)  # fmt: skip
def test_another_file_is_named_as_such(loaded, damage, problem):
    method, path = loaded
    before = method.register(smooth(1), smooth(2)).forward
    tensors = published()
    damage(tensors)
    torch.save(tensors, path)
    with pytest.raises(InputError, match=rf"step_2\.trch: not the published weights of icon: {problem}"):
        method.load(path)
    assert torch.equal(method.register(smooth(1), smooth(2)).forward, before)


def test_files_that_are_no_weights(loaded, tmp_path):
    method, path = loaded
    with pytest.raises(InputError, match=r"no such file.*snakemake --cores 1 weights"):
        method.load(tmp_path / "nothing.trch")
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(InputError, match=r"step_2\.trch: not a torch file, or damaged"):
        method.load(path)
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(InputError, match="not a torch file"):
        method.load(path)
    torch.save([1, 2], path)
    with pytest.raises(InputError, match="no state dict"):
        method.load(path)
    torch.save(Constant(1), path)  # code, which is not run
    with pytest.raises(InputError, match="not a torch file"):
        method.load(path)


def test_a_pair_leaves_nothing_behind(loaded):
    method, _ = loaded
    a, b, c = smooth(1), smooth(2), smooth(3)
    state = {name: tensor.clone() for name, tensor in method.network.state_dict().items()}
    kept = a.clone(), b.clone()
    first = method.register(a, b)
    assert first.inverse is None
    assert first.forward.dtype == torch.float32
    assert first.forward.std() > 0.01
    other = method.register(b, c).forward
    assert not torch.equal(other, first.forward)
    assert torch.equal(method.register(a, b).forward, first.forward)
    assert all(torch.equal(tensor, state[name]) for name, tensor in method.network.state_dict().items())
    assert torch.equal(a, kept[0])
    assert torch.equal(b, kept[1])


def test_direction_and_values_are_those_of_the_authors_own_wrapper(loaded):
    """Its first map warps its first image, A, to B: A is the moving image."""
    from icon_registration.losses import LNCC, GradientICONSparse

    method, _ = loaded
    fixed, moving = smooth(1), smooth(2)
    theirs = GradientICONSparse(method.network, LNCC(sigma=5), lmbda=1.5)
    theirs.assign_identity_map([1, 1, *SHAPE])
    theirs.eval()
    with torch.no_grad():
        theirs(*(0.9 * image / image.max() for image in (moving, fixed)))
    ours = method.register(fixed, moving).forward
    last = torch.tensor(SHAPE).view(1, 3, 1, 1, 1) - 1
    torch.testing.assert_close(ours, (theirs.phi_AB_vectorfield - theirs.identity_map) * last, atol=1e-4, rtol=0)
    warped = warp(0.9 * moving / moving.max(), ours, padding="border")
    torch.testing.assert_close(warped, theirs.warped_image_A, atol=1e-4, rtol=0)


def test_a_vector_field_of_the_package_is_ours_times_the_last_index(narrow):
    voxels = torch.randn(1, 3, *SHAPE, generator=torch.Generator().manual_seed(0))
    last = torch.tensor(SHAPE).view(1, 3, 1, 1, 1) - 1
    found = knowing("FunctionFromVectorField", voxels / last).register(smooth(1), smooth(2)).forward
    torch.testing.assert_close(found, voxels, atol=1e-4, rtol=0)


def test_an_affine_map_of_the_package_is_the_same_map_of_voxels(narrow):
    matrix = torch.eye(4)[None]
    matrix[0, :3] += torch.tensor([[0.1, 0.2, -0.1, 0.03], [-0.05, -0.1, 0.2, -0.02], [0.1, 0.05, 0.15, 0.01]])
    found = knowing("FunctionFromMatrix", matrix).register(smooth(1), smooth(2)).forward
    x = identity_grid(SHAPE)
    last = torch.tensor(SHAPE).view(1, 3, 1, 1, 1) - 1
    moved = torch.einsum("ij,njdhw->nidhw", matrix[0, :3, :3], x / last) + matrix[0, :3, 3].view(1, 3, 1, 1, 1)
    torch.testing.assert_close(found, moved * last - x, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("grid", "millimetres"),
    [
        ({"spacing": 1.4}, 1.4),
        ({"spacing": None, "shape": [80, 66, 72]}, None),
    ],
)
@pytest.mark.parametrize(("axis", "ras_axis", "sign"), [(0, 2, 1), (1, 1, 1), (2, 0, -1)])  # S, A, L
def test_a_known_shift_moves_an_image_of_another_grid(narrow, grid, millimetres, axis, ras_axis, sign):
    spacing, common, voxels = 2.0, (40, 44, 48), 3.0
    shape = grid.get("shape", SHAPE)
    shift = torch.zeros(1, 3, 1, 1, 1)
    shift[0, axis] = voxels / (shape[axis] - 1)
    method = knowing("FunctionFromVectorField", shift.expand(1, 3, *shape), **grid)
    # a voxel of the native grid, in voxels of the common one
    size = millimetres / spacing if millimetres else common[ras_axis] / shape[axis]
    expected = torch.zeros(3)
    expected[ras_axis] = sign * voxels * size
    centre = torch.tensor([18.0, 23.0, 21.0])
    moving = torch.exp(-(identity_grid(common) - centre.view(1, 3, 1, 1, 1)).square().sum(1, keepdim=True) / 30)
    result = OnNativeGrid(method, spacing).register(moving, moving)
    assert result.inverse is None
    inner = result.forward[..., 8:-8, 8:-8, 8:-8]
    torch.testing.assert_close(inner, expected.view(1, 3, 1, 1, 1).expand_as(inner), atol=1e-3, rtol=0)
    warped = warp(moving, result.forward)
    found = (warped * identity_grid(common)).sum((0, 2, 3, 4)) / warped.sum()
    torch.testing.assert_close(found, centre - expected, atol=0.02, rtol=0)


@pytest.mark.parametrize("shape", [(1, 1, 66, 65, 71), (2, 1, *SHAPE), (1, 2, *SHAPE)])
def test_images_of_another_grid_are_refused(narrow, shape):
    method = GradICON.from_block(block(), 0)
    with pytest.raises(ValueError, match=r"the network has \(66, 65, 70\)"):
        method.fields(torch.zeros(1, 1, *SHAPE), torch.zeros(shape))


def test_the_brain_model_sees_its_brightest_voxel_at_nine_tenths():
    image = torch.tensor([0.0, 0.25, 0.5, 0.75]).view(1, 1, 1, 1, 4)
    torch.testing.assert_close(scale_to_brightest(image), torch.tensor([0, 0.3, 0.6, 0.9]).view(1, 1, 1, 1, 4))
    assert torch.equal(scale_to_brightest(torch.zeros(1, 1, 2, 2, 2)), torch.zeros(1, 1, 2, 2, 2))


def test_unigradicon_sees_from_the_minimum_to_the_99th_percentile():
    image = torch.linspace(0.1, 0.9, 200)[torch.randperm(200, generator=torch.Generator().manual_seed(0))]
    out = clip_and_rescale(image.view(1, 1, 10, 10, 2)).flatten()
    high = 0.1 + 0.8 * 197 / 199  # of 200 values in order the 198th
    torch.testing.assert_close(out, ((image - 0.1) / (high - 0.1)).clamp(max=1))
    assert (out == 1).sum() == 3
    assert torch.isfinite(clip_and_rescale(torch.zeros(1, 1, 4, 4, 4))).all()


def test_the_model_decides_how_intensities_are_prepared(narrow):
    seen = {}
    for model in ("icon", "unigradicon"):
        method = GradICON.from_block(block(model=model), 0)
        method.network.register_forward_pre_hook(lambda _, images, model=model: seen.update({model: images}))
        method.register(smooth(1), smooth(2))
    for model, prepare in (("icon", scale_to_brightest), ("unigradicon", clip_and_rescale)):
        assert torch.equal(seen[model][0], prepare(smooth(2)))  # the moving image first
        assert torch.equal(seen[model][1], prepare(smooth(1)))


def test_the_defaults_are_those_of_the_brain_model():
    part = complete_method({"type": "gradicon"}, "test")
    assert part["grid"] == {"shape": [130, 155, 130], "spacing": 1.4, "orientation": "SAL"}
    assert part["published"]["file"] == "resources/weights/brain_model_weights_step_2.trch"
    assert part["published"]["url"].endswith("/brain_model_weights_step_2.trch")
    assert part["published"]["sha256"] is None
    assert (part["model"], part["stages"], part["weights"], part["label"]) == ("icon", [], None, "GradICON")


def test_unigradicon_is_a_matter_of_the_config(narrow):
    grid = {"shape": [175, 175, 175], "spacing": None}
    method = GradICON.from_block(block(model="unigradicon", grid=grid), 0)
    assert method.grid == NativeGrid((175, 175, 175), None, "SAL")
    assert method.config.model == "unigradicon"


@pytest.mark.parametrize("change", [{"grid": {"shape": [64, 65, 65]}}, {"published": {"sha": "x"}}, {"steps": 50}])
def test_the_schema_refuses(change):
    with pytest.raises(InputError):
        block(**change)


@pytest.mark.parametrize("missing", ["icon_registration", "tqdm"])
def test_without_the_package_the_error_says_what_to_install(missing):
    code = (
        f"import sys; sys.modules['{missing}'] = None\n"
        "from smgicnet.methods.gradicon import build_network\n"
        "from smgicnet.core.errors import InputError\n"
        "try: build_network((66, 65, 70))\n"
        "except InputError as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert f"the Python package {missing} cannot be imported" in said
    assert "pip install --no-deps icon-registration tqdm" in said


def test_neither_itk_nor_other_heavy_packages_are_imported():
    code = (
        "import sys; from smgicnet.methods import gradicon; assert 'icon_registration' not in sys.modules\n"
        "gradicon.build_network((66, 65, 70))\n"
        "print(sorted({'itk', 'torchvision', 'girder_client', 'footsteps', 'tensorboard'} & sys.modules.keys()))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"
