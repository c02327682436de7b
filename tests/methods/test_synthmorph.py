"""SynthMorph: the published layout loads whole and nothing else does; the network and its fields against numpy."""

import h5py
import numpy as np
import pytest
import torch
from scipy.ndimage import correlate

from smgicnet.config.completion import complete_method
from smgicnet.core.errors import InputError
from smgicnet.methods.native_grid import OnNativeGrid
from smgicnet.methods.synthmorph import FLOW, SynthMorph, enlarge, layer_channels, normalise
from smgicnet.registration.fields import compose, exp
from tests.support.published_synthmorph import DECODER, PUBLISHED, keras, write_h5

NESTINGS = {
    "model_weights/{layer}/{layer}/{weight}": "whole model",
    "{layer}/{layer}_1/{weight}": "weights alone",
    "vxm_dense/{layer}/{weight}": "one model layer",
}


def build(features=4, **changes):
    torch.manual_seed(0)
    block = complete_method({"type": "synthmorph", "features": features, **changes}, "test")
    return SynthMorph.from_block(block)


def pair(shape=(32, 32, 48), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(1, 1, *shape, generator=generator) for _ in range(2)]


def constant(method, velocity):
    """Let the network give this velocity everywhere."""
    for parameter in method.network.parameters():
        torch.nn.init.zeros_(parameter)
    with torch.no_grad():
        method.network.layers[FLOW].bias.copy_(torch.tensor(velocity))
    return method


@pytest.fixture(scope="module")
def full_size():
    return keras()


@pytest.mark.parametrize("nesting", NESTINGS, ids=NESTINGS.values())
def test_a_published_file_loads_whole(full_size, nesting, tmp_path):
    method = build(256)
    assert sum(p.numel() for p in method.network.parameters()) == 21_270_787
    method.load(write_h5(tmp_path / "w.h5", full_size, nesting))
    state = method.network.layers.state_dict()
    assert len(state) == 2 * len(full_size)
    for layer, weights in full_size.items():
        kernel = state.pop(f"{layer}.weight").numpy()
        assert np.array_equal(kernel, np.einsum("dhwio->oidhw", weights["kernel:0"]))
        assert np.array_equal(state.pop(f"{layer}.bias").numpy(), weights["bias:0"])
    assert not state


def conv_by_hand(x, kernel, bias):
    """``x (C, D, H, W)``, a Keras kernel; zeros beyond the grid, as ``padding="same"`` has them."""
    outputs = [
        sum(correlate(x[i], kernel[..., i, o], mode="constant") for i in range(len(x))) + bias[o]
        for o in range(len(bias))
    ]
    return np.stack(outputs)


def network_by_hand(arrays, moving, fixed):
    """The published network in numpy, from the facts; the order of a concatenation is upsampled, then skip."""

    def layer(name, x):
        x = conv_by_hand(x, arrays[name]["kernel:0"].astype(float), arrays[name]["bias:0"])
        return x if name == FLOW else np.where(x > 0, x, 0.2 * x)

    x, skips = np.stack([moving, fixed]), []
    for level in range(4):
        x = layer(f"vxm_dense_unet_enc_conv_{level}_0", x)
        skips.append(x)
        d, h, w = (n // 2 for n in x.shape[1:])
        x = x.reshape(-1, d, 2, h, 2, w, 2).max((2, 4, 6))
    for level in (3, 2, 1):
        x = layer(DECODER.format(level), x)
        x = np.concatenate([np.kron(x, np.ones((1, 2, 2, 2))), skips[level]])
    for name in (DECODER.format(0), "vxm_dense_unet_dec_final_conv_0", "vxm_dense_unet_dec_final_conv_1", FLOW):
        x = layer(name, x)
    return x


def test_the_loaded_network_is_the_published_one_computed_by_hand(tmp_path):
    """Kernels are random, so a transposed axis, another order of channels or of layers would each show."""
    arrays, method = keras(2), build(2)
    method.load(write_h5(tmp_path / "w.h5", arrays))
    moving, fixed = pair((16, 32, 48))
    first = "vxm_dense_unet_enc_conv_0_0"
    expected = conv_by_hand(torch.cat([moving, fixed], 1)[0].numpy(), *arrays[first].values())
    with torch.no_grad():
        found = method.network.layers[first](torch.cat([moving, fixed], 1))[0]
        velocity = method.network(moving, fixed)[0]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    expected = network_by_hand(arrays, moving[0, 0].double().numpy(), fixed[0, 0].double().numpy())
    assert expected.std() > 0.05
    assert velocity.shape == (3, 8, 16, 24)
    np.testing.assert_allclose(velocity, expected, atol=1e-4)


def test_fields_are_those_of_the_normalised_images_the_moving_one_first(tmp_path):
    method = build(2)
    method.load(write_h5(tmp_path / "w.h5", keras(2)))
    fixed, moving = pair()
    first = method.register(fixed, moving)
    scaled = method.register(fixed * 40 - 3, moving * 0.1 + 7)
    torch.testing.assert_close(scaled.forward, first.forward, atol=1e-3, rtol=0)
    with torch.no_grad():
        velocity = method.network(normalise(moving), normalise(fixed))
    torch.testing.assert_close(first.forward, enlarge(exp(velocity, 5)))
    torch.testing.assert_close(first.inverse, enlarge(exp(-velocity, 5)))
    assert not torch.allclose(method.register(moving, fixed).forward, first.forward, atol=1e-2)
    assert normalise(moving * 3 - 1).aminmax() == (0, 1)
    assert torch.equal(normalise(torch.ones(1, 1, 2, 2, 2)), torch.zeros(1, 1, 2, 2, 2))


def test_fields_are_enlarged_with_the_corners_kept():
    rng = np.random.default_rng(0)
    field = expected = rng.random((3, 4, 5, 6))
    for axis in (1, 2, 3):
        n = field.shape[axis]
        at = np.linspace(0, n - 1, 2 * n)
        expected = np.apply_along_axis(lambda line, at=at, n=n: np.interp(at, np.arange(n), line), axis, expected)
    np.testing.assert_allclose(enlarge(torch.from_numpy(field)[None])[0], 2 * expected)


def test_contract_and_a_b_a_purity():
    method = build()
    with torch.no_grad():
        method.network.layers[FLOW].weight *= 10
    a, b, c = (image for seed in (0, 1) for image in pair(seed=seed)[: 2 - seed])
    first = method.register(a, b)
    assert first.forward.std() > 0.01
    for field in (first.forward, first.inverse):
        assert field.shape == (1, 3, 32, 32, 48)
        assert field.dtype == torch.float32
        assert not field.requires_grad
    both_ways = compose(first.forward, first.inverse)[..., 4:-4, 4:-4, 4:-4].norm(dim=1).mean()
    assert both_ways < 0.1 * first.forward.norm(dim=1).mean()
    method.register(b, c)
    again = method.register(a, b)
    assert torch.equal(again.forward, first.forward)
    assert torch.equal(again.inverse, first.inverse)


def test_a_constant_velocity_moves_by_two_voxels_of_the_image_for_one_of_its_own():
    method = constant(build(2), [0.5, -1.0, 1.5])
    result = method.register(*pair())
    expected = torch.tensor([1.0, -2.0, 3.0]).view(1, 3, 1, 1, 1).expand(1, 3, 32, 32, 48)
    torch.testing.assert_close(result.forward, expected)
    torch.testing.assert_close(result.inverse, -expected)


def test_on_a_common_grid_the_displacement_is_the_same_in_mm():
    """Axes L, I, A of 2 mm, moved by 1, -2 and 3 voxels: 2 mm to the left, 4 up and 6 to the front."""
    grid = {"shape": [32, 32, 48], "spacing": 2.0, "orientation": "LIA"}
    method = OnNativeGrid(constant(build(2, grid=grid), [0.5, -1.0, 1.5]), spacing=1.25)
    result = method.register(*pair((20, 24, 18)))
    mm = torch.tensor([-2.0, 6.0, 4.0]).view(1, 3, 1, 1, 1).expand(1, 3, 20, 24, 18)
    torch.testing.assert_close(result.forward * 1.25, mm)
    torch.testing.assert_close(result.inverse * 1.25, -mm)


def test_defaults_are_those_of_the_brains_file():
    block = complete_method({"type": "synthmorph"}, "test")
    method = SynthMorph.from_block(block)
    assert (method.grid.shape, method.grid.spacing, method.grid.orientation) == ((160, 160, 192), 1.0, "LIA")
    assert block["published"]["url"].endswith(block["published"]["file"].removeprefix("resources/weights"))
    assert "brains" in block["published"]["file"]
    assert block["published"]["sha256"] is None
    for wrong in ({"grid": {"shape": [160, 160, 200]}}, {"feature": 3}, {"weights": "w.pt"}, {"stages": [{}]}):
        with pytest.raises(InputError):
            complete_method({"type": "synthmorph", **wrong}, "test")


def reversed_decoder(arrays):
    levels = [arrays.pop(DECODER.format(level)) for level in range(4)]
    arrays.update({DECODER.format(level): weights for level, weights in zip(range(4), reversed(levels))})


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (reversed_decoder, r"dec_conv_\d_0/kernel:0 is \(2, [24], 3, 3, 3\)"),
        (lambda a: a.pop(FLOW), "2 of 22 tensors are missing, the first is vxm_dense_flow.weight"),
        (lambda a: a[FLOW].pop("bias:0"), "1 of 22 tensors are missing, the first is vxm_dense_flow.bias"),
        (lambda a: a.clear(), "22 of 22"),
        (lambda a: a.update(vxm_dense_unet_dec_final_conv_2=a[FLOW]), "it has vxm_dense_unet_dec_final_conv_2"),
        (lambda a: a[FLOW].update({"gamma:0": np.ones(3)}), "it has .*gamma:0"),
        (lambda a: a[FLOW].update({"kernel:0": np.ones((3, 3, 3, 3, 2))}), r"is \(2, 3, .*\(3, 2, 3, 3, 3\) is needed"),
        (lambda a: a[FLOW].update({"kernel:0": np.ones((3, 3, 2, 3))}), r"is \(3, 3, 2, 3\)"),
        (lambda a: a[FLOW].update({"bias:0": np.array([0, 1, np.nan])}), "no finite numbers"),
    ],
)
def test_another_file_is_named_as_such(damage, problem, tmp_path):
    arrays, method = keras(2), build(2)
    damage(arrays)
    before = [p.clone() for p in method.network.parameters()]
    with pytest.raises(InputError, match=rf"w\.h5: .*{problem}.*(published|fetch it)"):
        method.load(write_h5(tmp_path / "w.h5", arrays))
    assert all(map(torch.equal, method.network.parameters(), before))


def test_other_features_and_a_layer_that_comes_twice(tmp_path):
    with pytest.raises(InputError, match="set features"):
        build(3).load(write_h5(tmp_path / "w.h5", keras(2)))
    with h5py.File(tmp_path / "w.h5", "a") as file:
        file[f"vxm_dense/{FLOW}/bias:0"] = np.zeros(3, np.float32)
    with pytest.raises(InputError, match="twice"):
        build(2).load(tmp_path / "w.h5")


def test_files_that_are_no_weights(tmp_path):
    method, path = build(2), tmp_path / "w.h5"
    with pytest.raises(InputError, match=r"w\.h5: no such file.*snakemake --cores 1 weights"):
        method.load(path)
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(InputError, match=r"w\.h5: not a readable HDF5 file"):
        method.load(path)
    whole = write_h5(tmp_path / "whole.h5", keras(2)).read_bytes()
    for part in (0, 100, len(whole) // 2, len(whole) - 1000):
        path.write_bytes(whole[:part])
        with pytest.raises(InputError, match="not a readable HDF5 file"):
            method.load(path)


def test_layers_are_listed_as_published():
    assert [(layer, *channels) for layer, channels in layer_channels(256).items()] == PUBLISHED
